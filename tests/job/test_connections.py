# SPDX-License-Identifier: MIT
"""TCP connections within a job are saved and restored, and CRIU has no right over the network."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import INSTALLED, MAY_END, Site, User, lines
from tests.unit import real
from torqueckpt.process import sockets

NET_ADMIN = 1 << 12

# One process sends numbers without a pause, so both queues are full at any moment; the other takes
# its time, and prints a line for each few that came in their order.
PUMP = """#!/usr/bin/python3 -u
import os, socket, struct, time
BLOCK = 4096
def numbers(first):
    return struct.pack(f"={{BLOCK}}I", *range(first, first + BLOCK))
ear = socket.create_server(({listens!r}, 0), family=socket.{family}, dualstack_ipv6={dual})
if os.fork() == 0:
    mouth = socket.create_connection(({calls!r}, ear.getsockname()[1]))
    ear.close()
    sent = 0
    while True:
        mouth.sendall(numbers(sent))
        sent += BLOCK
talk, _ = ear.accept()
ear.close()
for line in range(1, 61):
    while line == 60 and not os.path.exists(os.environ["PBS_O_WORKDIR"] + "/{may_end}"):
        time.sleep(0.05)
    wanted, came = numbers((line - 1) * BLOCK), b""
    while len(came) < len(wanted):
        came += talk.recv(len(wanted) - len(came))
    assert came == wanted, "what came is not what was sent"
    print("line", line)
    time.sleep(0.05)
raise SystemExit(7)
"""
KINDS = {
    "IPv4": ("127.0.0.1", "AF_INET", False, "127.0.0.1"),
    "IPv6": ("::1", "AF_INET6", False, "::1"),
    "IPv4 at an IPv6 socket": ("::", "AF_INET6", True, "127.0.0.1"),
}


def pump(kind: str) -> str:
    listens, family, dual, calls = KINDS[kind]
    return PUMP.format(listens=listens, family=family, dual=dual, calls=calls, may_end=MAY_END)


@pytest.fixture
def spied(site: Site, user: User) -> Path:
    """A file with the status of each criu that this site's programs have run."""
    program = user.directory() / "criu"
    note = program.with_name("criu.status")
    note.touch()
    note.chmod(0o666)
    program.write_text(
        "#!/bin/sh\n"
        f'case $1 in dump|restore) echo "Verb: $1"; cat /proc/self/status;; esac >>"{note}"\n'
        f'exec {INSTALLED}/criu/criu "$@"\n'
    )
    program.chmod(0o755)
    site.configure(criu_path=str(program), repeat_window_seconds=0)
    return note


def verbs_without_net_admin(note: Path) -> list[str]:
    found = note.read_text().splitlines()
    rights = [int(line.split()[1], 16) for line in found if line.startswith("CapPrm")]
    assert rights and not any(each & NET_ADMIN for each in rights)
    return [line.split()[1] for line in found if line.startswith("Verb")]


def processes(user: User) -> set[int]:
    """Those that run the job script."""
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            his = place.stat().st_uid == user.uid
            if his and b"python3" in (place / "cmdline").read_bytes()[:20]:
                found.add(int(place.name))
    return found


def descriptors(pid: int) -> dict[str, str]:
    """What each of its descriptors is: a file in some directory, or its kind."""
    places = Path(f"/proc/{pid}/fd").iterdir()
    return {each.name: os.readlink(each).partition(":[")[0].rpartition("/")[0] for each in places}


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_goes_on_after_each_crash_with_all_that_was_under_way(
    site: Site, user: User, spied: Path, kind: str
) -> None:
    running = site.start(user, user.script(pump(kind), user.directory()), "-c", "enabled")
    for reached in (3, 12, 21):
        running.wait_for_line(reached)
        for _ in range(2):
            answer = subprocess.run(running.hook_argv(), capture_output=True, text=True)
            assert answer.returncode == 0, answer.stderr
        running.wait_for_line(reached + 3)
        running.crash()
        running = site.resume(user, running.job, running.directory)
        site.wait_for_restart(running)
    assert running.wait() == 7, running.err()
    assert running.out() == lines(60)
    assert verbs_without_net_admin(spied) == ["dump", "dump", "restore"] * 3


def test_a_held_job_has_its_connection_again(site: Site, user: User, spied: Path) -> None:
    running = site.start(user, user.script(pump("IPv4"), user.directory()), "-c", "enabled")
    for reached in (3, 9):
        running.wait_for_line(reached)
        held = site.call(user, "hold", running.job)
        assert held.returncode == 0, held.stderr
        released = site.call(user, "release", running.job)
        assert released.returncode == 0, released.stderr
    assert running.wait() == 7, running.err()
    assert running.out() == lines(60)
    assert verbs_without_net_admin(spied) == ["dump", "restore"] * 2


def test_what_was_not_in_the_job_is_not_in_it_after_a_restart(
    site: Site, user: User, spied: Path
) -> None:
    """No library, no variable of ours, no descriptor: the job is what its memory says."""
    running = site.start(user, user.script(pump("IPv4"), user.directory()), "-c", "enabled")
    running.wait_for_line(3)
    tree = processes(user)
    before = {pid: descriptors(pid) for pid in tree}
    assert subprocess.run(running.hook_argv()).returncode == 0
    running.crash()
    running = site.resume(user, running.job, running.directory)
    site.wait_for_restart(running)
    assert processes(user) == tree
    for pid in tree:
        for name in ("maps", "environ"):
            assert b"tcp" not in Path(f"/proc/{pid}/{name}").read_bytes().lower()
        assert descriptors(pid) == before[pid]
    assert running.wait() == 7, running.err()


