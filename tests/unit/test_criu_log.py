# SPDX-License-Identifier: MIT
"""Why criu failed, in one line that a job's owner can act on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from torqueckpt.checkpointers.criu import log as criu_log

_SIZE = """\
(00.001312) Warn  (criu/cr-restore.c:1291): Set CLONE_PARENT | CLONE_NEWPID but it might cause
(00.010001) pid 4242: Opening 0x00000000000000
(00.012345)   4242: Error (criu/files-reg.c:2316): File home/ann/traj has bad size 20 (expect 10)
(00.012399)   4242: Error (criu/files.c:1221): Unable to open fd=3 id=0x5
(00.020000) Error (criu/cr-restore.c:2557): Restoring FAILED.
"""
_PID = """\
(00.003001) Error (criu/cr-restore.c:1420): Can't fork for 4242: File exists
(00.003100) Error (criu/cr-restore.c:2557): Restoring FAILED.
"""
_SYSV = """\
(00.020001) Error (criu/proc_parse.c:640): Can't dump SysV shared memory segment
(00.020100) Error (criu/cr-dump.c:2111): Dumping FAILED.
"""
_ROOM = """\
(00.120001) Error (criu/bfd.c:133): bfd: Unable to write: No space left on device
(00.120100) Error (criu/cr-dump.c:2111): Dumping FAILED.
"""
_UNKNOWN = """\
(00.000010) Version: 4.2.1 (gitid 0)
(00.020001) Error (criu/strange.c:7): The sky is falling: 42
(00.020100) Error (criu/cr-dump.c:2111): Dumping FAILED.
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (_SIZE, "file /home/ann/traj has 20 bytes, the image needs 10"),
        (_PID, "pid 4242 is taken by another process on this node"),
        (_SYSV, "it uses SysV shared memory, which CRIU does not save"),
        (_ROOM, "no space left on the device"),
        (_UNKNOWN, "The sky is falling: 42"),
        ("", ""),
        ("(00.1) Warn (x.c:1): seccomp\n", ""),
    ],
)
def test_a_whole_log_gives_its_cause_and_not_what_followed(text: str, reason: str) -> None:
    assert criu_log.reason_in(text) == reason


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        ("inet: Connected TCP socket, consider using --tcp-established option.", True),
        ("inet: In-flight connection (l) for 1f2", True),
        ("inet: Unknown inet socket 1f2 state 2", True),
        ("unix: External socket is used. Consider using --ext-unix-sk option.", True),
        ("tty: Can't read data from tty (ptmx 0x1): No buffer space available", True),
        ("tty: Can't read data from tty (ptmx 0x1): Input/output error", False),
        ("Unexpected 68 task interruption, aborting", True),
        ("Can't dump SysV shared memory segment", False),
        ("bfd: Unable to write: No space left on device", False),
        ("The sky is falling: 42", False),
    ],
)
def test_what_lasts_a_moment_only_is_told_from_what_lasts(line: str, passes: bool) -> None:
    reason = criu_log.reason_in(f"(00.1) Error (criu/x.c:1): {line}\n")
    assert criu_log.is_of_a_moment(reason) is passes


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("Can't open file home/ann/my data on restore: No such file or directory", "my data"),
        ("Unexpected 68 task interruption, aborting", "its process 68, which is stopped"),
        ("Pid 17 do not match expected 4242 (task 4242)", "pid 4242 is taken"),
        ("Unable to detach 17: No such process", "its process 17 as soon as it was back"),
        ("inet: In-flight connection (l) for 1f2", "a TCP connection waits to be accepted"),
        ("unix: Non-empty write queue on an in-flight socket 0x1", "a UNIX connection waits"),
        ("tcp: Can't turn TCP repair mode ON: Operation not permitted", "half open or half closed"),
        ("Can't setgroups([1002 gid 0]): -1", "supplementary groups"),
        ("Can't bind inet socket: Address already in use", "TCP port is in use"),
        ("unix: Can't dump half of stream unix connection.", "process outside"),
        ("unix: External socket is used. Consider using --ext-unix-sk", "process outside"),
        ("inet: Connected TCP socket, consider using --tcp-established", "TCP connection"),
        ("tty: Found slave peer index 3 without correspond master peer", "terminal"),
        (
            "tty: Unable to open dev/ptmx with specified index 3",
            "terminal /dev/pts/3 is taken by another process on this node",
        ),
        ("A session leader of 17(17) is outside of its pid namespace", "start the job with setsid"),
        ("Can't dump io_uring fd 5", "io_uring"),
        ("fsnotify: \tCan't dump that handle", "a file with inotify whose path was not found"),
        ("fsnotify: Unable to open /a/b: No such file or directory", "/a/b, which it watches"),
        ("ptrace(PTRACE_O_SUSPEND_SECCOMP) failed: seccomp", "seccomp filter"),
        ("Can't dump file 3 of that type (mqueue /q)", "message queue"),
        ("write() failed: No space left on device", "no space left"),
        ("skqueue: Control messages in queue, not supported", "credentials waits in a UNIX socket"),
        ("Can't open 0/fd/21 on procfs: Permission denied", "may not be read"),
        ("inet: Can't dump corked dgram socket 1f037c7", "corked"),
        ("The packetized mode for pipes is not supported yet", "packets"),
        ("Can't make FS id for 2317", "pid 2317 shares with another process"),
        ("Zombies with threads are not supported", "first thread has ended"),
        ("Can't stat path: Permission denied", "may not reach a file"),
        ("Dump eventpoll (pid: 1826) failed with -1", "an epoll watches"),
        ("netlink: The socket has data to read", "netlink socket has data"),
        ("Can't setup 3 file owner pid: No such process", "process outside (F_SETOWN)"),
    ],
)
def test_a_known_cause_is_told_in_the_owners_words(line: str, part: str) -> None:
    told = criu_log.reason_in(f"(00.020001)   4242: Error (criu/some.c:12): {line}\n")
    assert part in told
    assert "Error" not in told and "criu/" not in told


def test_a_cause_after_an_unknown_line_is_still_found() -> None:
    text = _UNKNOWN.splitlines()[1] + "\n" + _PID
    assert criu_log.reason_in(text) == "pid 4242 is taken by another process on this node"


def test_a_file_name_with_braces_is_only_a_file_name() -> None:
    line = "Error (criu/files-reg.c:1): File home/{0}/{x} has bad size 2 (expect 1)"
    assert criu_log.reason_in(line) == "file /home/{0}/{x} has 2 bytes, the image needs 1"


def test_a_log_that_is_not_there_or_is_no_file_says_nothing_at_once(
    tmp_path: Path,
) -> None:
    assert criu_log.reason(tmp_path / "dump.log") == ""
    os.mkfifo(tmp_path / "fifo")
    assert criu_log.reason(tmp_path / "fifo") == ""
    assert criu_log.reason(tmp_path) == ""


def test_a_huge_log_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "dump.log"
    with open(log, "wb") as file:
        file.truncate(1 << 32)
        file.seek(0, 2)
        file.write(b"\n" + _PID.encode())
    assert criu_log.TAKEN in criu_log.reason(log)
