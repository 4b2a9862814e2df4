# SPDX-License-Identifier: MIT
"""The launch hook, by which a job goes on from its image when OpenPBS starts it (its template is
openpbs/launch_hook.py.j2): whether it is at a node's MOM.

The server sends it there some seconds after it was imported, and keeps it up to date.
"""

from __future__ import annotations

import os
from pathlib import Path

from torqueckpt.errors import NoLaunchHook

NAME = "torqueckpt"


def place(mom_priv: Path) -> Path:
    """Where MOM keeps it."""
    return mom_priv / "hooks" / f"{NAME}.PY"


def refuse_without(node_file: str) -> None:
    """Raise NoLaunchHook where it is not at MOM; node_file is its $PBS_NODEFILE, HOME/aux/JOBID."""
    path = place(Path(node_file).parent.parent / "mom_priv")
    if not os.path.exists(path):
        raise NoLaunchHook(path=path)
