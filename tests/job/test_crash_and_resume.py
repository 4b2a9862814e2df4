# SPDX-License-Identifier: MIT
"""The main job: a real job is checkpointed, its node crashes, and it goes on from its image."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import (
    INSTALLED,
    UNTIL_IT_MAY_END,
    Running,
    Site,
    User,
    alive,
    counting,
    kill,
    lines,
    wait_until,
)


@pytest.fixture
def crashed(site: Site, user: User) -> Running:
    """A job that was checkpointed at least once and whose node then crashed."""
    directory = user.directory()
    running = site.start(user, user.script(counting(60), directory), "-c", "c=1s")
    site.wait_for_images(running.job)
    running.wait_for_line(14)
    running.crash()
    return running


def test_a_crashed_job_goes_on_with_each_line_once_and_its_exit_status(
    site: Site, user: User, crashed: Running
) -> None:
    resumed = site.resume(user, crashed.job, crashed.directory)
    assert resumed.wait() == 7, resumed.err()
    assert resumed.out() == lines(60)
    assert resumed.err() == ""
    user.has_none()


def test_a_resumed_job_is_checkpointed_crashes_and_is_resumed_again_twice(
    site: Site, user: User, crashed: Running
) -> None:
    job, reached = crashed.job, 14
    for _ in range(2):
        resumed = site.resume(user, job, crashed.directory)
        site.wait_for_newer(crashed.job, max(site.generations(crashed.job)))
        reached += 5
        resumed.wait_for_line(reached)
        resumed.crash()
        job = resumed.job
    last = site.resume(user, job, crashed.directory)
    assert last.wait() == 7
    assert last.out() == lines(60)
    assert {row["lineage"] for row in site.rows()} == {site.lineage(crashed.job).name}


def test_the_same_resume_job_runs_again_and_goes_on_from_the_newest_image(
    site: Site, user: User, crashed: Running
) -> None:
    first = site.resume(user, crashed.job, crashed.directory)
    first.wait_for_line(18)
    first.crash()
    again = site.resume(user, crashed.job, crashed.directory)  # the first job's id, as before
    assert again.wait() == 7, again.err()
    assert again.out() == lines(60)


def test_going_on_from_an_older_image_leaves_the_newer_one_its_output(
    site: Site, user: User
) -> None:
    directory = user.directory()
    running = site.start(user, user.script(counting(60), directory), "-c", "c=1s,depth=9")
    newest = site.wait_for_images(running.job, 2)
    running.crash()
    older = site.resume(user, running.job, directory, "--generation", str(newest - 1))
    older.process.terminate()
    older.wait_as_it_is()
    newer = site.resume(user, running.job, directory, "--generation", str(newest))
    assert newer.wait() == 7
    assert newer.out() == lines(60)


def test_a_job_that_still_runs_is_not_resumed_and_nothing_is_touched(
    site: Site, user: User
) -> None:
    directory = user.directory()
    running = site.start(user, user.script(counting(60), directory), "-c", "c=1s")
    site.wait_for_images(running.job)
    refused = site.resume(user, running.job, directory)
    assert refused.wait_as_it_is() == 125
    assert "still runs" in refused.err()
    assert refused.out() == ""
    assert running.wait() == 7
    assert running.out() == lines(60)


def test_two_resumes_at_once_start_the_job_once(site: Site, user: User, crashed: Running) -> None:
    both = [site.resume(user, crashed.job, crashed.directory) for _ in range(2)]
    wait_until(lambda: [each for each in both if each.process.poll() is not None])
    statuses = sorted(each.wait() for each in both)
    assert statuses == [7, 125]
    winner, loser = sorted(both, key=lambda each: each.process.returncode)
    assert winner.out() == lines(60)
    assert "still runs" in loser.err()


def test_a_killed_supervisor_takes_its_tree_with_it_and_the_job_can_go_on(
    site: Site, user: User, crashed: Running
) -> None:
    resumed = site.resume(user, crashed.job, crashed.directory)
    record = site.lineage(crashed.job) / "live.json"

    def restored() -> dict[str, Any] | None:
        live: dict[str, Any] = json.loads(record.read_text())
        return live if live["job"] == resumed.job and live["tree"] else None

    live = wait_until(restored)
    tree = live["tree"]["pid"]
    assert alive(tree)
    kill(live["keeper"]["pid"])
    assert resumed.wait_as_it_is() == 137
    wait_until(lambda: not alive(tree))
    again = site.resume(user, crashed.job, crashed.directory)
    assert again.wait() == 7, again.err()
    assert again.out() == lines(60)


def test_qdel_of_a_resumed_job_leaves_no_process(site: Site, user: User, crashed: Running) -> None:
    resumed = site.resume(user, crashed.job, crashed.directory)
    site.wait_for_restart(resumed)
    resumed.process.terminate()
    assert resumed.wait_as_it_is() in (137, 143)
    user.has_none()


def test_a_trap_in_the_job_sees_a_signal_once_after_a_restart(site: Site, user: User) -> None:
    directory = user.directory()
    text = """#!/bin/bash
