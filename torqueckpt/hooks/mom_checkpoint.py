# SPDX-License-Identifier: MIT
"""mom-checkpoint: pbs_mom's $checkpoint_script in every form it was ever called, and OpenPBS's
$action checkpoint and checkpoint_abort."""

from __future__ import annotations

from torqueckpt import settings
from torqueckpt.actions.checkpoint import checkpoint
from torqueckpt.batch.openpbs.calls import WORD, ActionCall
from torqueckpt.batch.torque.calls import MomCall
from torqueckpt.hooks import door


def main(argv: list[str]) -> int:
    def action() -> int:
        parse = ActionCall.checkpoint if argv[:1] == [WORD] else MomCall.checkpoint
        checkpoint(parse(argv).to_checkpoint(), settings.load())
        return 0

    return door.run("mom-checkpoint", action)
