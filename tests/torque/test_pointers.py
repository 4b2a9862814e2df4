# SPDX-License-Identifier: MIT
"""Pointer directories: TORQUE leaves those of past jobs for ever, `torqueckpt prune` does not."""

from __future__ import annotations

from pathlib import Path

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque

_LIMITS = ("-c", "enabled", "-l", "walltime=300,mem=200mb")


def test_those_of_past_jobs_go_and_a_held_jobs_stays_and_serves(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    script = owner.script(count_script(60), directory)
    past, held = (torque.start_job(owner, script, *_LIMITS) for _ in range(2))
    for job in (past, held):
        torque.wait_for_line(job, 3)
    torque.take_image(past, owner)
    torque.hold(held, owner)
    assert torque.wait_for_exit(past) == "7"
    assert any(f"/{past}.CK/" in each for each in torque.pointer_files())

    torque.check(torque.torqueckpt, "prune")
    assert not any(f"/{past}.CK/" in each for each in torque.pointer_files())
    assert not torque.inside(torque.pointers / f"{past}.CK").exists()
    assert any(f"/{held}.CK/" in each for each in torque.pointer_files())
    torque.release(held, owner)
    assert torque.wait_for_exit(held) == "7"
    assert torque.delivered(held, directory) == (lines(60), "")
