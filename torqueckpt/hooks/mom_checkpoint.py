# SPDX-License-Identifier: MIT
"""mom-checkpoint: pbs_mom's $checkpoint_script, and OpenPBS's $action checkpoint[_abort].

It takes every argument list with which a MOM ever called it.
"""

from __future__ import annotations

import os

from torqueckpt import settings
from torqueckpt.batch import pointer
from torqueckpt.batch.openpbs import tasks
from torqueckpt.batch.openpbs.calls import WORD, ActionCall
from torqueckpt.batch.openpbs.comment import comment
from torqueckpt.batch.torque.calls import MomCall
from torqueckpt.checkpoint.checkpoint import checkpoint
from torqueckpt.hooks import entry


def main(argv: list[str]) -> int:
    return entry.run_root_hook("mom-checkpoint", lambda: _checkpoint(argv))


def _checkpoint(argv: list[str]) -> int:
    if argv[:1] == [WORD]:
        _for_openpbs(ActionCall.checkpoint(argv))
    else:
        checkpoint(MomCall.checkpoint(argv).to_checkpoint(), settings.load())
    return 0


def _for_openpbs(call: ActionCall) -> None:
    """Checkpoint for OpenPBS; after a failure nothing is left at MOM's %path.

    It would have MOM refuse later holds, and restart the job when it ends.
    """
    chosen = settings.load()
    try:
        tasks.refuse_several(call.job_id, call.sid, os.environ.get("PBS_NODEFILE", ""))
        made = checkpoint(call.to_checkpoint(), chosen)
    except Exception as failure:
        pointer.remove(call.directory, call.name)
        comment(call.job_id, f"checkpoint failed: {failure}", chosen)
        raise
    if made.doubts:
        doubts = "; ".join(made.doubts)
        comment(call.job_id, f"a job restarted from it would not be as it was: {doubts}", chosen)
