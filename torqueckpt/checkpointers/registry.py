# SPDX-License-Identifier: MIT
"""Find checkpointers by name, and the one that works on this node; each is imported on use."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module

from torqueckpt import run
from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.errors import (
    CheckpointerMissing,
    CheckpointerRefused,
    CheckpointerTooOld,
    KernelTooOld,
    ProgramMissing,
    TorqueCkptError,
)
from torqueckpt.settings import Settings

_TABLE = {
    "altix": "torqueckpt.checkpointers.altix:Altix",
    "blcr": "torqueckpt.checkpointers.blcr:Blcr",
    "criu": "torqueckpt.checkpointers.criu.criu:Criu",
    "dmtcp": "torqueckpt.checkpointers.dmtcp:Dmtcp",
}

_ENTRY_POINTS = "torqueckpt.checkpointers"


def usable_version(checkpointer: Checkpointer) -> str:
    """The installed version, checked to be new enough, as the kernel is."""
    return _asked(checkpointer)()


def chosen(settings: Settings) -> tuple[Checkpointer, Callable[[], str]]:
    """The node's checkpointer, and a function that waits for its version, as usable_version() does.

    The version was asked for already.  "auto" takes the first checkpointer that the node can run.
    """
    if settings.checkpointer != "auto":
        found = load(settings.checkpointer, settings)
        return found, _asked(found)
    problems = []
    for name in settings.checkpointers:
        try:
            found = load(name, settings)
            version = usable_version(found)
            return found, partial(str, version)
        except TorqueCkptError as unusable:
            problems.append(str(unusable))
    raise CheckpointerMissing(name="auto", program="; ".join(problems) or "each that is named")


def _asked(checkpointer: Checkpointer) -> Callable[[], str]:
    found = _numbers(os.uname().release)[:2]
    if found < checkpointer.needs_kernel:
        needed = ".".join(map(str, checkpointer.needs_kernel))
        raise KernelTooOld(found=os.uname().release, needed=needed)
    if problem := checkpointer.refused_here():
        raise CheckpointerRefused(name=checkpointer.name, problem=problem)
    words = checkpointer.version_argv()
    try:
        if not words and not os.access(checkpointer.program, os.X_OK):
            raise ProgramMissing(program=checkpointer.program, problem="not there")
        answer = run.begin(words, timeout_seconds=10) if words else None
    except ProgramMissing as missing:
        raise CheckpointerMissing(name=checkpointer.name, program=checkpointer.program) from missing

    def version() -> str:
        installed = checkpointer.version(answer().output if answer is not None else "")
        if _numbers(installed) < checkpointer.needs_version:
            needed = ".".join(map(str, checkpointer.needs_version))
            raise CheckpointerTooOld(
                program=checkpointer.program, found=installed or "unknown", needed=needed
            )
        return installed or "unknown"

    return version


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:3])


def load(name: str, settings: Settings) -> Checkpointer:
    """Import the checkpointer `name`: ours, or a third party's by entry point."""
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
