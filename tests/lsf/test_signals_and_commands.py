# SPDX-License-Identifier: MIT
"""bkill at every moment of a job's life, and commands as users write them."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.lsf.lsf_job import LsfJob
from tests.lsf.sbatchd import COUNTING, Sbatchd
from tests.support import Site, User, kill, lines, wait_until

TRAPS = """#!/bin/sh
trap 'echo got TERM; exit 9' TERM
trap 'echo got HUP' HUP
trap 'echo got USR1' USR1
i=0
while :; do
    i=$((i + 1))
    echo line $i
    sleep 0.1
done
"""


def suspended(lsf: Sbatchd) -> LsfJob:
    job = lsf.bsub(script=TRAPS)
    job.wait_for_line(3)
    lsf.bstop(job)
    return job


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_job_that_is_killed_while_it_is_saved_ends(
    lsf: Sbatchd, user: User, number: signal.Signals
) -> None:
    job = suspended(lsf)
    lsf.bkill(job, number)
    assert lsf.wait(job) == (128 + number if number != signal.SIGKILL else -number)
    user.has_none()
    # of a starter that was killed itself nobody knows whether its host was
    assert len(lsf.site.rows()) == (1 if number == signal.SIGKILL else 0)


def test_a_job_that_is_killed_while_it_is_stopped_ends(lsf: Sbatchd, site: Site) -> None:
    site.configure(criu_path="/bin/false")
    job = suspended(lsf)
    assert job.states() == {"T"}
    lsf.bkill(job)
    assert lsf.wait(job) == 9
    assert job.spooled().endswith("\ngot TERM\n")


def test_a_resumed_job_gets_each_signal_once(lsf: Sbatchd) -> None:
    job = suspended(lsf)
    lsf.bresume(job)
    for number, name in ((signal.SIGHUP, "HUP"), (signal.SIGUSR1, "USR1")):
        lsf.bkill(job, number)
        wait_until(lambda name=name: f"got {name}\n" in job.spooled())
    lsf.bkill(job)
    assert lsf.wait(job) == 9
    assert [line for line in job.spooled().splitlines() if "got" in line] == [
        "got HUP",
        "got USR1",
        "got TERM",
    ]


def test_what_a_saved_job_has_missed_it_gets_when_it_is_resumed(lsf: Sbatchd) -> None:
    job = suspended(lsf)
    lsf.bkill(job, signal.SIGUSR1)
    time.sleep(0.2)
    lsf.bresume(job)
    wait_until(lambda: "got USR1\n" in job.spooled())
    lsf.bkill(job)
    assert lsf.wait(job) == 9
    assert job.spooled().count("got USR1\n") == 1


def waiting_criu(site: Site, verb: str, when: str) -> tuple[Path, Path]:
    """CRIU that waits before or after this; the first file has a line once it does, and it goes on
    when the second one is there."""
    begun, go_on, program = (site.root / name for name in ("begun", "go-on", "waiting-criu"))
    begun.touch()
    begun.chmod(0o666)
    criu = f'{site.root}/lib/torqueckpt/criu/criu "$@"'
    waits = f"echo >{begun}; until [ -e {go_on} ]; do sleep 0.05; done"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = {verb} ] || exec {criu}\n'
        + (f"{waits}\n{criu}\n" if when == "before" else f"{criu} || exit\n{waits}\n")
    )
    program.chmod(0o755)
    site.configure(criu_path=str(program))
    return begun, go_on


@pytest.mark.parametrize(
    ("verb", "when", "status"),
    [
        ("dump", "before", 9),  # its trap on TERM runs
        ("dump", "after", 9),  # its tree stands still for the end that does not come
        ("restore", "before", 143),
        ("restore", "after", 143),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_that_is_killed_amidst_an_action_ends(
    lsf: Sbatchd,
    site: Site,
    user: User,
    number: signal.Signals,
    verb: str,
    when: str,
    status: int,
) -> None:
    begun, go_on = waiting_criu(site, verb, when)
    job = lsf.bsub(script=TRAPS)
    job.wait_for_line(3)
    if verb == "restore":
        lsf.bstop(job)
    action = lsf.begin(job, lsf.suspend if verb == "dump" else lsf.resume)
    wait_until(lambda: begun.read_text())
    lsf.bkill(job, number)
    go_on.touch()
    lsf.finish(job, action)
    assert lsf.wait(job) == (status if number == signal.SIGTERM else -9)
    user.has_none()


def test_a_starter_that_was_stopped_by_hand_hears_lsf_again(lsf: Sbatchd) -> None:
    job = lsf.bsub(script=COUNTING)
    job.wait_for_line(3)
    kill(job.starter(), signal.SIGSTOP)
    lsf.bstop(job)
    assert job.tree() == []
    lsf.bresume(job)
    lsf.complete(job)


def test_the_job_ends_with_the_one_who_restored_it(lsf: Sbatchd, user: User) -> None:
    job = suspended(lsf)
    lsf.bresume(job)
    tree = job.tree()
    supervisor = next(
        pid for pid in tree if b"rootdoor" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    kill(supervisor)
    assert lsf.wait(job) == 137
    user.has_none()


@pytest.mark.parametrize(
    ("command", "status", "out"),
    [
        ('echo "a  b" | tr a-z A-Z; exit 3', 3, "A  B\n"),
        ("echo $LSB_JOBID $(echo in a shell)", 0, "101 in a shell\n"),
        ("cat <<END\nin lines\nEND", 0, "in lines\n"),
        ("echo 'one  word'", 0, "one  word\n"),
        ("echo 'a; b' | sed 's/;/ and/'; echo \"it's\"; exit 4", 4, "a and b\nit's\n"),
        ("awk 'BEGIN { print \"x\" }' && cat <<'END'\nno $HOME's\nEND", 0, "x\nno $HOME's\n"),
        ("exit 5", 5, ""),
        ("false; echo 'its end'; # a word", 0, "its end\n"),
        ("kill -9 $$", 137, ""),
        ("(exit 125)", 125, ""),
        ("umask; ls /proc/self/fd | wc -l", 0, "0022\n4\n"),
    ],
)
def test_a_command_is_run_by_a_shell_as_the_user_wrote_it(
    lsf: Sbatchd, command: str, status: int, out: str
) -> None:
    job = lsf.bsub(command)
    assert lsf.wait(job) == status
    assert job.spooled() == out


@pytest.mark.parametrize(
    ("command", "status", "out"),
    [
        ('echo "a  b" | tr a-z A-Z; exit 3', 3, "A  B\n"),
        ("cat <<END\nin lines\nEND", 0, "in lines\n"),
    ],
)
def test_a_queue_of_the_older_form_goes_on_working(
    lsf: Sbatchd, site: Site, command: str, status: int, out: str
) -> None:
    lsf.starter = f"{site.root}/sbin/lsf-jobstarter '%USRCMD'"
    job = lsf.bsub(command)
    assert lsf.wait(job) == status
    assert job.spooled() == out
    lsf.complete(lsf.counting())


def test_a_command_line_with_a_pipe_is_dumped_whole(lsf: Sbatchd) -> None:
    lsf.user.script(COUNTING, lsf.home, "count.sh")
    job = lsf.bsub("sh count.sh | cat; exit 5")
    job.wait_for_line(3)
    lsf.bstop(job)
    assert job.tree() == []
    lsf.bresume(job)
    lsf.complete(job, status=5)


def test_members_of_an_array_are_suspended_each_for_itself(lsf: Sbatchd) -> None:
    first, second = (lsf.bsub(script=COUNTING, member_of=50) for _ in range(2))
    for job in (first, second):
        job.wait_for_line(3)
    lsf.bstop(first)
    assert first.tree() == [] and second.tree() != []
    assert [row["job"] for row in lsf.site.rows()] == ["50[101]"]
    lsf.bresume(first)
    lsf.complete(first)
    assert lsf.wait(second) == 7
    assert second.spooled() == lines(second.spooled().count("\n"))


@pytest.mark.parametrize("directory", ["gone", "not set"])
def test_a_job_without_a_checkpoint_directory_is_suspended_too(
    lsf: Sbatchd, directory: str
) -> None:
    job = lsf.bsub("sh count.sh; exit 6", start=False)
    lsf.user.script(COUNTING, lsf.home, "count.sh")
    if directory == "gone":
        job.environment["LSB_CHKPNT_DIR"] = "/nonexistent"
    else:
        del job.environment["LSB_CHKPNT_DIR"]
    lsf.post_exec = "true"
    lsf.start(job)
    job.wait_for_line(3)
    lsf.bstop(job)
    assert job.tree() == []
    lsf.bresume(job)
    lsf.complete(job, status=6)


def test_settings_that_cannot_be_read_cost_the_checkpoints_alone(lsf: Sbatchd, site: Site) -> None:
    site.configure(chekpointer="criu")
    job = lsf.bsub(script=COUNTING)
    job.wait_for_line(3)
    lsf.bstop(job)
    assert job.states() == {"T"}
    lsf.bresume(job)
    lsf.complete(job)
