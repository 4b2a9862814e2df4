# SPDX-License-Identifier: MIT
"""What a job's processes had they have again, whoever restarts them, and no more than that."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import INSTALLED, Running, Site, User, counting, wait_until
from torqueckpt import manifest
from torqueckpt.store import key

# A process with a second thread, and a child; each says what the kernel says of it, at its
# beginning and when the job may end.
JOB = """#!/usr/bin/python3
import ctypes, os, sys, threading, time
prctl = ctypes.CDLL(None).prctl

def tell(name):
    stat = open("/proc/thread-self/stat").read().rpartition(")")[2].split()
    rows = dict(line.strip().split(":\t", 1) for line in open("/proc/thread-self/status"))
    limits = next(line.split() for line in open("/proc/self/limits") if "open files" in line)
    oom = open("/proc/self/oom_score_adj").read().strip()
    print(
        *(name, f"nice={stat[16]}", f"policy={stat[38]}", f"oom={oom}"),
        *(f"{row}={rows[row]}" for row in ("CapBnd", "NoNewPrivs", "Cpus_allowed")),
        f"ionice={ctypes.CDLL(None).syscall(252, 1, 0)}",
        *(f"files={limits[3]}:{limits[4]}", f"securebits={prctl(27, 0, 0, 0, 0):#x}"),
        flush=True,
    )

def tell_twice(name):
    tell(name)
    while not os.path.exists(os.environ["PBS_O_WORKDIR"] + "/may-end"):
        time.sleep(0.05)
    tell(name)

def thread():
    BOUND
    tell_twice("thread")

if os.fork() == 0:
    os.nice(2)
    tell_twice("child")
    os._exit(0)
