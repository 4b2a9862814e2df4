# SPDX-License-Identifier: MIT
"""An image that its owner has edited gives his job no right that he has not."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from tests.support import Running, Site, User, counting, wait_until
from torqueckpt.checkpointers.criu import rights as criu_rights

SETPCAP = 1 << 8
THREAD_CORE, CREDS, INHERITABLE, PERMITTED, EFFECTIVE = 5, 10, 9, 10, 11


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def rewritten(message: bytes, path: tuple[int, ...], rights: dict[int, int]) -> bytes:
    """`message` with `rights` (field → first word) in the message that `path` leads to."""
    written, seen = b"", set()
    for number, kind, value in criu_rights._fields(message):
        if isinstance(value, int):
            if not path and number in rights and number not in seen:
                value = rights[number]
            seen.add(number)
            written += varint(number << 3 | kind) + varint(value)
            continue
        if path and number == path[0]:
            value = rewritten(value, path[1:], rights)
        length = varint(len(value)) if kind == 2 else b""
        written += varint(number << 3 | kind) + length + value
    return written


def edit(core: Path) -> None:
    file = core.read_bytes()
    rights = dict.fromkeys((INHERITABLE, PERMITTED, EFFECTIVE), SETPCAP)
    message = rewritten(file[12:], (THREAD_CORE, CREDS), rights)
    core.write_bytes(file[:8] + struct.pack("<I", len(message)) + message)


@pytest.fixture(params=["off", "on"], ids=["plain", "compressed"])
def crashed(request: pytest.FixtureRequest, site: Site, user: User) -> Running:
    site.configure(compress=request.param)
    running = site.start(user, user.script(counting(), user.directory()), "-c", "c=1s")
    site.wait_for_images(running.job)
    running.crash()
    return running


def through_the_door(site: Site, user: User, crashed: Running) -> Running:
    """As an owner would who leaves out the checks that are his own program's."""
    python = site.root / "lib/torqueckpt/venv/bin/python"
    directory = user.directory()
    (directory / "mine.py").write_text(
        "import sys\n"
        "from torqueckpt.store.generation import Generation\n"
        "Generation.verify = lambda *_: None\n"
        "from torqueckpt.cli.main import main\n"
        f"sys.exit(main(['resume', {crashed.job!r}]))\n"
    )
    script = user.script(f"#!/bin/sh\nexec {python} -I {directory}/mine.py\n", directory)
    running = site.start(user, script)
    running.may_end = crashed.may_end
    return running


def test_capabilities_written_into_an_image_are_refused(
    site: Site, user: User, crashed: Running
) -> None:
    newest = site.lineage(crashed.job) / str(site.rows(crashed.job)[-1]["generation"])
    for core in (newest / "image").glob("core-*.img"):
        before = core.read_bytes()
        assert criu_rights.excessive(before) == ""
        edit(core)
        if core.read_bytes() == before:  # a zombie's: it has no rights any more
            continue
        assert "permitted" in criu_rights.excessive(core.read_bytes())
        os.chown(core, user.uid, user.gid)
    running = through_the_door(site, user, crashed)
    assert running.wait() == 125
    assert "asks for capabilities" in running.err()


def _with_rights(user: User) -> list[int]:
    every = ((pid, Path(f"/proc/{pid}/status").read_text()) for pid in user.processes())
    return [pid for pid, status in every if "CapPrm:\t0000000000000000" not in status]


def test_an_image_that_nobody_has_edited_is_restored_without_rights_and_leaves_nothing(
    site: Site, user: User, crashed: Running
) -> None:
    running = site.resume(user, crashed.job, user.directory())
    wait_until(lambda: "line 25\n" in running.spooled())
    reached = running.spooled().count("\n")
    # the job's own; the last of its thirty comes at its end
    wait_until(lambda: running.spooled().count("\n") > min(reached + 1, 28))
    wait_until(lambda: not _with_rights(user))  # CRIU has some, and may still be at it
    assert running.wait() == 7
    assert user.views() == []


@pytest.mark.parametrize(
    "core",
    [
        b"",
        bytes(12),
        struct.pack("<III", 0x54564319, 1, 5) + b"\x08\x01",
        struct.pack("<III", 0x54564319, 1, 3) + b"\x88\x00\x01",  # a number in a longer form
        struct.pack("<III", 0x54564319, 1, 7) + b"\x2a\x05\x52\x03\x50\x80\x02",
        struct.pack("<III", 0x54564319, 1, 6) + b"\x2a\x04\x52\x02\x52\x00",  # packed
        struct.pack("<III", 0x54564319, 1, 2) + b"\x28\x01",  # thread_core as a number
    ],
)
def test_a_core_image_that_criu_would_not_have_written_is_refused(core: bytes) -> None:
    assert criu_rights.excessive(core)
