# SPDX-License-Identifier: MIT
"""Load the Altix checkpointer's kernel modules: syscover, then ckpt; unloaded in reverse.

Loading twice is as good as once.  A load that fails half way takes out again what it put in.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from torqueckpt import log, run
from torqueckpt.errors import ModuleRefused, ModulesMissing, NeedsRoot
from torqueckpt.settings import Settings

ORDER = ("syscover", "ckpt")
_TIMEOUT_SECONDS = 60


class Kernel(NamedTuple):
    """How this node's kernel is asked; tests have their own."""

    proc_modules: Path = Path("/proc/modules")
    insmod: tuple[Path, ...] = (Path("/usr/sbin/insmod"), Path("/sbin/insmod"))
    rmmod: tuple[Path, ...] = (Path("/usr/sbin/rmmod"), Path("/sbin/rmmod"))

    def loaded(self) -> set[str]:
        try:
            lines = self.proc_modules.read_text().splitlines()
        except OSError:  # a kernel without modules
            return set()
        return {line.split(None, 1)[0] for line in lines if line}


def load(settings: Settings, kernel: Kernel) -> list[str]:
    """Load the modules that are not loaded; gives the names of those loaded now.  Root only."""
    _needs_root("load")
    files = {name: _file(settings, name) for name in ORDER}
    inserted: list[str] = []
    for name in ORDER:
        if name in kernel.loaded():
            continue
        try:
            _ask(kernel.insmod, str(files[name]), name, "load")
        except ModuleRefused:
            for earlier in reversed(inserted):
                _ask(kernel.rmmod, earlier, earlier, "unload")
            raise
        inserted.append(name)
    return inserted


def unload(kernel: Kernel) -> list[str]:
    """Unload the modules that are loaded; gives their names.  Root only."""
    _needs_root("unload")
    present = kernel.loaded()
    gone = []
    for name in reversed(ORDER):
        if name in present:
            _ask(kernel.rmmod, name, name, "unload")
            gone.append(name)
    return gone


def missing(kernel: Kernel) -> list[str]:
    """The modules that are not loaded, in the order of loading."""
    present = kernel.loaded()
    return [name for name in ORDER if name not in present]


def _file(settings: Settings, name: str) -> Path:
    """The module's file; it becomes part of the kernel, so only root may have written it."""
    file = settings.modules_dir / f"{name}.ko"
    if not settings.has_modules():
        raise ModulesMissing(path="modules_dir", problem="not set")
    try:
        status = os.stat(file)
    except OSError as problem:
        raise ModulesMissing(path=file, problem=problem.strerror) from problem
    if status.st_uid != 0 or status.st_mode & 0o022:
        raise ModulesMissing(path=file, problem="must be root's and writable by root only")
    return file


def _ask(programs: tuple[Path, ...], argument: str, module: str, verb: str) -> None:
    program = next((each for each in programs if each.exists()), programs[0])
    finished = run.run([str(program), argument], timeout_seconds=_TIMEOUT_SECONDS)
    if not finished.ok:
        reason = finished.last_line() or f"{program} gave no reason (status {finished.status})"
        raise ModuleRefused(verb=verb, module=module, reason=reason)
    log.info(f"kernel module {module}: {verb}ed")


def _needs_root(verb: str) -> None:
    if os.geteuid() != 0:
        raise NeedsRoot(what=f"torqueckpt modules {verb}", remedy=f"sudo torqueckpt modules {verb}")
