# SPDX-License-Identifier: MIT
"""Putting a planned config file in place, and telling the MOM that reads it."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path

from torqueckpt import log
from torqueckpt.errors import ConfigNotWritten
from torqueckpt.paths import Directory
from torqueckpt.process import proc, signals
from torqueckpt.site.config_file import PlannedFile, refuse_if_stopped
from torqueckpt.site.mom import Plan


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


def tell_mom(plan: Plan) -> int | None:
    """Have the pbs_mom of this mom_priv read the file again; gives its pid, None when none runs."""
    try:
        text = (plan.mom_priv / "mom.lock").read_bytes()
    except OSError:
        return None
    digits = text.strip(b"\0\n ").decode("ascii", "replace")
    found = proc.stat(int(digits)) if digits.isdigit() and len(digits) < 10 else None
    if found is None or found.ended or found.name != "pbs_mom" or not _works_in(plan, found.pid):
        return None
    return found.pid if signals.send(found.id, signal.SIGHUP) else None


def _works_in(plan: Plan, pid: int) -> bool:
    """A lock file outlives its MOM, and its pid may by now be the MOM of another home."""
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", plan.mom_priv)
    except OSError:
        return False


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
    """A new file with what the old one's status says; without an old one root's, 0644."""
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
