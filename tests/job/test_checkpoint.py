# SPDX-License-Identifier: MIT
"""mom-checkpoint as pbs_mom calls it, on real jobs with real dumps."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support import (
    INSTALLED,
    LIMIT_SECONDS,
    Running,
    Site,
    User,
    alive,
    counting,
    kill,
    lines,
    python_counting,
    wait_until,
)


def big(mebibytes: int, last: int) -> str:
    """A job with so much memory."""
    return (
        "#!/usr/bin/python3\nimport os, time\n"
        f"block = bytearray(os.urandom(1 << 20)) * {mebibytes}\n"
        f"{python_counting(last)}raise SystemExit(7)\n"
    )


@pytest.fixture
def running(site: Site, user: User) -> Running:
    started = site.start(user, user.script(counting(60), user.directory()), "-c", "enabled")
    started.wait_for_line(1)
    return started


def call(argv: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_SECONDS)


def criu_that(site: Site, at_dump: str) -> str:
    """A checkpointer that does something else first and is CRIU then."""
    program = site.root / "criu-that"
    program.write_text(
        f'#!/bin/sh\nif [ "$1" = dump ]; then\n{at_dump}\nfi\nexec {INSTALLED}/criu/criu "$@"\n'
    )
    program.chmod(0o755)
    return str(program)


def still_good(site: Site, running: Running) -> None:
    """The job runs on to its end, and the image that it had is whole."""
    assert running.wait() == 7
    assert running.out() == lines(60)
    answer = site.call(None, "verify", running.job)
    assert answer.returncode == 0, answer.stderr


def test_each_call_makes_a_whole_image_under_the_promised_path(
    site: Site, running: Running
) -> None:
    exec_pid = running.exec_pid()
    for name in ("a", "b"):
        assert call(running.hook_argv(name=name)).returncode == 0
    link = site.store / f"{exec_pid}.{running.job}"
    assert (link / "inventory.img").exists()
    assert os.readlink(link).endswith("/2/image")
    assert [row["whole"] for row in site.rows(running.job)] == [True, True]
    still_good(site, running)


def test_the_image_belongs_to_the_owner_and_to_nobody_else(
    site: Site, user: User, other_user: User, running: Running
) -> None:
    assert call(running.hook_argv()).returncode == 0
    lineage = site.lineage(running.job)
    for path in (lineage, *lineage.rglob("*")):
        status = path.lstat()
        assert (status.st_uid, status.st_mode & 0o077) == (user.uid, 0), path
    denied = call(other_user.argv("/bin/ls", lineage.parent))
    assert denied.returncode != 0


@pytest.mark.parametrize("words", ["2", "3", "4", "6", "7", "8-role", "8"])
def test_every_argument_list_that_ever_shipped(
    site: Site, user: User, running: Running, words: str
) -> None:
    directory = str(site.spool / "checkpoint" / f"{running.job}.CK")
    sid, job = str(running.leader()), running.job
    tails = {
        "2": [],
        "3": [user.name],
        "4": [user.name, "0"],
        "6": [user.name, directory, "ckpt.x", "0"],
        "7": [user.name, directory, "ckpt.x", "0", "1"],
        "8-role": [user.name, directory, "ckpt.x", "0", "MOM", "1"],
        "8": [user.name, user.name, directory, "ckpt.x", "0", "1"],
    }
    argv = [f"{site.checkpoint_program}", sid, job, *tails[words]]
    answer = call(argv)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    pointer = Path(directory) / "ckpt.x"
    assert pointer.exists() == (int(words[0]) >= 6)
    assert len(site.rows(job)) == 1


def test_the_same_name_again_is_the_same_checkpoint(site: Site, running: Running) -> None:
    for _ in range(2):  # TORQUE 6.1's client retries, so the hook runs twice
        assert call(running.hook_argv(name=f"ckpt.{running.job}.1")).returncode == 0
    assert len(site.rows(running.job)) == 1


def test_fifty_calls_at_once_make_one_image(site: Site, running: Running) -> None:
    # fifty begin in some time, and each waits for the others
    site.configure(repeat_window_seconds=LIMIT_SECONDS, lock_timeout_seconds=LIMIT_SECONDS)
    for name in ("-", f"ckpt.{running.job}.1"):
        before = len(site.rows(running.job))
        calls = [
            subprocess.Popen(running.hook_argv(name=name, depth="99"), stderr=subprocess.PIPE)
            for _ in range(50)
        ]
        told = [each.communicate()[1] for each in calls]
        assert [each.returncode for each in calls] == [0] * 50, told
        assert len(site.rows(running.job)) == before + 1
    still_good(site, running)


def test_fifty_calls_with_names_of_their_own_make_one_image_each(
    site: Site, running: Running
) -> None:
    site.configure(lock_timeout_seconds=LIMIT_SECONDS)
    calls = [subprocess.Popen(running.hook_argv(name=f"ckpt.{n}", depth="99")) for n in range(50)]
    statuses = [each.wait() for each in calls]
    rows = site.rows(running.job)
    assert (len(rows), statuses.count(0)) == (50, 50)
    assert all(row["whole"] for row in rows)
    still_good(site, running)


def test_a_killed_hook_leaves_the_job_its_image_and_the_next_checkpoint(
    site: Site, user: User
) -> None:
    script = user.script(big(600, 60), user.directory())
    running = site.start(user, script, "-c", "enabled")
    running.wait_for_line(3)
    assert call(running.hook_argv(name="first")).returncode == 0
    lineage = site.lineage(running.job)
    hook = subprocess.Popen(running.hook_argv(name="second"))
    wait_until(lambda: list((lineage / "2.partial" / "image").glob("pages-*.img")))
    kill(hook.pid)
    hook.wait()
    assert alive(running.exec_pid())
    assert site.call(None, "verify", running.job).stdout.count("whole") == 1
    third = call(running.hook_argv(name="third"))
    assert third.returncode == 0, third.stderr
    assert not list(lineage.glob("*.partial"))
    assert running.wait() == 7
    assert running.out() == lines(60)
    assert site.call(None, "verify", running.job).returncode == 0


def test_a_checkpointer_that_the_owner_has_stopped_is_ended_in_time(
    site: Site, running: Running
) -> None:
    assert call(running.hook_argv(name="good")).returncode == 0
    site.configure(criu_path=criu_that(site, "kill -STOP $$"), dump_timeout_seconds=1)
    refused = call(running.hook_argv(name="late"))
    assert refused.returncode == 44
    assert "more than 1 s" in refused.stderr
    site.configure()
    assert call(running.hook_argv(name="again")).returncode == 0
    still_good(site, running)


def test_a_job_that_ends_during_the_dump(site: Site, running: Running) -> None:
    assert call(running.hook_argv(name="good")).returncode == 0
    site.configure(criu_path=criu_that(site, f"kill -KILL {running.exec_pid()}; sleep 0.2"))
    refused = call(running.hook_argv(name="late"))
    assert refused.returncode == 13
    assert "ended while it was being dumped" in refused.stderr
    assert site.call(None, "verify", running.job).returncode == 0


def test_a_job_that_cannot_be_dumped_runs_on_and_is_told_why(site: Site, user: User) -> None:
    text = """#!/usr/bin/python3 -u
