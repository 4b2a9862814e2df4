# SPDX-License-Identifier: MIT
"""erestart: resumes an LSF job (JOB_CONTROLS), or says how a job of brestart begins.

erestart                                  in RESUME[…]
erestart [-c] [-f] CHECKPOINT_DIR         as LSF calls it
"""

from __future__ import annotations

import os

from torqueckpt import settings
from torqueckpt.batch.lsf.calls import ErestartCall, LsfJob
from torqueckpt.hooks import entry
from torqueckpt.lsf import control


def main(argv: list[str]) -> int:
    return entry.run_hook("erestart", lambda: _act(ErestartCall.from_argv(argv)))


def _act(call: ErestartCall) -> int:
    if call.directory is None:
        control.resume(LsfJob.from_environment(os.environ))
    else:
        control.prepare_restart(call.directory, settings.load(), os.environ)
    return 0
