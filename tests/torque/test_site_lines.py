# SPDX-License-Identifier: MIT
"""Lines of a site's own in mom_priv/config: with which jobs are held and go on, and which are told.

Seen to be no matter as well, by hand: $preexec, $spool_as_final_name, $nospool_dir_list *,
$job_output_file_umask, $mom_oom_immunize, $job_oom_score_adjust, $nodefile_suffix.
"""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque

_LIMITS = ("-c", "enabled", "-l", "walltime=300,mem=300mb")
_WITH_DAEMON = "#!/bin/bash\n(sleep 12 &)\n" + count_script(60).partition("\n")[2]

Use = Callable[[str], str]


@pytest.fixture
def use(torque: PrivateTorque) -> Iterator[Use]:
    """MOM's config with a line of the site's; gives what --check says of it."""
    before = torque.mom_config.read_text()

    def changed(line: str) -> str:
        torque.mom_config.write_text(f"{before}{line}\n")
        torque.kill_mom()
        torque.start_mom()
        torque.wait_until_free()
        return torque.findings()

    yield changed
    torque.mom_config.write_text(before)
    torque.kill_mom()
    torque.start_mom()
    torque.wait_until_free()


def _held_and_released(torque: PrivateTorque, owner: User, directory: Path, text: str) -> None:
    job = torque.start_job(owner, owner.script(text, directory), *_LIMITS)
    torque.wait_for_line(job, 5)
    torque.hold(job, owner)
    torque.release(job, owner)
    assert torque.wait_for_exit(job, 90) == "7"
    assert torque.delivered(job, directory) == (lines(60), "")


def test_where_mom_has_the_shell_become_the_script_a_job_is_held_whole(
    torque: PrivateTorque, owner: User, directory: Path, use: Use
) -> None:
    """What was dumped before was the script's child of that moment."""
    assert use("$exec_with_exec true") == ""
    _held_and_released(torque, owner, directory, count_script(60))


def test_a_job_starter_is_told_and_one_that_ends_in_mom_run_serves(
    torque: PrivateTorque, owner: User, directory: Path, use: Use
) -> None:
    torque.root.chmod(0o755)
    starter = torque.root / "starter"
    starter.write_text('#!/bin/bash\nexport STARTED=yes\nexec "$@"\n')
    starter.chmod(0o755)
    told = use(f"$job_starter {starter}")
    assert "jobs start by it, not by mom-run" in told
    job = torque.start_job(owner, owner.script(_WITH_DAEMON, directory), *_LIMITS)
    torque.wait_for_line(job, 5)
    torque.run("qchkpt", job, user=owner)
    refused = "a process that left its parent"
    torque.wait(lambda: refused in torque.full_status(job).get("comment", ""), "a refusal")
    torque.end(job)

    command = told.partition("end in: ")[2].splitlines()[0]  # as the remedy says
    starter.write_text(f"#!/bin/bash\nexport STARTED=yes\n{command}\n")
    assert use(f"$job_starter {starter}") == ""
    _held_and_released(torque, owner, directory, _WITH_DAEMON)


def test_a_site_that_reads_no_login_files_reads_none_for_jobs_with_c(
    torque: PrivateTorque, owner: User, directory: Path, use: Use
) -> None:
    assert "login_shell = false" in use("$source_login_batch false")
    torque.configure(login_shell=False)
    assert use("$source_login_batch false") == ""
    script = owner.script("#!/bin/bash\nps -o args= -p $PPID\n", directory)
    for options in (_LIMITS, _LIMITS[2:]):
        job = torque.submit(owner, script, *options)
        torque.wait_for_exit(job)
        assert torque.delivered(job, directory)[0] == "bash\n"


def test_an_interactive_job_is_told_at_once_and_its_checkpoints_say_why_not(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    ours, its = pty.openpty()
    argv = torque.argv("qsub", "-I", *_LIMITS, user=owner, directory=directory)
    with subprocess.Popen(argv, stdin=its, stdout=its, stderr=its, start_new_session=True) as qsub:
        said = ""
        while "an interactive job cannot be checkpointed" not in said:
            said += os.read(ours, 4096).decode()
        job = said.partition("waiting for job ")[2].split()[0]
        asked = torque.run("qhold", job, user=owner)
        assert asked.returncode == 0 or torque.loses_holds
        why = "an interactive job (qsub -I) cannot be checkpointed"
        torque.wait(
            lambda: why in torque.full_status(job).get("comment", ""),
            "a comment that says why",
            instead=lambda: torque.full_status(job),
        )
        assert torque.state(job) == "R"
        os.write(ours, b"exit 5\n")
        assert qsub.wait(60) == 0
    for fd in (ours, its):
        os.close(fd)
