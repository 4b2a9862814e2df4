# SPDX-License-Identifier: MIT
"""Check the checkpointer, what it runs with, and sudo's rule by which users restart their jobs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from torqueckpt import paths, run
from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.criu import felt
from torqueckpt.doctor.checks import Check, Node, failure, ok, warning
from torqueckpt.errors import (
    CheckpointerMissing,
    CheckpointerRefused,
    CheckpointerTooOld,
    ProgramMissing,
)
from torqueckpt.findings import Finding
from torqueckpt.process import privileges
from torqueckpt.process.job_processes import running
from torqueckpt.restart.door import SUDO
from torqueckpt.rights import contain, seccomp
from torqueckpt.site import altix_modules

_SECONDS = 30
_LIBSECCOMP = "install libseccomp2 (Debian) or libseccomp (Red Hat)"
# Beside those that the checkpointer itself names: what a root hook needs to act as the owner.
_HOOKS = {"kill": 5, "setgid": 6, "setuid": 7}


def checkpointer(node: Node) -> Iterator[Finding]:
    fix = "make install brings CRIU along; else install it and set criu_path"
    if node.settings.criu() == node.settings.criu_path:  # what is installed is not looked at
        place = f"criu_path in {paths.settings_file()}"
        fix = f"take out {place}, then make install; or set it to where CRIU is"
    try:
        found, version = registry.chosen(node.settings)
        yield ok(f"{found.name} {version()}, {found.program}")
    except CheckpointerMissing as missing:
        if node.settings.checkpointer not in ("criu", "auto"):
            fix = f"install it, or set {node.settings.checkpointer}_dir or checkpointer ="
        yield failure(str(missing), fix)
    except CheckpointerTooOld as old:
        yield failure(str(old), fix)
    except CheckpointerRefused as refused:
        yield failure(str(refused), "see the row on Yama")


def own_check(node: Node) -> Iterator[Finding]:
    """Run the checkpointer's own check of this kernel, as it would be run for a job."""
    argv = node.checkpointer.check_argv() if node.checkpointer is not None else []
    if node.checkpointer is None or not argv or not os.access(argv[0], os.X_OK):
        yield ok("the checkpointer has no check of its own, or is not there")
        return
    rights = node.checkpointer.capabilities(established_tcp=False)
    words = privileges.as_owner_argv(node.nobody, rights, argv)
    try:
        done = contain.run_alone(words, _SECONDS, held=node.checkpointer.dumps_held)
    except ProgramMissing as missing:
        yield failure(str(missing), "see the row on setpriv")
        return
    if done.ok:
        yield ok(f"{Path(argv[0]).name} {argv[1]}: {done.output.strip() or 'nothing is missing'}")
    else:
        fix = "a kernel with CONFIG_CHECKPOINT_RESTORE; see the rows on setpriv and capabilities"
        yield failure(done.last_line() or f"{argv[0]} ended with {done.status}", fix)


def capabilities(node: Node) -> Iterator[Finding]:
    """Check what pbs_mom (else this shell) may pass on.

    A container or unit may have taken it away.
    """
    pid = running("pbs_mom")
    whose = "pbs_mom" if pid else "this shell"
    status = _status(pid or os.getpid())
    rights = node.checkpointer.capabilities(True) if node.checkpointer is not None else ()
    needed = {**_HOOKS, **{name: bit for name, bit in privileges.BITS.items() if name in rights}}
    bounding = int(status.get("CapBnd", "0"), 16)
    gone = [name for name, bit in needed.items() if not bounding >> bit & 1]
    if gone:
        fix = "let its unit or container keep them: CapabilityBoundingSet=, docker --cap-add"
        yield failure(f"{whose} has lost {', '.join(gone)}", fix)
    if status.get("NoNewPrivs") == "1":
        fix = "NoNewPrivileges=no in its unit, and start it anew"
        yield failure(f"{whose} and its jobs may not use sudo (no_new_privs)", fix)
    if not gone and status.get("NoNewPrivs") != "1":
        yield ok(f"{whose} has {', '.join(needed)}")