import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
segment = libc.shmget(0, 4096, 0o1600)
assert libc.shmat(segment, None, 0) not in (None, ctypes.c_void_p(-1).value)
libc.shmctl(segment, 0, None)
"""
    text += f"{python_counting(30)}raise SystemExit(7)\n"
    running = site.start(user, user.script(text, user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    refused = call(running.hook_argv())
    assert refused.returncode == 19
    assert len(refused.stderr.splitlines()) == 1
    assert "SysV shared memory" in refused.stderr
    assert running.wait() == 7
    assert running.out() == lines(30)
    assert site.rows() == []


def test_signal_15_ends_the_job_once_the_image_is_safe(site: Site, user: User) -> None:
    """Nothing of it runs on: no trap of the job, no next line of the leader."""
    directory = user.directory()
    text = f"#!/bin/bash\ntrap 'rm -f {directory}/scratch' EXIT TERM HUP\n" + "\n".join(
        counting(60).splitlines()[1:]
    )
    (directory / "scratch").write_text("needed")
    running = site.start(user, user.script(text, directory), "-c", "enabled")
    running.wait_for_line(3)
    leader, tree = running.leader(), running.exec_pid()
    assert call(running.hook_argv(signal=15)).returncode == 0
    assert not alive(tree) and not alive(leader)
    assert (directory / "scratch").exists()
    assert site.call(None, "verify", running.job).returncode == 0


def test_a_dump_that_fails_under_signal_15_leaves_the_job_running(
    site: Site, running: Running
) -> None:
    # process 1 is not the owner's to dump
    dump_that_fails = f'exec {INSTALLED}/criu/criu "$@" --tree 1'
    site.configure(criu_path=criu_that(site, dump_that_fails))
    assert call(running.hook_argv(signal=15)).returncode == 43
    log = next((site.store / "jobs").glob("*/*/failed-dump.log"))
    assert "Error" in log.read_text()
    site.configure()
    assert call(running.hook_argv()).returncode == 0
    still_good(site, running)


def test_depth_is_kept_and_the_newest_image_never_goes(site: Site, running: Running) -> None:
    for n in range(5):
        assert call(running.hook_argv(name=f"n{n}", depth="2")).returncode == 0
    assert [row["generation"] for row in site.rows(running.job)] == [4, 5]
    recorded = json.loads(site.call(None, "show", running.job, "--json").stdout)
    assert recorded["checkpoint_name"] == "n4"
    still_good(site, running)


def test_ten_jobs_every_second_until_each_has_had_five_images(site: Site, user: User) -> None:
    jobs = []
    for _ in range(10):
        script = user.script(counting(90, 0.1), user.directory())
        jobs.append(site.start(user, script, "-c", "c=1s,depth=2"))
    for running in jobs:
        site.wait_for_newer(running.job, 4)
        assert running.wait() == 7
        assert running.out() == lines(90)
        assert len(site.rows(running.job)) == 2, running.stderr.read_text()
        assert site.call(None, "verify", running.job).returncode == 0


def test_a_hook_killed_while_the_tree_is_stopped_for_its_end_lets_it_run_on(
    site: Site, user: User
) -> None:
    script = user.script(big(600, 40), user.directory())
    running = site.start(user, script, "-c", "enabled")
    running.wait_for_line(3)
    exec_pid = running.exec_pid()
    hook = subprocess.Popen(running.hook_argv(signal=15))
    # "T": dumped and left stopped, its image not yet safe
    wait_until(lambda: Path(f"/proc/{exec_pid}/stat").read_text().split()[2] == "T")
    kill(hook.pid)
    hook.wait()
    assert running.wait() == 7
    assert running.out() == lines(40)


def test_a_hold_that_is_called_again_after_it_has_ended_the_job(
    site: Site, running: Running
) -> None:
    """TORQUE 6.1's client retries; an error would have MOM delete the job's CKPTDIR."""
    argv = running.hook_argv(name=f"ckpt.{running.job}.1", signal=15)
    running.leader()
    assert call(argv).returncode == 0
    running.wait()
    assert call(argv).returncode == 0
    assert len(site.rows(running.job)) == 1


def test_a_client_that_asks_again_a_second_later_gets_the_same_image(
    site: Site, running: Running
) -> None:
    """TORQUE's qchkpt and qhold do, after an answer that says neither yes nor no: MOM calls with a
    new name, while it takes the image or after the job's end."""
    running.leader()
    names = [f"ckpt.{running.job}.{second}" for second in (1, 2, 3, 4)]
    calls = [subprocess.Popen(running.hook_argv(name=name)) for name in names[:2]]
    assert [each.wait() for each in calls] == [0, 0]
    assert len(site.rows(running.job)) == 1
    site.configure(repeat_window_seconds=LIMIT_SECONDS)
    ending = [running.hook_argv(name=name, signal=15) for name in names[2:]]
    for argv in ending:
        answer = call(argv)
        assert (answer.returncode, answer.stderr) == (0, "")
    running.wait()
    assert len(site.rows(running.job)) == 2


