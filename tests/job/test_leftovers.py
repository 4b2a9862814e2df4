# SPDX-License-Identifier: MIT
"""A restore that failed leaves nothing of its own behind, and takes nothing of its user's away."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.job.file_jobs import crashed_at, python, started
from tests.support import INSTALLED, Running, Site, User, lines, wait_until

# It has deleted files and directories, open and mapped, and sockets at a path and without one.
HOLDS = """
import ctypes, socket
place = os.getcwd()
def deleted(name):
    file = open(name, "wb+", 0)
    file.write(b"content" * 1000)
    file.seek(0)
    os.unlink(name)
    return file
opened = deleted("opened")
def mapped(name):
    with deleted(name) as file:
        return mmap.mmap(file.fileno(), 7000)
area = mapped("mapped")
shared = mapped(f"/dev/shm/tckpt-left-{os.getpid()}")
open("shared", "w").write(f"/dev/shm/tckpt-left-{os.getpid()}")
os.makedirs("one/below")
below = deleted("one/below/file")
os.rmdir("one/below")
os.rmdir("one")
os.mkdir("cwd")
os.chdir("cwd")
os.rmdir(place + "/cwd")
ears = [socket.socket(socket.AF_UNIX) for _ in range(2)]
for name, ear in zip(("ear", "unlinked"), ears):
    ear.bind(f"{place}/{name}")
    ear.listen()
os.unlink(place + "/unlinked")
for i in steps():
    assert area[:7] == shared[:7] == b"content"
assert opened.read() == b"content" * 1000
"""
LISTENS = """
port = socket.socket()
port.bind(("127.0.0.1", 0))
port.listen()
open(place + "/port", "w").write(str(port.getsockname()[1]))
"""
PROGRAM = python(HOLDS.replace("for i in", LISTENS + "for i in"))
_CRIU = f"{INSTALLED}/criu/criu"


def names(running: Running) -> list[str]:
    """All names in the job's directory, and the deleted ones that are back in /dev/shm.

    Not that of the socket that is bound there, before and after.
    """
    data = running.directory / "data"
    shared = Path((data / "shared").read_text())
    found = [*data.rglob("*"), *shared.parent.glob(f"{shared.name}*")]
    return sorted(str(each) for each in found if each.name != "ear")


def resumed_in_vain(site: Site, user: User, running: Running) -> str:
    again = site.resume(user, running.job, running.directory)
    assert again.wait() == 125
    return again.err()


def ends_as_if_nothing_had_been(site: Site, user: User, running: Running) -> None:
    again = site.resume(user, running.job, running.directory)
    assert again.wait() == 0, again.err()
    assert again.out() == lines(60)


@pytest.fixture
def crashed(site: Site, user: User) -> Iterator[Running]:
    running = started(site, user, PROGRAM)
    crashed_at(running, 5, 8)
    yield running
    with suppress(FileNotFoundError):
        os.unlink((running.directory / "data" / "shared").read_text())


def test_a_restore_that_is_tried_again_finds_nothing_in_its_way(
    site: Site, user: User, crashed: Running
) -> None:
    before = names(crashed)
    port = int((crashed.directory / "data" / "port").read_text())
    said = site.lineage(crashed.job) / "1" / "work" / "restore.log"
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        again = site.resume(user, crashed.job, crashed.directory)
        wait_until(lambda: "Address already in use" in said.read_text())
    assert again.wait() == 0, again.err()
    assert again.out() == lines(60)
    assert names(crashed) == before


def test_after_a_criu_that_was_killed_midway_its_names_are_taken_away(
    site: Site, user: User, crashed: Running
) -> None:
    before = names(crashed)
    _signalled(site, "KILL", crashed.directory / "told")
    resumed_in_vain(site, user, crashed)
    assert (crashed.directory / "told").exists()
    assert names(crashed) == before
    site.configure()
    ends_as_if_nothing_had_been(site, user, crashed)


def test_after_a_node_that_died_meanwhile_the_next_restart_takes_them_away(
    site: Site, user: User, crashed: Running
) -> None:
    before = names(crashed)
    _signalled(site, "STOP", crashed.directory / "told")
    dies = site.resume(user, crashed.job, crashed.directory)
    wait_until((crashed.directory / "told").exists)
    dies.crash()
    assert any(name.endswith(".ghost") for name in names(crashed))
    mine = crashed.directory / "data" / "opened.cr_link"
    mine.write_text("the user's own")
    site.configure()
    ends_as_if_nothing_had_been(site, user, crashed)
    assert names(crashed) == sorted([*before, str(mine)])
    assert mine.read_text() == "the user's own"


def test_a_file_of_the_users_in_the_way_is_named_and_stays(
    site: Site, user: User, crashed: Running
) -> None:
    mine = [crashed.directory / "data" / name for name in ("opened", "opened.cr_link")]
    for each in mine:
        each.write_text("the user's own")
        os.chown(each, user.uid, user.gid)
    assert "opened.cr_link is in the way" in resumed_in_vain(site, user, crashed)
    assert [each.read_text() for each in mine] == ["the user's own"] * 2
    mine[1].unlink()
    ends_as_if_nothing_had_been(site, user, crashed)
    assert mine[0].read_text() == "the user's own"


def test_a_socket_of_a_program_that_runs_is_not_taken_from_it(
    site: Site, user: User, crashed: Running
) -> None:
    path = crashed.directory / "data" / "unlinked"
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(str(path))
        os.chown(path, user.uid, user.gid)
        assert f"{path} is the socket of a program" in resumed_in_vain(site, user, crashed)
        assert path.is_socket()
    ends_as_if_nothing_had_been(site, user, crashed)


def _signalled(site: Site, signal: str, told: Path) -> None:
    """CRIU gets a signal at a restore, when all that it makes is there and the job does not run."""
    script, program = site.root / "at-its-end", site.root / "criu"
    script.write_text(
        "#!/bin/sh\n[ $CRTOOLS_SCRIPT_ACTION = post-restore ] || exit 0\n"
        f"touch {told}\nkill -{signal} $PPID\n"
    )
    program.write_text(
        f'#!/bin/sh\n[ "$1" != restore ] || exec {_CRIU} "$@" --action-script {script}\n'
        f'exec {_CRIU} "$@"\n'
    )
    script.chmod(0o755)
    program.chmod(0o755)
    site.configure(criu_path=str(program))
