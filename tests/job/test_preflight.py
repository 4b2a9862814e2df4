# SPDX-License-Identifier: MIT
"""torqueckpt preflight on real jobs; and a restart after a boot, which only shows later."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any

import pytest

from tests.job.kinds.kind import PRELUDE
from tests.support import (
    LIMIT_SECONDS,
    Running,
    Site,
    User,
    counting,
    lines,
    python_counting,
    wait_until,
)
from torqueckpt import manifest
from torqueckpt.store import key

COUNTING = f"\n{python_counting(100)}"
# What a dump finds it in, whatever the rest of the program is just doing.
WAITING = "\nthreading.Thread(target=time.sleep, args=(9000,), daemon=True).start()"
SHARED = "libc.shmat.restype = ctypes.c_void_p\n" + (
    "segment = libc.shmget(0, 4096, 0o1600)\n"
    "libc.shmat(segment, None, 0)\n"
    "libc.shmctl(segment, 0, None)"
)


@pytest.fixture
def running(site: Site, user: User) -> Running:
    started = site.start(user, user.script(counting(100), user.directory()), "-c", "enabled")
    started.wait_for_line(1)
    return started


@pytest.fixture
def python(site: Site, user: User) -> Running:
    """A job that python waits in."""
    script = user.script(PRELUDE + WAITING + COUNTING, user.directory())
    started = site.start(user, script, "-c", "enabled")
    started.wait_for_line(1)
    return started


@pytest.fixture
def undumpable(site: Site, user: User) -> Running:
    script = user.script(PRELUDE + SHARED + COUNTING, user.directory())
    started = site.start(user, script, "-c", "enabled")
    started.wait_for_line(1)
    return started


def look(site: Site, user: User | None, what: object, *more: str) -> tuple[int, dict[str, Any]]:
    answer = site.call(user, "preflight", "--json", str(what), *more)
    return answer.returncode, json.loads(answer.stdout)


def test_a_user_is_told_that_his_job_can_be_dumped(
    site: Site, user: User, running: Running
) -> None:
    answer = site.call(user, "preflight", running.job)
    assert (answer.returncode, answer.stderr) == (0, "")
    (line,) = answer.stdout.splitlines()
    assert line.startswith(f"job {running.job}: can be dumped, ")


def test_root_and_its_owner_are_told_what_forbids_a_jobs_dump(
    site: Site, user: User, undumpable: Running
) -> None:
    for caller in (user, None):
        answer = site.call(caller, "preflight", "--user", user.name, undumpable.job)
        assert answer.returncode == 19
        assert f"refused: process {undumpable.exec_pid()} " in answer.stdout
        assert "SysV shared memory; have the program use" in answer.stdout
        assert answer.stderr.splitlines() == [
            f"torqueckpt: job {undumpable.job} cannot be dumped: 1 reason(s), listed above; "
            "it runs on"
        ]


def test_a_program_reads_the_findings_as_json(site: Site, user: User, undumpable: Running) -> None:
    code, told = look(site, user, undumpable.job)
    refused = [each for each in told["findings"] if each["severity"] == "refused"]
    assert (code, told["dumpable"], told["owner"], told["job"]) == (
        19,
        False,
        user.name,
        undumpable.job,
    )
    assert set(refused[0]) == {"severity", "pid", "process", "object", "what", "remedy"}
    assert refused[0]["pid"] == told["pid"] == undumpable.exec_pid()


def test_a_file_that_a_boot_removes_and_that_is_too_large_for_a_copy(
    site: Site, user: User
) -> None:
    site.configure(snapshot_limit_mib=1)
    text = PRELUDE + "import tempfile\nfile = tempfile.NamedTemporaryFile(dir='/tmp')\n"
    text += "file.truncate(2 << 20)\n" + WAITING + COUNTING
    job = site.start(user, user.script(text, user.directory()), "-c", "enabled")
    job.wait_for_line(1)
    code, told = look(site, user, job.job)
    (found,) = (each for each in told["findings"] if each["object"].startswith("/tmp/"))
    assert (code, found["severity"]) == (0, "hazard")
    assert found["what"].startswith("gone after a boot: larger than 1 MiB")


def test_a_process_without_a_job_is_looked_at_by_its_pid(site: Site, user: User) -> None:
    program = "import ctypes, time\nlibc = ctypes.CDLL(None)\n" + SHARED
    program += "\nprint(flush=True)\ntime.sleep(6000)\n"
    argv = user.argv("/usr/bin/python3", "-c", program)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd="/") as process:
        assert process.stdout is not None and process.stdout.readline()
        code, told = look(site, user, process.pid)
        process.kill()
    assert (code, told["job"], told["pid"]) == (19, "", process.pid)


def test_another_users_processes_are_not_looked_at(
    site: Site, other_user: User, running: Running
) -> None:
    assert site.call(other_user, "preflight", running.job).returncode == 18
    assert site.call(other_user, "preflight", str(running.exec_pid())).returncode == 77


@pytest.mark.parametrize(("what", "code"), [("99.srv", 18), ("4194000", 18), ("x;y", 65)])
def test_what_is_neither_a_job_nor_a_process(site: Site, what: str, code: int) -> None:
    assert site.call(None, "preflight", what).returncode == code


def test_a_restarted_jobs_tree_is_found_though_it_was_started_under_another_number(
    site: Site, user: User, running: Running
) -> None:
    assert subprocess.run(running.hook_argv()).returncode == 0
    exec_pid = running.exec_pid()
    running.crash()
    resumed = site.resume(user, running.job, user.directory())
    site.wait_for_restart(resumed)
    for caller in (user, None):
        code, told = look(site, caller, resumed.job, "--user", user.name)
        assert (code, told["pid"], told["findings"]) == (0, exec_pid, [])


def test_a_list_of_nodes_that_is_a_fifo_keeps_no_checkpoint_waiting(site: Site, user: User) -> None:
    directory = user.directory()
    text = f"""#!/bin/bash