def test_a_criu_that_is_killed_leaves_the_connection_as_it_was(site: Site, user: User) -> None:
    """Killed when it has read one end, and before it has read the other."""
    directory = user.directory()
    program = directory / "criu"
    program.write_text(
        "#!/bin/bash\n"
        'if [ "$1" = dump ]; then\n'
        f'    {INSTALLED}/criu/criu "$@" & images=${{@##*--images-dir}}\n'
        '    while [ "$1" != --images-dir ]; do shift; done\n'
        '    until ls "$2"/tcp-stream-* >/dev/null 2>&1; do :; done\n'
        "    kill -9 $!\n    wait $!\nfi\n"
        f'exec {INSTALLED}/criu/criu "$@"\n'
    )
    program.chmod(0o755)
    running = site.start(user, user.script(pump("IPv4"), directory), "-c", "enabled")
    running.wait_for_line(3)
    assert subprocess.run(running.hook_argv()).returncode == 0
    good = site.generations(running.job)
    site.configure(criu_path=str(program), repeat_window_seconds=0)
    assert subprocess.run(running.hook_argv(), capture_output=True).returncode == 43
    assert site.generations(running.job) == good
    running.wait_for_line(20)
    assert running.wait() == 7, running.err()
    assert running.out() == lines(60)


def test_without_the_library_a_job_with_connections_is_refused_until_one_of_two_remedies(
    site: Site, user: User, spied: Path
) -> None:
    library = site.root / "lib" / "torqueckpt" / "preload"
    running = site.start(user, user.script(pump("IPv4"), user.directory()), "-c", "enabled")
    running.wait_for_line(3)
    library.unlink()
    refused = subprocess.run(running.hook_argv(), capture_output=True, text=True)
    assert refused.returncode == 19
    assert len(refused.stderr.splitlines()) == 1
    assert "run make install again" in refused.stderr
    assert "criu_net_admin = true" in refused.stderr
    site.configure(criu_path=str(spied.with_name("criu")), criu_net_admin=True)
    dumped = subprocess.run(running.hook_argv(), capture_output=True, text=True)
    assert dumped.returncode == 0, dumped.stderr
    given = [line for line in spied.read_text().splitlines() if line.startswith("CapPrm")]
    assert all(int(line.split()[1], 16) & NET_ADMIN for line in given)
    # that image's connections are in no manifest: both their ends are in the image
    site.configure()
    running.crash()
    lost = site.resume(user, running.job, running.directory)
    assert lost.wait_as_it_is() == 125
    assert "criu_net_admin = true" in lost.err()
    library.symlink_to(INSTALLED / "preload")
    resumed = site.resume(user, running.job, running.directory)
    assert resumed.wait() == 7, resumed.err()
    assert resumed.out() == lines(60)


# Both ends are silent, so that each is remembered once it is closed; and the port where it listens
# is in the way of nobody but itself: SO_REUSEADDR is not set.
SILENT = """#!/usr/bin/python3 -u
import os, socket, time
ear = socket.socket()
ear.bind(("127.0.0.1", 0))
ear.listen()
def connected():
    call = socket.create_connection(ear.getsockname())
    return call, ear.accept()[0]
for _ in range(3):  # this end is closed first
    call, talk = connected()
    talk.close()
    call.close()
call, talk = connected()
for line in range(1, 31):
    while line == 30 and not os.path.exists(os.environ["PBS_O_WORKDIR"] + "/{may_end}"):
        time.sleep(0.05)
    call.send(b"x")
    assert talk.recv(1) == b"x"
    print("line", line)
    time.sleep(0.05)
raise SystemExit(7)
"""


@pytest.mark.skipif(not real.forgets_ended_connections(), reason="a kernel that cannot forget them")
def test_a_restart_waits_for_no_address_that_only_the_kernel_remembers(
    site: Site, user: User, spied: Path
) -> None:
    text = SILENT.format(may_end=MAY_END)
    running = site.start(user, user.script(text, user.directory()), "-c", "enabled")
    for reached in (3, 9):
        running.wait_for_line(reached)
        answer = subprocess.run(running.hook_argv(), capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        running.wait_for_line(reached + 3)
        running.crash()
        assert any(each.state == sockets.TIME_WAIT for each in sockets.tcp())
        running = site.resume(user, running.job, running.directory)
        site.wait_for_restart(running)
    assert running.wait() == 7, running.err()
    assert running.out() == lines(30)
    assert verbs_without_net_admin(spied) == ["dump", "restore"] * 2


OUTSIDE = """#!/usr/bin/python3 -u
import os, socket, time
talk = socket.create_connection(("127.0.0.1", {port}))
talk.settimeout(5)
print("line 1")
while not os.path.exists(os.environ["PBS_O_WORKDIR"] + "/{may_end}"):
    time.sleep(0.05)
try:
    talk.sendall(b"still there?")
    print("line 2" if talk.recv(100) == b"" else "an answer")
except OSError:
    print("line 2")
raise SystemExit(7)
"""


def test_a_job_whose_connection_leads_outside_is_restarted_and_told_that_nobody_answers(
    site: Site, user: User
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        text = OUTSIDE.format(port=outside.getsockname()[1], may_end=MAY_END)
        running = site.start(user, user.script(text, user.directory()), "-c", "enabled")
        there, _ = outside.accept()
        running.wait_for_line(1)
        answer = subprocess.run(running.hook_argv(), capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        running.crash()
        there.close()
    resumed = site.resume(user, running.job, running.directory)
    assert resumed.wait() == 7, resumed.err()
    assert resumed.out() == lines(2)
