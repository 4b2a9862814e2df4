# SPDX-License-Identifier: MIT
"""What is found out about real processes from outside: connections, strays, who waits how."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit import real
from torqueckpt.checkpointers.criu import felt, limits, lost
from torqueckpt.findings import HAZARD, NOTE, REFUSED, Finding
from torqueckpt.process import job_processes, monotonic_waits, proc, resources, sockets, tree

Start = Callable[..., "subprocess.Popen[bytes]"]

_CONNECT = """\
import socket, sys, time
family = socket.AF_UNIX if '/' in sys.argv[1] else getattr(socket, sys.argv[2])
one = socket.socket(family)
one.connect(sys.argv[1] if '/' in sys.argv[1] else (sys.argv[1], int(sys.argv[3])))
print(1, flush=True); time.sleep(60)
"""


def found(process: subprocess.Popen[bytes]) -> list[Finding]:
    return limits.findings(held(process))


def held(process: subprocess.Popen[bytes]) -> resources.Holdings:
    members = tree.below(root_of(process))
    return resources.of_tree(members, tree.open_links(members))


def root_of(process: subprocess.Popen[bytes]) -> proc.Stat:
    found = proc.stat(process.pid)
    assert found is not None
    return found


def connected(started: Start, *where: str) -> subprocess.Popen[bytes]:
    process = started(*real.python(_CONNECT, *where), stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    return process


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize(
    ("name", "who", "remedy"),
    [
        ("sss/nss", "sssd", "client_idle_timeout"),
        ("nscd/socket", "nscd", "checkpoint again"),
        ("dbus/system_bus_socket", "the node's D-Bus", "DBUS_SYSTEM_BUS_ADDRESS"),
        ("1000/bus", "D-Bus", "dbus-run-session"),
        ("dbus-Xy7/a", "D-Bus", "dbus-run-session"),
        (".X11-unix/X0", "X server", "env -u DISPLAY"),
        ("other/ear", "outside of the job's tree", "close it"),
    ],
)
def test_a_stream_to_a_daemon_is_refused_with_its_name_and_what_to_set(
    started: Start, place: Path, name: str, who: str, remedy: str, accepted: bool
) -> None:
    path = place / name
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(str(path))
        ear.listen()
        process = connected(started, str(path))
        other = ear.accept()[0] if accepted else None
        (one,) = found(process)
        assert (one.severity, one.where.pid, one.subject) == (
            REFUSED,
            process.pid,
            f"UNIX socket to {path}",
        )
        assert who in one.what and remedy in one.remedy
        if other is not None:
            other.close()
            assert found(process) == []  # CRIU saves an end whose other one is closed


@pytest.mark.parametrize(
    ("family", "address", "told"),
    [
        ("AF_INET", "127.0.0.1", "127.0.0.1"),
        ("AF_INET6", "::1", "::1"),
        ("AF_INET6", "::ffff:127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_tcp_connection_to_another_program_is_told_with_its_address(
    started: Start, family: str, address: str, told: str
) -> None:
    with socket.socket(getattr(socket, family)) as ear:
        ear.bind((address, 0))
        ear.listen()
        port = ear.getsockname()[1]
        process = connected(started, address, family, str(port))
        with ear.accept()[0]:
            (one,) = found(process)
    assert (one.severity, one.subject) == (HAZARD, f"TCP connection to {told}:{port}")


def test_a_process_without_sockets_has_the_kernel_asked_for_none(
    started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = started("/bin/sleep", "60")
    monkeypatch.setattr(sockets, "_dump", lambda _: pytest.fail("asked"))
    assert found(process) == []


def test_an_orphan_in_the_jobs_session_is_a_stray_and_the_shell_above_is_not(
    started: Start,
) -> None:
    process = started("/bin/sh", "-c", "(sleep 61 & ) ; sleep 62; :")

    def sleeper() -> list[proc.Stat]:
        return [each for each in tree.below(root_of(process))[1:] if each.name == "sleep"]

    real.until(lambda: sleeper() and sleeper()[0].ppid == process.pid, "the second sleep")
    inner = sleeper()[0]

    def found() -> bool:
        strays = job_processes.strays(tree.below(inner), process.pid, os.getuid())
        return [proc.argv(each.pid) for each in strays] == [["sleep", "61"]]

    real.until(found, "the first sleep, and nobody else")


def test_a_daemon_in_a_session_of_its_own_is_a_stray_by_its_environment(started: Start) -> None:
    job = f"{os.getpid()}.strays"
    line = "setsid sh -c 'sleep 63 & sleep 64 & :'; sleep 65; :"
    process = started("/bin/sh", "-c", line, env={**os.environ, "PBS_JOBID": job})

    def strays() -> list[proc.Stat]:
        return job_processes.strays(tree.below(root_of(process)), process.pid, os.getuid())

    real.until(lambda: len(strays()) == 2, "two daemons")
    for each in strays():
        real.kill(each.pid)


@pytest.mark.parametrize(
    ("argv", "waits"),
    [
        (["/bin/sleep", "60"], False),
        (real.python("import time; time.sleep(60)"), True),
        (real.python("import select; select.select([], [], [], 60)"), True),
        (real.python("import signal; signal.pause()"), False),
        (real.python("import threading as t; t.Thread(target=t.Event().wait).start()"), False),
        (
            real.python(
                "import threading as t; t.Thread(target=t.Event().wait, args=[60]).start()"
            ),
            True,
        ),
    ],
)
def test_who_waits_until_a_time_of_the_monotonic_clock(
    started: Start, argv: list[str], waits: bool
) -> None:
    process = started(*argv)
    real.until(lambda: real.state(process.pid) == "S", "its wait")
    real.until(
        lambda: bool(monotonic_waits.waiting([root_of(process)])) == waits, f"waits: {waits}"
    )
    assert monotonic_waits.waiting([root_of(process)]) == ((process.pid,) if waits else ())


def test_a_multicast_group_of_the_node_is_named_where_the_job_has_a_udp_socket(
    started: Start,
) -> None:
    program = (
        "import socket, time; one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "to = socket.inet_aton('127.0.0.1');"
        "one.setsockopt(0, 35, socket.inet_aton('239.7.7.7') + to);"
        "six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM);"
        "group = socket.inet_pton(socket.AF_INET6, 'ff15::7');"
        "six.setsockopt(41, 20, group + (1).to_bytes(4, 'little')); print(flush=True);"
        "time.sleep(600)"
    )
    joined = started(*real.python(program), stdout=subprocess.PIPE)
    assert joined.stdout is not None and joined.stdout.readline()
    told = lost.findings(held(joined), Path("/"))
    assert {each.subject for each in told} >= {"239.7.7.7", "ff15::7"}
    assert not {each.subject for each in told} & {"224.0.0.1", "ff02::1"}
    without = started("/bin/sleep", "600")
    assert lost.findings(held(without), Path("/")) == []


def test_without_the_library_it_is_said_what_does_not_come_back(started: Start) -> None:
    program = "import ctypes, time; ctypes.CDLL(None).personality(0x20000); print(flush=True);"
    process = started(*real.python(program + "time.sleep(600)"), stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    (told,) = lost.findings(held(process), Path("/nonexistent/attributes.so"))
    assert (told.severity, told.where and told.where.pid) == (HAZARD, process.pid)
    assert "personality" in told.what and "C compiler" in told.remedy
    assert lost.findings(held(process), Path("/bin/true")) == []


def test_without_the_library_for_dumps_a_note_says_what_the_job_feels(started: Start) -> None:
    process = started("/bin/sleep", "600")
    (told,) = felt.findings(held(process), Path("/nonexistent/continue-calls.so"))
    assert (told.severity, told.where and told.where.pid) == (NOTE, process.pid)
    assert "EINTR" in told.what and "continue-calls.so" in told.what
    assert felt.findings(held(process), Path("/bin/true")) == []
