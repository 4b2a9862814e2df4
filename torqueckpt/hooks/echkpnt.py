# SPDX-License-Identifier: MIT
"""echkpnt: suspends an LSF job (JOB_CONTROLS), or takes an image of it (bchkpnt, bmig, CHKPNT).

echkpnt [-k]                                         in SUSPEND[…]
echkpnt [-c] [-f] [-k | -s] [-d DIR] [-x] PGID       as LSF calls it
"""

from __future__ import annotations

import os
from pathlib import Path

from torqueckpt.batch.lsf.calls import EchkpntCall, LsfJob
from torqueckpt.errors import BadArguments
from torqueckpt.hooks import entry
from torqueckpt.lsf import control


def main(argv: list[str]) -> int:
    return entry.run_hook("echkpnt", lambda: _act(EchkpntCall.from_argv(argv)))


def _act(call: EchkpntCall) -> int:
    if call.group is None:
        control.suspend(LsfJob.from_environment(os.environ))
        return 0
    directory = call.directory or os.environ.get("LSB_CHKPNT_DIR")
    if directory is None:
        raise BadArguments(
            program="echkpnt", problem="no directory", usage="-d DIR, or LSB_CHKPNT_DIR"
        )
    control.checkpoint(call.group, call, Path(directory))
    return 0
