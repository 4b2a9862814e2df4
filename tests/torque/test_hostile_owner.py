# SPDX-License-Identifier: MIT
"""What a user can do to a held job's checkpoint attributes: no harm to others, no image lost."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque


@pytest.fixture
def held(torque: PrivateTorque, owner: User, directory: Path) -> str:
    job = torque.start_job(owner, owner.script(count_script(40), directory), "-c", "enabled")
    torque.wait_for_line(job, 5)
    torque.hold(job, owner)
    return job


@pytest.fixture
def roots(torque: PrivateTorque) -> Path:
    """A directory of root's, the same path in there and here."""
    made = torque.root / "roots"
    made.mkdir(exist_ok=True)
    return made


def test_an_image_name_that_leads_to_a_file_of_roots_is_refused_and_told(
    torque: PrivateTorque, owner: User, directory: Path, held: str, roots: Path
) -> None:
    secret = roots / "secret"
    secret.write_text("root's\n")
    name = torque.full_status(held)["checkpoint_name"]
    torque.check("qalter", "-W", f"checkpoint_name={'../' * 12}{secret}", held, user=owner)
    torque.release(held, owner)
    assert "is not a file name" in torque.wait_for_hold(held)["comment"]
    assert secret.read_text() == "root's\n"
    secret.unlink()
    torque.check("qalter", "-W", f"checkpoint_name={name}", held)
    torque.release(held, None, "-h", "s")
    torque.wait_until_running(held)
    assert torque.wait_for_state(held, "C", 60)["exit_status"] == "7"
    assert torque.delivered(held, directory)[0] == lines(40)


def test_a_directory_that_is_a_command_is_not_restarted_from(
    torque: PrivateTorque, owner: User, held: str
) -> None:
    """The prologue has seen another one: a held job's can be altered, and below the directory for
    pointers MOM copies nothing.  6.1 would run the command as root at the next checkpoint."""
    name = torque.full_status(held)["checkpoint_name"]
    own = torque.pointers / f"{held}.CK"
    bad = f"{own}/a;touch done;b"
    torque.check("mkdir", "-p", f"{bad}/{held}.CK", user=owner)
    torque.check("cp", own / name, f"{bad}/{held}.CK/{name}", user=owner)
    torque.check("qalter", "-W", f"checkpoint_dir={bad}", held, user=owner)
    torque.release(held, owner)
    assert "a shell acts on" in torque.wait_for_hold(held)["comment"]
    assert not (torque.root / "home/mom_priv/done").exists()
    torque.end(held)


@pytest.mark.parametrize(
    "change",
    ["checkpoint_name=../../x", "checkpoint_name=x;touch {}/y", "checkpoint_dir={}", "deleted"],
)
def test_where_mom_finds_no_image_nothing_runs_twice_and_the_user_can_resume(
    torque: PrivateTorque, owner: User, directory: Path, held: str, roots: Path, change: str
) -> None:
    """6.1's MOM starts and kills such a restart again and again until it has lost the job."""
    if change == "deleted":
        for pointer in torque.inside(torque.pointers / f"{held}.CK").iterdir():
            pointer.unlink()
    else:
        torque.check("qalter", "-W", change.format(roots), held, user=owner)
    torque.release(held, owner)
    time.sleep(3)
    assert list(roots.iterdir()) == []
    torque.end(held)
    torque.wait(lambda: not torque.processes(owner), "the end of all processes")
    resumed = torque.resume(held, owner, directory)
    assert torque.wait_for_state(resumed, "C", 60)["exit_status"] == "7"
    assert torque.delivered(resumed, directory)[0] == lines(40)