def setpriv(node: Node) -> Iterator[Finding]:
    """Try to become an owner with the rights that a dump needs."""
    rights = node.checkpointer.capabilities(True) if node.checkpointer is not None else ()
    words = privileges.as_owner_argv(node.nobody, rights, ["/bin/true"], orphan_seconds=_SECONDS)
    try:
        done = run.run(words, timeout_seconds=_SECONDS)
    except ProgramMissing as missing:
        yield failure(str(missing), "install util-linux")
        return
    if done.ok:
        yield ok(f"runs programs as users, with {', '.join(rights) or 'no rights'}")
    else:
        fix = "install util-linux 2.36 or later, and coreutils for timeout"
        yield failure(f"{words[0]}: {done.last_line() or done.status}", fix)


def system_calls(node: Node) -> Iterator[Finding]:
    """Check for libseccomp, which bars a dump from system calls that none needs."""
    if seccomp.available():
        yield ok("dumps run with a list of system calls refused")
    else:
        yield warning(
            "dumps run with all system calls: no libseccomp, or no seccomp in the kernel",
            _LIBSECCOMP,
        )


def waiting_calls(node: Node) -> Iterator[Finding]:
    """Check for the library with which a checkpoint ends no system call that a job waits in."""
    library = node.checkpointer.dump_library if node.checkpointer is not None else None
    if library is None:
        yield ok("the checkpointer sees to them, or is not there")
    elif library.is_file():
        yield ok("what a job waits in goes on after a checkpoint")
    else:
        yield warning(felt.WHAT.format(library=library), felt.REMEDY)


def sudo(node: Node) -> Iterator[Finding]:
    """Call rootdoor as an ordinary user does."""
    try:
        status = os.stat(SUDO)
    except OSError:
        yield failure(f"{SUDO} is missing: users cannot restart jobs", "install sudo")
        return
    if status.st_uid != 0 or not status.st_mode & stat.S_ISUID:
        fix = f"chown root {SUDO}; chmod 4755 {SUDO}; is its file system mounted nosuid?"
        yield failure(f"{SUDO} is not root's, or not setuid", fix)
        return
    door = paths.installation() / "rootdoor"
    try:
        words = privileges.as_owner_argv(node.nobody, (), [SUDO, "-n", str(door), "knock"])
        done = run.run(words, timeout_seconds=_SECONDS)
    except ProgramMissing as missing:
        yield failure(str(missing), "install util-linux")
        return
    if done.ok:
        yield ok(f"lets users through {door}")
        return
    fix = "make install writes the rule to /etc/sudoers.d; does /etc/sudoers include that?"
    yield failure(f"no user gets through {door}: {done.last_line() or done.status}", fix)


def kernel_modules(node: Node) -> Iterator[Finding]:
    if node.settings.checkpointer != "altix":
        yield ok(f"{node.settings.checkpointer} has none")
        return
    gone = altix_modules.missing(altix_modules.Kernel())
    if gone:
        fix = "torqueckpt modules load; systemctl enable torqueckpt-modules"
        yield failure(f"not loaded: {', '.join(gone)}", fix)
    else:
        yield ok(f"loaded: {', '.join(altix_modules.ORDER)}")


def psutil_is_there(node: Node) -> Iterator[Finding]:
    absent = [name for name in ("psutil", "cffi") if not _importable(name)]
    if absent:
        pip = f"{paths.installation()}/venv/bin/pip install --force-reinstall"
        fix = f"{pip} {' '.join(absent)}"
        yield warning(f"not there: {', '.join(absent)}", fix)
    else:
        yield ok("psutil and cffi are there")


def _importable(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


CHECKS = (
    Check("checkpointer", "version", checkpointer),
    Check("checkpointer", "its own check", own_check),
    Check("checkpointer", "modules", kernel_modules),
    Check("checkpointer", "waiting calls", waiting_calls),
    Check("rights", "capabilities", capabilities),
    Check("rights", "setpriv", setpriv),
    Check("rights", "system calls", system_calls),
    Check("rights", "sudo door", sudo),
    Check("rights", "Python packages", psutil_is_there),
)
