# SPDX-License-Identifier: MIT
"""Change an administrator's config file: as it is, as it should be, and how it gets there."""

from __future__ import annotations

import difflib
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

from torqueckpt import log, safe_files
from torqueckpt.errors import ConfigNotRight, ConfigNotWritten
from torqueckpt.findings import REFUSED, Finding
from torqueckpt.safe_files import Directory


@dataclass(frozen=True)
class PlannedFile:
    """A config file as it will be; status is None when there is none yet."""

    file: Path
    old: bytes
    new: bytes
    status: os.stat_result | None
    problems: list[Finding]

    @property
    def changes(self) -> bool:
        return self.old != self.new


def current(path: Path) -> tuple[Path, bytes, os.stat_result | None]:
    """Read the file, following an administrator's link; gives its path, bytes and status.

    OSError when it is there and cannot be read.
    """
    file = path.resolve()
    try:
        with safe_files.Directory.open(file.parent) as directory:
            return file, directory.read(file.name), os.stat(file)
    except FileNotFoundError:
        return file, b"", None


def diff(plan: PlannedFile) -> str:
    """The unified diff; bytes that are no UTF-8 are shown as escapes."""
    old, new = (
        [line.decode("utf-8", "backslashreplace") for line in data.splitlines(keepends=True)]
        for data in (plan.old, plan.new)
    )
    lines = difflib.unified_diff(old, new, str(plan.file), f"{plan.file} (torqueckpt)")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline\n" for line in lines)


def refuse_if_stopped(plan: PlannedFile) -> None:
    """Raise ConfigNotRight while something is wrong that daemons or jobs would suffer from."""
    stopping = [each for each in plan.problems if each.severity == REFUSED]
    if stopping:
        raise ConfigNotRight(
            file=plan.file,
            count=len(stopping),
            which=" serious",
            consequence="; nothing was changed",
        )


def put(plan: PlannedFile) -> Path | None:
    """Write the file whole or not at all; gives where the old one is kept, None without one.

    Root only.  ConfigNotWritten when somebody else changed the file since it was read: his lines
    are not lost.  Mode, owner and extended attributes (SELinux, ACLs) stay as they were.
    """
    refuse_if_stopped(plan)
    try:
        with Directory.open(plan.file.parent) as directory:
            fcntl.flock(directory.fd, fcntl.LOCK_EX)
            if _now(directory, plan.file.name) != (plan.old if plan.status else None):
                raise ConfigNotWritten(file=plan.file, problem="it has just been changed")
            kept = _keep_old(directory, plan)
            _replace(directory, plan)
    except OSError as problem:
        raise ConfigNotWritten(file=plan.file, problem=problem.strerror) from problem
    log.info(f"{plan.file}: written, the old one is {kept}")
    return kept


def _now(directory: Directory, name: str) -> bytes | None:
    return directory.read(name) if directory.has(name) else None


def _keep_old(directory: Directory, plan: PlannedFile) -> Path | None:
    if plan.status is None:
        return None
    name = f"{plan.file.name}.torqueckpt-{time.strftime('%Y%m%dT%H%M%S')}"
    while directory.has(name):
        name += "+"
    _write(directory, name, plan.old, plan)
    return plan.file.parent / name


def _replace(directory: Directory, plan: PlannedFile) -> None:
    scratch = f"{plan.file.name}.torqueckpt-new"
    directory.remove(scratch)
    try:
        _write(directory, scratch, plan.new, plan)
    except OSError:
        directory.remove(scratch)
        raise
    directory.rename(scratch, plan.file.name)


def _write(directory: Directory, name: str, data: bytes, plan: PlannedFile) -> None:
    """Write a new file with the old one's owner and mode; without an old one root's, 0644."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(directory.open_file(name, flags, 0o600), "wb") as file:
        file.write(data)
        if plan.status is not None:
            os.fchown(file.fileno(), plan.status.st_uid, plan.status.st_gid)
            for attribute in os.listxattr(plan.file):
                os.setxattr(file.fileno(), attribute, os.getxattr(plan.file, attribute))
        os.fchmod(file.fileno(), plan.status.st_mode & 0o7777 if plan.status else 0o644)
        file.flush()
        os.fsync(file.fileno())