[ -p {directory}/fifo ] || {{ mkfifo {directory}/fifo; PBS_NODEFILE={directory}/fifo exec $0; }}
"""
    text += "\n".join(counting(60).splitlines()[1:])
    running = site.start(user, user.script(text, directory), "-c", "enabled")
    running.wait_for_line(2)
    assert subprocess.run(running.hook_argv(), timeout=LIMIT_SECONDS).returncode == 0


def booted_since(site: Site, job: str, seconds: int) -> None:
    """Make the newest image one of another boot, whose clock was `seconds` ahead."""
    generation = site.lineage(job) / str(site.rows(job)[-1]["generation"])
    secret = key.read(site.root / "etc" / "signature.key")
    file = generation / "manifest.json"
    made = manifest.decode(file.read_bytes())
    later = made.monotonic_seconds + seconds
    boot = "00000000-0000-4000-8000-000000000000"
    made = made._replace(boot_id=boot, monotonic_seconds=later)
    status = file.stat()
    file.write_bytes(manifest.encode(made, secret))
    os.chown(file, status.st_uid, status.st_gid)


def test_after_a_boot_the_owner_is_told_who_may_wait_too_long(
    site: Site, user: User, python: Running
) -> None:
    assert subprocess.run(python.hook_argv()).returncode == 0
    python.crash()
    booted_since(site, python.job, 5000)
    resumed = site.resume(user, python.job, user.directory())
    told = wait_until(lambda: (site.spool / "spool" / f"{resumed.job}.ER").read_text())
    assert re.search(r"a clock (4[0-9]{3}|5000) s behind", told)
    assert f"{python.job}.SC)" in told and "too long" in told
    assert len(told.splitlines()) == 1


def test_after_a_boot_nothing_is_said_of_programs_that_do_not_wait_so(
    site: Site, user: User, running: Running
) -> None:
    assert subprocess.run(running.hook_argv()).returncode == 0
    running.crash()
    booted_since(site, running.job, 5000)
    resumed = site.resume(user, running.job, user.directory())
    assert resumed.wait() == 7
    assert (resumed.out(), resumed.err()) == (lines(100), "")


# What a checkpoint is refused for, until the file `close` is there.
_PASSING = """
far = os.pidfd_open(os.getppid())
ear = socket.socket(socket.AF_UNIX)
ear.bind("ear")
ear.listen()
one = socket.socket(socket.AF_UNIX)
one.connect("ear")
one.send(b"x")
traced = os.fork()
if traced == 0:
    call(libc.ptrace(0, 0, None, None))
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(0)
os.waitpid(traced, 0)
def pass_on():
    while not os.path.exists("close"):
        time.sleep(0.02)
    os.close(far)
    two, _ = ear.accept()
    two.recv(1)
    os.kill(traced, signal.SIGKILL)
    os.waitpid(traced, 0)
    open("closed", "w").close()
threading.Thread(target=pass_on, daemon=True).start()
"""


def test_what_is_over_or_closed_stands_in_no_checkpoints_way(site: Site, user: User) -> None:
    directory = user.directory()
    script = user.script(PRELUDE + _PASSING + COUNTING, directory)
    running = site.start(user, script, "-c", "enabled")
    running.wait_for_line(1)
    code, told = look(site, user, running.job)
    remedies = {each["remedy"] for each in told["findings"] if each["severity"] == "refused"}
    assert code == 19
    assert {each.split(":")[0] for each in remedies} == {
        "close it before",
        "end the debugger or strace",
        "checkpoint again",
    }
    assert subprocess.run(running.hook_argv(), stderr=subprocess.DEVNULL).returncode == 19
    (directory / "close").touch()
    wait_until((directory / "closed").exists)
    assert subprocess.run(running.hook_argv()).returncode == 0
    running.crash()
    again = site.resume(user, running.job, directory)
    assert (again.wait(), again.out()) == (0, lines(100))
