# SPDX-License-Identifier: MIT
"""Who dumps: a table of checkpointers by name, imported on use."""

from __future__ import annotations

import sys
from importlib import import_module

from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.errors import CheckpointerMissing
from torqueckpt.settings import Settings

_TABLE = {
    "altix": "torqueckpt.checkpointers.altix:Altix",
    "blcr": "torqueckpt.checkpointers.blcr:Blcr",
    "criu": "torqueckpt.checkpointers.criu.criu:Criu",
    "dmtcp": "torqueckpt.checkpointers.dmtcp:Dmtcp",
}
_ENTRY_POINTS = "torqueckpt.checkpointers"


def load(name: str, settings: Settings) -> Checkpointer:
    """The checkpointer `name`: ours, or a third party's by entry point."""
    target = _TABLE.get(name) or _third_party(name)
    if target is None:
        raise CheckpointerMissing(name=name, program="a checkpointer of that name")
    module, _, attribute = target.partition(":")
    made: Checkpointer = getattr(import_module(module), attribute)(settings)
    return made


def _third_party(name: str) -> str | None:
    from importlib.metadata import entry_points

    if sys.version_info >= (3, 10):
        group = entry_points(group=_ENTRY_POINTS)
    else:  # a dictionary, without the groups that nobody is in
        group = entry_points().get(_ENTRY_POINTS, [])
    return next((entry.value for entry in group if entry.name == name), None)
