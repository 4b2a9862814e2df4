# SPDX-License-Identifier: MIT
"""Memory that is verified beside its restore: who waits for it is told, or is refused."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from tests.support import wait_until
from tests.unit import samples
from torqueckpt.errors import ImageDamaged
from torqueckpt.identity import Owner
from torqueckpt.manifest import ImageFile, Manifest
from torqueckpt.process import proc
from torqueckpt.restart.verify import MemoryVerifier
from torqueckpt.settings import Settings
from torqueckpt.store.generation import Generation

_MIB = 1024 * 1024


class _Made:
    """A generation whose content is what a test says."""

    def __init__(self, defect: str = "", seconds: float = 0) -> None:
        self._defect, self._seconds = defect, seconds

    def verify_content(
        self, manifest: Manifest, names: frozenset[str], read: Callable[[int], None]
    ) -> None:
        until = time.monotonic() + self._seconds
        while time.monotonic() < until:
            time.sleep(0.01)
            read(1)
        if self._defect:
            raise ImageDamaged(job="12.srv", generation=1, problem=self._defect)


def _begun(user: Owner, generation: _Made) -> MemoryVerifier:
    verifier, manifest = MemoryVerifier(user, Settings()), samples.a_manifest()
    verifier.begin(cast(Generation, generation), manifest, frozenset({"pages-1.img"}))
    return verifier


def _told(fd: int) -> bytes:
    with open(os.dup(fd), "rb") as pipe:
        return pipe.read()


def test_who_waits_for_a_whole_image_is_told_and_nobody_waits_afterwards(user: Owner) -> None:
    with closing(_begun(user, _Made())) as verifier:
        assert _told(verifier._waits) == b"whole\n"
        wait_until(lambda: verifier.waits_at() == ())
        assert not verifier.found_damage


@pytest.mark.parametrize("seconds", [0, 0.2])
def test_who_waits_for_a_damaged_one_is_told_nothing_but_the_end(
    user: Owner, seconds: float
) -> None:
    with closing(_begun(user, _Made("pages-1.img has another checksum", seconds))) as verifier:
        assert _told(verifier._waits) == b""
        with pytest.raises(ImageDamaged, match="pages-1.img has another checksum"):
            verifier.refuse_damaged()
        assert verifier.found_damage


def test_one_that_its_owner_kills_counts_as_damaged(user: Owner) -> None:
    before = set(proc.children(os.getpid()))
    with closing(_begun(user, _Made(seconds=6000))) as verifier:
        (fd,) = verifier.waits_at()
        (pid,) = set(proc.children(os.getpid())) - before
        os.kill(pid, signal.SIGKILL)
        assert _told(fd) == b""
        with pytest.raises(ImageDamaged, match="could not be verified: it was killed"):
            verifier.waits_at()


def test_its_end_leaves_no_process_and_no_descriptor(user: Owner) -> None:
    children, files = proc.children(os.getpid()), os.listdir("/proc/self/fd")
    with closing(_begun(user, _Made(seconds=6000))) as verifier:
        assert len(proc.children(os.getpid())) == len(children) + 1
        verifier.close()  # before the job is waited for
        assert proc.children(os.getpid()) == children
    assert os.listdir("/proc/self/fd") == files


def test_it_ends_when_its_maker_is_killed(user: Owner) -> None:
    """Or it would go on holding the lock of the lineage."""
    seen, tells = os.pipe()
    maker = os.fork()
    if maker == 0:
        _begun(user, _Made(seconds=6000))
        os.write(tells, str(*proc.children(os.getpid())).encode())
        time.sleep(6000)
    verifier = int(os.read(seen, 20))
    os.kill(maker, signal.SIGKILL)
    os.waitpid(maker, 0)
    wait_until(lambda: (found := proc.stat(verifier)) is None or found.ended)
    os.close(seen)
    os.close(tells)


@pytest.mark.parametrize(
    ("checkpointer", "mebibytes", "name", "taken"),
    [
        ("criu", 64, "pages-1.img", True),
        ("criu", 64, "pages-2.img.zst", True),
        ("criu", 63, "pages-1.img", False),
        ("criu", 64, "pagemap-1.img", False),
        ("criu", 64, "files.img", False),
        ("dmtcp", 64, "pages-1.img", False),
        ("of a third party", 64, "pages-1.img", False),
    ],
)
def test_only_large_memory_is_left_for_later_and_only_where_a_restore_waits(
    checkpointer: str, mebibytes: int, name: str, taken: bool
) -> None:
    files = (ImageFile("core-1.img", 100, "0"), ImageFile(name, mebibytes * _MIB, "0"))
    manifest = samples.a_manifest(checkpointer=checkpointer, image=files)
    verifier = MemoryVerifier(Owner("ann", 1000, 1000, ()), Settings(criu_path=Path("/criu")))
    assert verifier.takes(manifest) == (frozenset({name}) if taken else frozenset())
