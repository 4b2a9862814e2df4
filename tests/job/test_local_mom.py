# SPDX-License-Identifier: MIT
"""`torqueckpt run` plays pbs_mom: process shape, environment, output, hold and release."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import (
    LIMIT_SECONDS,
    Site,
    User,
    alive,
    count_script,
    counting,
    kill,
    lines,
    session,
    wait_until,
)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _restarted(argv: list[str | Path]) -> subprocess.CompletedProcess[bytes]:
    """mom-restart, which stays until the job has ended."""
    return subprocess.run(argv, start_new_session=True, capture_output=True, timeout=LIMIT_SECONDS)


def test_the_processes_have_pbs_moms_shape(site: Site, user: User) -> None:
    directory = user.directory()
    running = site.start(user, user.script("#!/bin/sh\nsleep 6000\n", directory))
    leader = running.leader()
    script = site.spool / "mom_priv" / "jobs" / f"{running.job}.SC"

    def shell() -> int | None:  # the login shell has children of its own for a moment
        pid = running.exec_pid()
        cmdline = Path(f"/proc/{pid}/cmdline").read_bytes()
        return pid if cmdline == f"/bin/sh\0{script}\0".encode() else None

    exec_pid = wait_until(shell)
    assert os.getsid(leader) == leader
    assert os.getsid(exec_pid) == leader
    assert Path(f"/proc/{leader}/cmdline").read_bytes() == b"-bash\0"
    assert os.readlink(f"/proc/{exec_pid}/cwd") == str(directory)
    out = site.spool / "spool" / f"{running.job}.OU"
    assert os.readlink(f"/proc/{exec_pid}/fd/1") == str(out)
    assert (out.stat().st_uid, out.stat().st_mode & 0o777) == (user.uid, 0o600)


def test_a_job_finds_pbs_variables_its_arguments_and_its_own(site: Site, user: User) -> None:
    directory = user.directory()
    text = (
        "#!/bin/sh\n"
        'echo "$PBS_JOBID|$PBS_JOBNAME|$PBS_O_WORKDIR|$PBS_ENVIRONMENT|$(cat $PBS_NODEFILE)"\n'
        'echo "$1|$2|$MINE|$(id -un)|$PWD"\nexit 3\n'
    )
    script = user.script(text, directory)
    running = site.start(
        user, script, "-N", "named", "-v", "MINE=a b", arguments=("one word", "it's")
    )
    assert running.wait() == 3
    first, second = running.out().splitlines()
    host = running.job.partition(".")[2]
    assert first == f"{running.job}|named|{directory}|PBS_BATCH|{host}"
    assert second == f"one word|it's|a b|{user.name}|{directory}"


def test_directives_of_the_script_and_options_that_win_over_them(site: Site, user: User) -> None:
    directory = user.directory()
    text = "#!/bin/sh\n#PBS -N fromscript -j oe\n#PBS -o there.txt\necho out\necho err >&2\n"
    running = site.start(user, user.script(text, directory))
    assert running.wait() == 0
    assert (directory / "there.txt").read_text() == "out\nerr\n"
    running = site.start(user, user.script(text, directory), "-o", str(directory / "here.txt"))
    assert running.wait() == 0
    assert (directory / "here.txt").read_text() == "out\nerr\n"


@pytest.mark.parametrize(
    ("text", "status"), [("exit 0", 0), ("exit 255", 255), ("kill -9 $$", 137)]
)
def test_the_exit_status_is_the_jobs(site: Site, user: User, text: str, status: int) -> None:
    running = site.start(user, user.script(f"#!/bin/sh\n{text}\n", user.directory()))
    assert running.wait() == status


def test_term_ends_the_job_as_qdel_does(site: Site, user: User) -> None:
    text = "#!/bin/sh\ntrap '' TERM\nsleep 6000 & sleep 6000\n"
    running = site.start(user, user.script(text, user.directory()))
    wait_until(lambda: {"sleep"} == {_name(pid) for pid in _children(running.exec_pid())})
    running.process.terminate()
    assert running.wait() == 143  # the leader's; the script itself ignores TERM and is killed
    user.has_none()


def test_what_a_job_leaves_in_its_session_ends_with_it(site: Site, user: User) -> None:
    running = site.start(user, user.script("#!/bin/sh\nsleep 6000 &\nexit 0\n", user.directory()))
    assert running.wait() == 0
    user.has_none()


def test_three_holds_and_releases_in_one_job(site: Site, user: User) -> None:
    directory = user.directory()
    running = site.start(user, user.script(counting(70), directory), "-c", "enabled")
    reached = 3
    for _ in range(3):
        running.wait_for_line(reached)
        assert site.call(user, "hold", running.job).returncode == 0
        user.has_none()
        assert running.process.poll() is None
        again = site.call(user, "hold", running.job)
        assert (again.returncode, "is held" in again.stderr) == (83, True)
        assert site.call(user, "release", running.job).returncode == 0
        reached += 6
    assert running.wait() == 7
    assert running.out() == lines(70)
    assert running.err() == ""


def test_a_checkpoint_asked_for_by_the_owner_and_a_held_job_that_is_deleted(
    site: Site, user: User
) -> None:
    running = site.start(user, user.script(counting(70), user.directory()), "-c", "enabled")
    running.wait_for_line(2)
    assert site.call(user, "checkpoint", running.job).returncode == 0
    assert len(site.rows(running.job)) == 1
    assert site.call(user, "hold", running.job).returncode == 0
    running.process.terminate()
    assert running.wait() == 143
    resumed = site.resume(user, running.job, running.directory)
    assert resumed.wait() == 7
    assert resumed.out() == lines(70)


def test_qdel_of_a_released_job_leaves_no_process(site: Site, user: User) -> None:
    running = site.start(user, user.script(counting(100), user.directory()), "-c", "enabled")
    running.wait_for_line(2)
    assert site.call(user, "hold", running.job).returncode == 0
    assert site.call(user, "release", running.job).returncode == 0
    running.wait_for_line(10)
    exec_pid = wait_until(lambda: user.processes())[0]
    running.process.terminate()
    running.wait()
    wait_until(lambda: user.processes() == [] and not alive(exec_pid))


def test_a_job_script_that_cannot_be_read_by_its_user(site: Site, user: User) -> None:
    secret = site.root / "secret.sh"
    secret.write_text("#!/bin/sh\n")
    secret.chmod(0o600)
    answer = site.call(None, "run", "--user", user.name, str(secret))
    assert answer.returncode == 125
    assert "secret.sh: Permission denied" in answer.stderr


@pytest.mark.parametrize(
    "spec", ["x", "c=0", "c=-1", "dir=/tmp/$(id)", "dir=relative", "name=a/b", "n,c", "depth=0"]
)
def test_a_specification_that_is_none(site: Site, user: User, spec: str) -> None:
    script = user.script("#!/bin/sh\n", user.directory())
    answer = site.call(None, "run", "--user", user.name, "-c", spec, str(script))
    assert answer.returncode == 125
    assert f"-c {spec}" in answer.stderr


def test_five_arguments_of_torque_2_3_restart_a_job_in_place(site: Site, user: User) -> None:
    running = site.start(user, user.script(counting(70), user.directory()), "-c", "enabled")
    running.wait_for_line(3)
    sid = running.leader()
    assert site.call(user, "hold", running.job).returncode == 0
    directory = site.spool / "checkpoint" / f"{running.job}.CK"
    name = next(directory.glob("ckpt.*")).name
    words = (str(sid), running.job, user.name, str(directory), name)
    for suffix in ("OU", "ER"):  # as MOM makes them before its call
        output = site.spool / "spool" / f"{running.job}.{suffix}"
        output.touch(0o600)
        os.chown(output, user.uid, user.gid)
    running.may_end.touch()
    restarted = _restarted([site.restart_program, *words])
    assert restarted.returncode == 7, restarted.stderr
    assert (site.spool / "spool" / f"{running.job}.OU").read_text() == lines(70)


def test_dir_moves_the_pointer_and_depth_limits_the_images(site: Site, user: User) -> None:
    directory = user.directory()
    elsewhere = user.directory()
    spec = f"enabled,dir={elsewhere},depth=1,name=mine"
    running = site.start(user, user.script(counting(70), directory), "-c", spec)
    running.wait_for_line(2)
    assert site.call(user, "hold", running.job).returncode == 0
    assert (elsewhere / f"{running.job}.CK" / "mine").exists()
    assert site.call(user, "release", running.job).returncode == 0
    assert running.wait() == 7
    assert running.out() == lines(70)
    assert len(site.rows(running.job)) == 1


def test_a_job_without_a_specification_is_not_checkpointable(site: Site, user: User) -> None:
    running = site.start(user, user.script(counting(5), user.directory()))
    refused = site.call(user, "hold", running.job)
    assert (refused.returncode, "-c enabled" in refused.stderr) == (83, True)
    assert running.wait() == 7


def test_a_name_for_all_checkpoints_makes_a_new_image_each_time(site: Site, user: User) -> None:
    script = user.script(counting(50), user.directory())
    running = site.start(user, script, "-c", "c=1s,name=mine,depth=9")
    site.wait_for_images(running.job, 2)
    assert running.wait() == 7


def test_a_mom_of_many_checkpoints_keeps_no_descriptors(site: Site, user: User) -> None:
    running = site.start(user, user.script(counting(60), user.directory()), "-c", "c=1s")
    opened = Path(f"/proc/{running.process.pid}/fd")
    site.wait_for_images(running.job, 1)
    before = len(os.listdir(opened))
    site.wait_for_images(running.job, 3)
    assert len(os.listdir(opened)) <= before + 2  # a hook's pipe may be among them
    assert running.wait() == 7


def test_a_job_starts_with_no_signal_ignored(site: Site, user: User) -> None:
    script = user.script("#!/bin/sh\ngrep SigIgn /proc/self/status\n", user.directory())
    running = site.start(user, script)
    assert running.wait() == 0
    ignored = int(running.out().split()[1], 16)
    assert ignored & 0x7FFFFFFF == 0  # 32 and above are the C library's own


def test_a_job_that_is_deleted_during_its_hold_ends(site: Site, user: User) -> None:
    running = site.start(user, user.script(counting(200), user.directory()), "-c", "enabled")
    running.wait_for_line(2)
    slow = site.root / "criu"
    real, go_on = site.root / "lib/torqueckpt/criu/criu", site.root / "go-on"
    slow.write_text(
        f'#!/bin/sh\n{real} "$@" || exit\n'
        f'[ "$1" != dump ] || until [ -e {go_on} ]; do sleep 0.05; done\n'
    )
    slow.chmod(0o755)
    site.configure(criu_path=str(slow))
    asked = subprocess.Popen(user.argv(site.program, "hold", running.job))
    leader = running.leader()
    wait_until(lambda: "\nState:\tT" in Path(f"/proc/{running.exec_pid()}/status").read_text())
    running.process.terminate()
    go_on.touch()
    assert running.wait() in (128 + 9, 128 + 15)
    asked.wait(LIMIT_SECONDS)
    assert not alive(leader)


def test_a_mom_whose_messages_nobody_reads_keeps_its_job(site: Site, user: User) -> None:
    site.configure(exec_match="none-such*")
    script = user.script(count_script(40), user.directory())
    read_end, write_end = os.pipe()
    mom = subprocess.Popen(
        [site.program, "run", "--user", user.name, "-c", "c=1s", script],
        stdout=subprocess.DEVNULL,
        stderr=write_end,
        cwd=script.parent,
    )
    os.close(write_end)
    os.close(read_end)
    assert mom.wait(LIMIT_SECONDS) == 7
    assert len(list(script.parent.glob("run_job.sh.o*"))) == 1


def test_a_mom_that_keeps_the_spool_files_gets_each_line_once_all_the_same(
    site: Site, user: User
) -> None:
    """TORQUE 4.2 and OpenPBS: the output is still there at the restart, and may have grown."""
    running = site.start(user, user.script(counting(70), user.directory()), "-c", "enabled")
    running.wait_for_line(3)
    sid, out = running.leader(), site.spool / "spool" / f"{running.job}.OU"
    assert site.call(user, "checkpoint", running.job).returncode == 0
    later = out.read_text().count("line") + 3
    running.wait_for_line(later)
    written = out.read_text()
    kill(running.process.pid)
    running.process.wait()
    for pid in session(sid):
        kill(pid)
    wait_until(lambda: not session(sid))
    words = [str(sid), running.job, user.name, user.name, "-", "-"]
    damaged = site.lineage(running.job) / "1" / "image" / "pages-1.img"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1])
    restart = [site.restart_program, *words]
    failed = _restarted(restart)
    assert failed.returncode == 125
    assert out.read_text().startswith(written)  # nothing was cut for a restart that cannot be
    damaged.write_bytes(whole)
    running.may_end.touch()
    restarted = _restarted(restart)
    assert restarted.returncode == 7, restarted.stderr
    assert out.read_text() == lines(70)
    tails = (site.store / "jobs" / user.name).glob("*/tails/*.stdout")
    assert f"line {later}\n" in next(tails).read_text()


def test_a_hold_during_a_checkpoint_waits_for_it_and_is_done(site: Site, user: User) -> None:
    directory = user.directory()
    running = site.start(user, user.script(counting(300), directory), "-c", "enabled")
    running.wait_for_line(3)
    asked = subprocess.Popen(user.argv(site.program, "checkpoint", running.job))
    mom = running.process.pid
    children = Path(f"/proc/{mom}/task/{mom}/children")
    wait_until(lambda: len(children.read_text().split()) > 1)  # the hook
    held = site.call(user, "hold", running.job)
    assert (held.returncode, asked.wait(LIMIT_SECONDS)) == (0, 0), held.stderr
    assert len(site.rows(running.job)) == 2
    assert site.call(user, "held", running.job).returncode == 0
    refused = site.call(user, "checkpoint", running.job)
    assert (refused.returncode, "release it first" in refused.stderr) == (83, True)
    assert site.call(user, "release", running.job).returncode == 0
    running.wait_for_line(20)
