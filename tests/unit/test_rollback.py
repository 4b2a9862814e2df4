# SPDX-License-Identifier: MIT
"""What a restart takes away as new: never what the batch system still needs."""

from __future__ import annotations

import os
from pathlib import Path

from tests.unit import samples
from torqueckpt.batch import pointer
from torqueckpt.batch.torque.calls import MomCall
from torqueckpt.identity import Owner
from torqueckpt.manifest import Rule
from torqueckpt.process import privileges
from torqueckpt.restart import rollback
from torqueckpt.restart.plan import Attempt, Restart
from torqueckpt.settings import Settings
from torqueckpt.store.lineage import Lineage


def test_the_pointer_of_a_directory_among_the_jobs_files_stays(
    user: Owner, place: Path, lineage: Lineage
) -> None:
    """Without it MOM would requeue the job at once, and it would run twice."""
    run = place / "run"
    for each in (run, run / "ckpt"):
        each.mkdir()
        os.chown(each, user.uid, user.gid)
    (place / "scratch").symlink_to("run")
    call = MomCall.restart(
        ["17", samples.JOB, user.name, "users", f"{place}/scratch/ckpt", "ckpt.one"]
    )
    manifest = samples.a_manifest(
        files=(), watched=(), processes=(), rules=(Rule(f"{run}/**", "snapshot", True),)
    )
    with privileges.acting_as(user):
        pointer.write(run / "ckpt", "ckpt.one", samples.LINEAGE, 1)
        (run / "new").write_bytes(b"made since")
        restart = Restart(call.to_restart(1), user, Settings())
        found = rollback.checked(restart, lineage, manifest, Attempt("a1", {}))
    assert [each.path for each in found.changes] == [str(run / "new")]