trap 'echo got TERM; exit 3' TERM
i=0
while :; do i=$((i + 1)); echo line $i; sleep 0.1; done
"""
    running = site.start(user, user.script(text, directory), "-c", "c=1s")
    site.wait_for_images(running.job)
    running.crash()
    resumed = site.resume(user, running.job, directory)
    site.wait_for_restart(resumed)
    resumed.process.terminate()
    resumed.wait()
    assert resumed.out().count("got TERM") == 1


def test_a_directory_with_blanks_quotes_and_newlines(site: Site, user: User) -> None:
    parent = user.directory()
    directory = parent / 'it\'s "a"\n$(touch hurt) dir'
    directory.mkdir()
    shutil.chown(directory, user.name)
    running = site.start(user, user.script(counting(60), directory), "-c", "c=1s")
    site.wait_for_images(running.job)
    running.crash()
    resumed = site.resume(user, running.job, directory)
    assert resumed.wait() == 7, resumed.stderr.read_text()
    assert resumed.out() == lines(60)
    assert not list(Path(parent).rglob("hurt"))


def test_a_job_of_bash_without_an_interpreter_line_and_with_children(
    site: Site, user: User
) -> None:
    """bash runs such a script itself and keeps it open as descriptor 255."""
    directory = user.directory()
    text = (
        f"(for i in $(seq 30); do echo line $i; sleep 0.1; done; {UNTIL_IT_MAY_END}) |\n"
        "  python3 -u -c 'import sys\nfor l in sys.stdin: print(l, end=\"\", flush=True)'\n"
        "echo done >>out.txt\nexit 9\n"
    )
    running = site.start(user, user.script(text, directory), "-c", "c=1s")
    site.wait_for_images(running.job)
    running.wait_for_line(14)
    running.crash()
    resumed = site.resume(user, running.job, directory)
    assert resumed.wait() == 9
    assert resumed.out() == lines(30)
    assert (directory / "out.txt").read_text() == "done\n"


def test_outputs_that_a_resumed_job_joins_stay_whole_from_then_on(site: Site, user: User) -> None:
    text = counting(60).replace("echo line $i", "echo line $i; echo error $i >&2")
    running = site.start(user, user.script(text, user.directory()), "-c", "enabled")
    running.wait_for_line(10)
    assert subprocess.run(running.hook_argv(name="one")).returncode == 0
    running.crash()
    for turn in ("two", "three"):
        directory = user.directory()
        script = directory / "resume.sh"
        words = ("resume-job", running.job, "-o", str(script))
        subprocess.run(user.argv(site.program, *words), check=True)
        resumed = site.start(user, script, "-j", "oe", "-c", "enabled", "-N", "joined")
        resumed.may_end = running.may_end
        site.wait_for_restart(resumed)
        if turn == "two":
            assert subprocess.run(resumed.hook_argv(name=turn)).returncode == 0
            resumed.crash()
    assert resumed.wait() == 7
    told = resumed.out().splitlines()
    for word in ("line", "error"):
        assert [each for each in told if each.startswith(word)] == [
            f"{word} {n}" for n in range(1, 61)
        ]


def test_a_restore_that_fails_without_a_log_is_not_told_the_reason_of_the_one_before(
    site: Site, user: User, crashed: Running
) -> None:
    """The first finds its pid taken, and is tried again; the second does not come to its log."""
    criu = site.root / "criu"
    criu.write_text(
        f"""#!/bin/sh
[ "$1" = restore ] || exec {INSTALLED}/criu/criu "$@"
while [ "$1" != --work-dir ]; do shift; done
if [ -e "$2/tried" ]; then echo 'nothing can be opened' >&2; exit 1; fi
: >"$2/tried"
echo "Error (criu/cr-restore.c:1): Can't fork for 7: File exists" >"$2/restore.log"
exit 1
"""
    )
    criu.chmod(0o755)
    site.configure(criu_path=str(criu), pid_wait_seconds=600)
    refused = site.resume(user, crashed.job, crashed.directory)
    assert refused.wait() == 125
    assert "nothing can be opened" in refused.err()


def test_a_checkpoint_that_is_due_during_the_restore_is_told_of_the_restart(
    site: Site, user: User, crashed: Running
) -> None:
    here = user.directory()
    program, begun = here / "criu", here / "begun"
    program.write_text(
        "#!/bin/sh\n"
        f'[ "$1" != restore ] || until [ -e {here}/go ]; do : >{begun}; sleep 0.05; done\n'
        f'exec {INSTALLED}/criu/criu "$@"\n'
    )
    program.chmod(0o755)
    site.configure(criu_path=str(program), lock_timeout_seconds=1)
    resumed = site.resume(user, crashed.job, crashed.directory)
    wait_until(begun.exists)
    told = subprocess.run(resumed.hook_argv(), capture_output=True, text=True)
    (here / "go").touch()
    assert told.returncode == 16, told.stderr
    assert "a restart that is not finished yet" in told.stderr
    assert resumed.wait() == 7, resumed.err()
    assert resumed.out() == lines(60)