second = threading.Thread(target=thread)
second.start()
tell_twice("process")
second.join()
os.wait()
raise SystemExit(7)
"""
TELLERS = ("thread", "child", "process")


def started(site: Site, user: User, *begun_by: str, bound: str = "pass") -> Running:
    script = user.script(JOB.replace("BOUND", bound), user.directory())
    running = site.start(user, script, "-c", "enabled", begun_by=begun_by)
    wait_until(lambda: running.spooled().count("\n") == len(TELLERS))
    return running


def crashed(site: Site, user: User, *begun_by: str, bound: str = "pass") -> Running:
    running = started(site, user, *begun_by, bound=bound)
    assert site.call(user, "checkpoint", running.job).returncode == 0
    running.crash()
    return running


def said(running: Running) -> dict[str, list[dict[str, str]]]:
    """Who → what he said before and after the restart."""
    return read(running.out())


def read(out: str) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for name, *words in map(str.split, out.splitlines()):
        found.setdefault(name, []).append(dict(word.split("=") for word in words))
    assert {name: len(each) for name, each in found.items()} == dict.fromkeys(TELLERS, 2), out
    return found


def test_a_smaller_bounding_set_is_as_small_again_in_every_thread(site: Site, user: User) -> None:
    without = ("setpriv", "--bounding-set", "-net_raw,-sys_boot")
    job = crashed(site, user, *without)
    resumed = site.resume(user, job.job, job.directory)
    assert resumed.wait() == 7, resumed.err()
    for before, after in said(resumed).values():
        assert after["CapBnd"] == before["CapBnd"] != _bounding_set()


def test_a_process_below_an_empty_bounding_set_is_there_again(site: Site, user: User) -> None:
    """As where a job starter gives its jobs one; CRIU needs a capability all the same."""
    directory = user.directory()
    script = user.script(JOB.replace("BOUND", "pass"), directory)
    setpriv, *become = user.argv("/usr/bin/env", f"PBS_O_WORKDIR={directory}", "python3", script)
    began, again = (user.script("", directory, name) for name in ("began", "again"))
    with began.open("wb") as out:
        argv = [setpriv, "--bounding-set", "-all", *become]
        process = subprocess.Popen(
            argv, cwd=directory, stdin=-3, stdout=out, stderr=out, start_new_session=True
        )
    wait_until(lambda: began.read_text().count("\n") == len(TELLERS))
    image = directory / "image"
    for status, words in ((0, ("chkpnt", "-p", str(process.pid))), (7, ("resume",))):
        argv = user.argv(site.root / "bin" / words[0], *words[1:], "-od", image)
        with again.open("wb") as out:
            done = subprocess.run(argv, cwd=directory, stdin=-3, stdout=out, stderr=out)
        assert done.returncode == status, again.read_text()
        user.kill_all()
        process.wait()
        (directory / "may-end").touch()
    for before, after in read(again.read_text()).values():
        assert (before["CapBnd"], after["CapBnd"]) == ("0" * 16, "0" * 16)


def _bounding_set() -> str:
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(row.split()[1] for row in rows if row.startswith("CapBnd"))


def test_the_set_is_no_larger_than_that_of_who_restarts(site: Site, user: User) -> None:
    job = crashed(site, user)
    resumed = site.resume(
        *(user, job.job, job.directory), begun_by=("setpriv", "--bounding-set", "-net_raw")
    )
    assert resumed.wait() == 7, resumed.err()
    for before, after in said(resumed).values():
        assert int(after["CapBnd"], 16) == int(before["CapBnd"], 16) & ~(1 << 13)


def test_restarted_by_a_daemon_it_is_scheduled_as_it_was(site: Site, user: User) -> None:
    running = started(site, user)
    assert site.call(user, "hold", running.job).returncode == 0
    program = site.restart_program
    program.rename(program.with_suffix(".real"))
    program.write_text(
        "#!/bin/sh\n"
        "echo 700 >/proc/self/oom_score_adj\n"
        f'exec nice -n 12 chrt --idle 0 {program}.real "$@"\n'
    )
    program.chmod(0o755)
    assert site.call(user, "release", running.job).returncode == 0
    assert running.wait() == 7, running.err()
    for name, (before, after) in said(running).items():
        assert after == before, name


def test_no_new_privs_stays(site: Site, user: User) -> None:
    job = crashed(site, user, bound="prctl(38, 1, 0, 0, 0)")
    resumed = site.resume(user, job.job, job.directory)
    assert resumed.wait() == 7, resumed.err()
    told = said(resumed)
    assert [each["NoNewPrivs"] for each in told["thread"]] == ["1", "1"]
    assert [each["NoNewPrivs"] for each in told["process"]] == ["0", "0"]


def test_securebits_that_anybody_may_set_are_set_again(site: Site, user: User) -> None:
    job = crashed(site, user, bound="prctl(28, 0x500, 0, 0, 0)")
    resumed = site.resume(user, job.job, job.directory)
    assert resumed.wait() == 7, resumed.err()
    before, after = said(resumed)["thread"]
    if before["securebits"] == "0x0":
        pytest.skip("this kernel lets no user set them (Linux 6.14 does)")
    assert (before["securebits"], after["securebits"]) == ("0x500", "0x500")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one CPU to be had")
def test_a_thread_that_has_bound_itself_to_a_cpu_is_bound_again(site: Site, user: User) -> None:
    cpu = max(os.sched_getaffinity(0))
    job = crashed(site, user, bound=f"os.sched_setaffinity(0, {{{cpu}}})")
    resumed = site.resume(user, job.job, job.directory)
    site.wait_for_restart(resumed)
    assert resumed.wait() == 7, resumed.err()
    told = said(resumed)
    for before, after in told.values():
        assert after["Cpus_allowed"] == before["Cpus_allowed"]
    assert int(told["thread"][1]["Cpus_allowed"], 16) == 1 << cpu


def test_an_image_that_would_not_be_restarted_from_is_no_checkpoint(site: Site, user: User) -> None:
    """As of a process that has come by more since root looked at it."""
    program = site.root / "late-criu"
    program.write_text(
        "#!/bin/sh\n"
        '[ "$1" = --version ] || for pid in $(pgrep -u "$(id -u)"); do\n'
        "    [ $pid = $$ ] || echo 0 >/proc/$pid/oom_score_adj\n"
        f'done\nexec {INSTALLED}/criu/criu "$@"\n'
    )
    program.chmod(0o755)
    site.configure(criu_path=str(program))
    text = counting().replace("\n", "\necho 500 >/proc/$$/oom_score_adj\n", 1)
    running = site.start(user, user.script(text, user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    refused = site.call(user, "checkpoint", running.job)
    assert refused.returncode != 0
    assert "asks for oom_score_adj 0, its job had 500" in refused.stderr
    assert site.generations(running.job) == []
    assert running.wait() == 7


def test_an_image_of_before_there_was_a_ceiling_has_what_who_restarts_it_has(
    site: Site, user: User
) -> None:
    job = crashed(site, user, "setpriv", "--bounding-set", "-net_raw")
    file = site.lineage(job.job) / "1" / "manifest.json"
    older = manifest.decode(file.read_bytes())._replace(ceiling=None)
    file.write_bytes(manifest.encode(older, key.read(site.root / "etc" / "signature.key")))
    resumed = site.resume(user, job.job, job.directory)
    assert resumed.wait() == 7, resumed.err()
    for before, after in said(resumed).values():
        assert after == {**before, "CapBnd": _bounding_set()}


def test_a_new_job_with_a_lower_limit_keeps_it(site: Site, user: User) -> None:
    """As a batch system gives it.  The soft one is the process's own, as far as it may be."""
    job = crashed(site, user, "prlimit", "--nofile=900:3000")
    lower = ("prlimit", "--nofile=800:2000")
    resumed = site.resume(user, job.job, job.directory, begun_by=lower)
    assert resumed.wait() == 7, resumed.err()
    for before, after in said(resumed).values():
        assert (before["files"], after["files"]) == ("900:3000", "900:2000")


def test_a_new_job_with_higher_limits_has_the_old_ones(site: Site, user: User) -> None:
    job = crashed(site, user, "prlimit", "--nofile=900:3000")
    resumed = site.resume(user, job.job, job.directory)
    assert resumed.wait() == 7, resumed.err()
    for before, after in said(resumed).values():
        assert (before["files"], after["files"]) == ("900:3000", "900:3000")


def test_what_the_batch_system_gave_is_the_new_jobs(site: Site, user: User) -> None:
    own = "ctypes.CDLL(None).syscall(251, 1, 0, 2 << 13 | 3)"
    job = crashed(site, user, "ionice", "-c2", "-n7", bound=own)
    resumed = site.resume(user, job.job, job.directory, begun_by=("ionice", "-c2", "-n6"))
    site.wait_for_restart(resumed)
    assert resumed.wait() == 7, resumed.err()
    told = {
        name: [int(each["ionice"]) & 7 for each in both] for name, both in said(resumed).items()
    }
    assert told == {"process": [7, 6], "child": [7, 6], "thread": [3, 3]}
