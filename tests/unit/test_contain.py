# SPDX-License-Identifier: MIT
"""A checkpointer counts as the owner's program: what it may do, and that nothing of it stays."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import LIMIT_SECONDS
from tests.unit import real
from torqueckpt.identity import Owner
from torqueckpt.process import privileges, proc
from torqueckpt.rights import contain, seccomp

_RIGHTS = ("checkpoint_restore",)
_SECONDS = LIMIT_SECONDS
_TIME_TO_BEGIN = 15  # seconds, on a machine that has much else to do
_CHECKPOINT_RESTORE = 1 << 40

# Leaves a process in a session of its own that has its capabilities; its number is in argv[1].
_LEAVE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        {holds}
        with open(sys.argv[1], "w") as file:
            file.write(str(os.getpid()))
        os.rename(sys.argv[1], sys.argv[2])
        {goes_on}
    os._exit(0)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
{ends}
"""
_NOTHING = "os.closerange(0, 3)"
_ITS_OUTPUT = "pass"
_SLEEPS = "time.sleep(6000)"
# Each is the child of one that has just ended: who looks at one sees it dead.
_GOES_ON_FORKING = """
        while True:
            if os.fork():
                os._exit(0)
"""

_TRY = """
import ctypes, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(*words):
    return "done" if libc.syscall(*words) >= 0 else ctypes.get_errno()
def opened(family, protocol=0):
    try:
        return socket.socket(family, socket.SOCK_RAW, protocol).close() or "done"
    except OSError as refused:
        return refused.errno
print(call({unshare}, 0x10000000), opened(17), opened(16, 15), opened(16, 0), opened(16, 4))
"""


def _argv(owner: Owner, code: str, *arguments: str) -> list[str]:
    return privileges.as_owner_argv(owner, _RIGHTS, real.python(code, *arguments))


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the user can write."""
    made = Path(tempfile.mkdtemp(dir="/tmp"))
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


def _places(place: Path) -> list[str]:
    return [str(place / "new"), str(place / "left")]


def test_a_dump_has_the_capabilities_that_were_named_and_no_way_to_others(user: Owner) -> None:
    status = contain.run_alone(_argv(user, "print(open('/proc/self/status').read())"), _SECONDS)
    rows = dict(line.split(":\t", 1) for line in status.output.splitlines() if ":\t" in line)
    assert rows["Uid"].split() == [str(user.uid)] * 4
    assert {int(rows[name], 16) for name in ("CapPrm", "CapEff")} == {_CHECKPOINT_RESTORE}
    assert (rows["NoNewPrivs"], rows["Seccomp"]) == ("1", "2")


def test_a_setuid_program_gives_a_dump_nothing(user: Owner) -> None:
    code = "import os; os.execv('/usr/bin/sudo', ['sudo', '-n', 'true'])"
    finished = contain.run_alone(_argv(user, code), _SECONDS)
    assert not finished.ok and "new privileges" in finished.stderr


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of unshare is x86-64's")
def test_calls_that_no_dump_needs_are_refused(user: Owner) -> None:
    argv = _argv(user, _TRY.format(unshare=272))
    assert contain.run_alone(argv, _SECONDS).output.split() == ["1", "1", "1", "done", "done"]
    free = contain.run_alone(argv, _SECONDS, held=False)
    assert free.output.split()[0] == "done", "what the filter refuses can be had without it"


_KEY = """
import ctypes, sys
libc = ctypes.CDLL(None)
SESSION = -3
if sys.argv[1] == "add":
    libc.syscall(250, 1, None)
    assert libc.syscall(248, b"user", b"secret", b"x", 1, SESSION) > 0
    from torqueckpt.rights import contain
    import subprocess
    print(contain.run_alone(sys.argv[2:], 60).output)
    print(subprocess.run(sys.argv[2:], capture_output=True, text=True).stdout)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of calls are x86-64's")