def test_a_call_that_comes_again_makes_the_pointer_that_the_first_one_did_not(
    site: Site, running: Running
) -> None:
    directory = site.spool / "checkpoint" / f"{running.job}.CK"
    argv = running.hook_argv(name=f"ckpt.{running.job}.1")
    argv[5] = str(directory)
    assert call(argv).returncode == 0
    (directory / argv[6]).unlink()
    link = site.store / f"{running.exec_pid()}.{running.job}"
    link.unlink()
    assert call(argv).returncode == 0
    assert (directory / argv[6]).exists() and link.exists()
    assert len(site.rows(running.job)) == 1


def test_a_checkpoint_that_fails_leaves_the_jobs_id_with_the_images_that_it_had(
    site: Site, running: Running
) -> None:
    """As for a requeued job whose first checkpoint fails, or a session number that came again."""
    assert call(running.hook_argv(name="good")).returncode == 0
    argv = running.hook_argv(name="bad")
    argv[1] = str(os.getpid())
    assert call(argv).returncode != 0
    assert len(site.rows(running.job)) == 1
    still_good(site, running)


def test_a_job_that_shortens_its_output_and_writes_more(site: Site, user: User) -> None:
    directory = user.directory()
    text = """#!/bin/bash
turn() { touch made$1; until [ -e go$1 ]; do sleep 0.05; done; }
for i in {1..10}; do echo old $i; done; turn 1
: >/dev/stdout
for i in {1..20}; do echo new $i; done; turn 2
for i in {21..30}; do echo new $i; done; turn 3
: >/dev/stdout
turn 4
"""
    running = site.start(user, user.script(text, directory), "-c", "enabled")
    for turn in range(1, 5):
        wait_until((directory / f"made{turn}").exists)
        assert call(running.hook_argv(name=f"n{turn}", depth="9")).returncode == 0
        shown = json.loads(site.call(None, "show", running.job, "--json").stdout)["streams"][0]
        kept = (site.lineage(running.job) / "output" / shown["kept"]).read_text()
        assert kept[: shown["size"]] == running.spooled()
        (directory / f"go{turn}").touch()
    assert running.wait() == 0


def test_a_directory_for_pointers_that_lies_behind_a_link(site: Site, user: User) -> None:
    directory = user.directory()
    link = directory / "scratch"
    link.symlink_to(user.directory())
    script = user.script(counting(60), directory)
    running = site.start(user, script, "-c", f"enabled,dir={link}")
    running.wait_for_line(1)
    asked = site.call(user, "checkpoint", running.job)
    assert asked.returncode == 0, asked.stderr
    assert len(list((link / f"{running.job}.CK").iterdir())) == 1
    still_good(site, running)
