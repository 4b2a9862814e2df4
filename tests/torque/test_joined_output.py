# SPDX-License-Identifier: MIT
"""qsub -j and -k: one stream that takes both, or streams in the user's home, over a hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque


@pytest.mark.parametrize(("options", "letter"), [("-j oe", "o"), ("-j eo", "e"), ("-k oe", "o")])
def test_output_is_complete_after_a_hold_and_a_release(
    torque: PrivateTorque, owner: User, directory: Path, options: str, letter: str
) -> None:
    limits = ("-c", "enabled", "-l", "walltime=300,mem=300mb", "-N", directory.name)
    script = owner.script(count_script(120), directory)
    job = torque.start_job(owner, script, *limits, *options.split())
    torque.take_image(job, owner)
    torque.hold(job, owner)
    torque.release(job, owner)
    assert torque.wait_for_exit(job, 90) == "7"
    place = owner.home if options.startswith("-k") else directory
    path = place / f"{directory.name}.{letter}{job.partition('.')[0]}"
    torque.wait(path.exists, "the output")
    assert path.read_text() == lines(120)
    if place != directory:
        path.unlink()
        path.with_name(path.name.replace(".o", ".e")).unlink()
