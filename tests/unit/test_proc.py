# SPDX-License-Identifier: MIT
"""A process is told apart from any later one with its pid, whatever its name looks like."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit import real
from torqueckpt.errors import ProcessReused
from torqueckpt.identity import Owner
from torqueckpt.process import privileges, proc

Start = Callable[..., "subprocess.Popen[bytes]"]


def _stat(pid: int) -> proc.Stat:
    found = proc.stat(pid)
    assert found is not None
    return found


def test_a_running_process_is_itself(started: Start) -> None:
    each = _stat(started("/bin/sleep", "60").pid)
    assert each.ppid == os.getpid()
    assert each.session == each.pgrp == each.pid
    assert proc.alive(each.id) is not None
    assert proc.still(each.id).id == each.id


def test_a_process_with_the_same_pid_that_started_later_is_another_one(started: Start) -> None:
    each = _stat(started("/bin/sleep", "60").pid).id
    earlier = each._replace(start_ticks=each.start_ticks - 1)
    assert proc.alive(earlier) is None
    with pytest.raises(ProcessReused, match=str(each.pid)):
        proc.still(earlier)


def test_a_process_of_before_the_last_boot_is_another_one(started: Start) -> None:
    each = _stat(started("/bin/sleep", "60").pid).id
    assert proc.alive(each._replace(boot_id="0" * 36)) is None


def test_a_zombie_has_ended_and_a_reaped_process_is_none(started: Start) -> None:
    process = started("/bin/sleep", "60")
    each = _stat(process.pid)
    process.send_signal(signal.SIGKILL)
    real.until(lambda: real.state(process.pid) == "Z", "a zombie")
    assert _stat(process.pid).ended
    assert proc.alive(each.id) is None
    process.wait()
    assert proc.stat(process.pid) is None
    assert proc.credentials(process.pid) is None
    assert proc.children(process.pid) == []
    assert proc.argv(process.pid) == []
    assert proc.environment(process.pid) == {}


def test_a_stopped_process_is_alive(started: Start) -> None:
    process = started("/bin/sleep", "60")
    process.send_signal(signal.SIGSTOP)
    real.until(lambda: real.state(process.pid) == "T", "a stopped process")
    assert proc.alive(_stat(process.pid).id) is not None


@pytest.mark.parametrize("name", ["a) S 1 (b", "with blank", ")", "((", "new\nline", "caf\udce9"])
def test_a_name_made_to_mislead_is_read_as_a_name(
    started: Start, tmp_path: Path, name: str
) -> None:
    program = tmp_path / name
    shutil.copy("/bin/sleep", program)
    process = started(str(program), "60")
    real.execed(process.pid, str(program))
    found = _stat(process.pid)
    assert (found.name, found.pid, found.ppid) == (name, process.pid, os.getpid())
    assert found.session == process.pid


def test_children_of_all_threads_are_children(started: Start) -> None:
    code = (
        "import subprocess, threading, time\n"
        "def fork(): subprocess.Popen(['/bin/sleep', '60']); time.sleep(60)\n"
        "threading.Thread(target=fork).start(); fork()\n"
    )
    process = started(*real.python(code))
    assert {each.ppid for each in real.children(process.pid, 2)} == {process.pid}


def test_argv_and_environment_are_as_at_the_start(started: Start) -> None:
    process = started("/bin/sleep", "60", env={"PBS_JOBID": "12.srv", "ODD": "a=b\nc"})
    real.execed(process.pid, "/bin/sleep")
    assert proc.argv(process.pid) == ["/bin/sleep", "60"]
    assert proc.environment(process.pid) == {"PBS_JOBID": "12.srv", "ODD": "a=b\nc"}


def test_the_start_in_seconds_is_when_it_started(started: Start) -> None:
    started_at = time.time()
    each = _stat(started("/bin/sleep", "60").pid)
    assert abs(proc.start_epoch(each.id) - started_at) <= 2


def test_credentials_are_those_of_the_user_it_became(started: Start, user: Owner) -> None:
    argv = privileges.as_owner_argv(user, (), ["/bin/sleep", "60"])
    process = started(*argv)
    real.execed(process.pid, "/bin/sleep")
    found = proc.credentials(process.pid)
    assert found is not None
    assert set(found.uids) == {user.uid} and set(found.gids) == {user.gid}
    assert sorted(found.groups) == sorted(user.groups)


def test_every_process_is_among_all_and_so_is_this_one() -> None:
    assert proc.still_me() in {each.id for each in proc.everything()}
    assert proc.still_me().pid == os.getpid()