def test_a_dump_has_no_keys_of_the_session_that_root_calls_it_from(user: Owner) -> None:
    look = _argv(user, "print(open('/proc/keys').read().count('secret'))")
    caller = real.python(_KEY, "add", *look)
    shown = subprocess.run(caller, capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["0", "1"]


def test_without_libseccomp_a_dump_still_has_no_way_to_other_privileges(
    user: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seccomp, "available", lambda: False)
    argv = _argv(user, "print(open('/proc/self/status').read())")
    assert "NoNewPrivs:\t1" in contain.run_alone(argv, _SECONDS).output


def test_where_the_filter_cannot_be_loaded_the_dump_goes_on_with_the_rest(
    user: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses() -> None:
        raise OSError(22, "libseccomp")

    monkeypatch.setattr(seccomp, "refuse_what_no_dump_needs", refuses)
    argv = _argv(user, "print(open('/proc/self/status').read())")
    finished = contain.run_alone(argv, _SECONDS)
    assert finished.ok and "NoNewPrivs:\t1" in finished.output
    assert "Seccomp:\t0" in finished.output


@pytest.mark.parametrize("holds", [_NOTHING, _ITS_OUTPUT])
@pytest.mark.parametrize("goes_on", [_SLEEPS, _GOES_ON_FORKING])
@pytest.mark.parametrize("ends", ["", "os.kill(os.getpid(), 9)"])
def test_what_a_dump_has_left_in_a_session_of_its_own_is_ended(
    user: Owner, place: Path, holds: str, goes_on: str, ends: str
) -> None:
    places = _places(place)
    argv = _argv(user, _LEAVE.format(holds=holds, goes_on=goes_on, ends=ends), *places)
    mine = set(proc.children(os.getpid()))
    finished = contain.run_alone(argv, _SECONDS)
    assert finished.status == (-9 if ends else 0)
    assert (place / "left").exists()
    assert not _of(user), "a process of the user's is left"
    assert set(proc.children(os.getpid())) == mine


def test_what_a_dump_has_left_is_ended_with_it_at_its_time_limit(user: Owner, place: Path) -> None:
    text = _LEAVE.format(holds=_ITS_OUTPUT, goes_on=_GOES_ON_FORKING, ends=_SLEEPS)
    finished = contain.run_alone(_argv(user, text, *_places(place)), _TIME_TO_BEGIN)
    assert finished.status is None
    assert (place / "left").exists()
    assert not _of(user)


def test_what_a_dump_has_left_is_ended_also_when_its_caller_was_killed(
    user: Owner, place: Path
) -> None:
    places, go_on = _places(place), place / "go-on"
    waits = f"while not os.path.exists({str(go_on)!r}): time.sleep(0.01)"
    argv = _argv(user, _LEAVE.format(holds=_NOTHING, goes_on=_SLEEPS, ends=waits), *places)
    caller = os.fork()
    if caller == 0:
        contain.run_alone(argv, _SECONDS)
        os._exit(0)
    real.until((place / "left").exists, "the process that is left")
    os.kill(caller, signal.SIGKILL)
    os.waitpid(caller, 0)
    left = int((place / "left").read_text())
    assert not real.ended(left)
    go_on.touch()
    real.until(lambda: real.ended(left), "its end")


def test_what_a_restore_has_left_is_ended_when_it_has_capabilities(
    user: Owner, place: Path
) -> None:
    places = _places(place)
    argv = _argv(user, _LEAVE.format(holds=_ITS_OUTPUT, goes_on=_SLEEPS, ends=""), *places)
    finished = contain.run_as_parent(argv, user, _RIGHTS, _SECONDS, {}, (), lambda: None)
    assert finished.ok, finished.stderr
    assert not _of(user)


def test_a_restored_job_without_capabilities_is_left_alone(user: Owner, place: Path) -> None:
    places = _places(place)
    words = real.python(_LEAVE.format(holds=_NOTHING, goes_on=_SLEEPS, ends=""), *places)
    argv = privileges.as_owner_argv(user, (), words)
    finished = contain.run_as_parent(argv, user, _RIGHTS, _SECONDS, {}, (), lambda: None)
    assert finished.ok, finished.stderr
    (left,) = _of(user)
    assert not real.ended(left)
    real.kill(left)
    os.waitpid(left, 0)


def test_of_a_restore_that_fails_no_part_is_left_that_holds_a_number(
    user: Owner, place: Path
) -> None:
    """The parts of its tree become ours, and would be zombies until we end."""
    before = proc.children(os.getpid())
    ends = "os._exit(3)"
    words = real.python(_LEAVE.format(holds=_NOTHING, goes_on=_SLEEPS, ends=ends), *_places(place))
    argv = privileges.as_owner_argv(user, (), words)
    finished = contain.run_as_parent(argv, user, _RIGHTS, _SECONDS, {}, (), lambda: None)
    assert finished.status == 3, finished.stderr
    assert not _of(user)
    assert proc.children(os.getpid()) == before


def _of(user: Owner) -> list[int]:
    found = ((each.pid, proc.credentials(each.pid)) for each in proc.everything() if not each.ended)
    return [pid for pid, ids in found if ids is not None and ids.uids[0] == user.uid]
