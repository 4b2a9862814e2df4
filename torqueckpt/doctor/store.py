# SPDX-License-Identifier: MIT
"""Check the store's owner, file system, free room and speed, and the signature key."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from torqueckpt import layout
from torqueckpt.doctor.checks import Check, Node, failure, ok, warning
from torqueckpt.errors import KeyMissing, StoreNotWritable, TorqueCkptError
from torqueckpt.findings import Finding
from torqueckpt.process import node as this_node
from torqueckpt.process import privileges
from torqueckpt.safe_files import Directory
from torqueckpt.store import access, filesystem, key

_MIB = 1 << 20
_TRIAL = ".torqueckpt-doctor-"  # a name, as images have: not all file systems do without
_TRIED_MIB = 32
_TRIED_SECONDS = 5  # a store may be very slow
_SLOW_MIB = 50  # a second; a GiB takes 20 s then
_SQUASHED = (errno.EACCES, errno.EPERM)
_CLOCKS_APART = 5  # seconds between this node and who keeps the files
_INODES = 1000


def whose(node: Node) -> Iterator[Finding]:
    """Check that store and jobs/ are root's, closed to other writers, open for all to pass."""
    wrong = False
    for path in (node.settings.store, node.settings.store / layout.JOBS):
        try:
            status = path.lstat()
        except OSError as problem:
            yield _not_there(node.settings.store, problem)
            return
        for problem_text, fix in _wrong(path, status):
            wrong = True
            yield failure(f"{path} {problem_text}", fix)
    if not wrong:
        yield ok(f"{node.settings.store}, root's, 0755")


def _wrong(path: Path, status: os.stat_result) -> Iterator[tuple[str, str]]:
    if not stat.S_ISDIR(status.st_mode):
        yield "is no directory, or a link to one", "name its real path in the settings"
        return
    if status.st_uid != 0:
        yield f"belongs to uid {status.st_uid}", f"chown root {path}"
    if status.st_mode & 0o022:
        yield "can be written by others, who could put links in root's way", f"chmod 0755 {path}"
    if not status.st_mode & stat.S_IXOTH:
        yield "keeps users from their images", f"chmod 0755 {path}"


def file_system(node: Node) -> Iterator[Finding]:
    path = node.settings.store
    try:
        kind = this_node.kind_of(path)
    except ImportError:
        yield warning("not known: psutil is missing", "see the row on Python packages")
        return
    shared = kind in this_node.SHARED
    if kind in ("tmpfs", "ramfs"):
        fix = "put the store on a disk, or on what all nodes share"
        yield warning(f"{path} is on {kind}: a boot takes all images away", fix)
    elif shared and not node.settings.store_shared:
        fix = "store_shared = true, once all nodes have the same key and settings"
        yield warning(f"{kind} is shared, and the settings tie resume jobs to a node", fix)
    elif node.settings.store_shared and not shared:
        fix = "store_shared = false, or a store on what all nodes share"
        told = f"{kind or 'its file system'} is none that nodes share, and store_shared is true"
        yield warning(told, fix)
    else:
        yield ok(kind or "not known")


def room(node: Node) -> Iterator[Finding]:
    reserve = node.settings.reserve_mib
    try:
        with Directory.open(node.settings.store) as store:
            free, inodes = filesystem.free(store) // _MIB, os.fstatvfs(store.fd).f_favail
    except OSError as problem:
        yield _not_there(node.settings.store, problem)
        return
    fix = "torqueckpt prune --dry-run; docs/store.md; or a larger disk for it"
    if free <= reserve:
        told = f"{free} MiB are free and reserve_mib is {reserve}: every checkpoint is refused"
        yield failure(told, fix)
    elif free < 2 * reserve:
        yield warning(f"{free} MiB are free, of which {reserve} are kept for others", fix)
    elif 0 < inodes < _INODES:
        yield warning(f"room for {inodes} files only", fix)
    else:
        yield ok(f"{free} MiB are free")


def speed(node: Node) -> Iterator[Finding]:
    """Write, fsync, lock and date a file as for an image; as the user where root may not."""
    store = node.settings.store
    try:
        rate, apart = _measure(store)
    except OSError as problem:
        yield _not_writable(store, problem)
        if problem.errno not in _SQUASHED or node.user is None:
            return
        try:
            with privileges.acting_as(node.user):
                rate, apart = _measure(layout.of_owner(store, node.user.name))
        except OSError as closed:
            told = f"{node.user.name} cannot write there either: {closed.strerror}"
            yield failure(told, f"make {layout.of_owner(store, node.user.name)} for him: his, 0700")
            return
    if abs(apart) > _CLOCKS_APART:
        told = f"who keeps the store's files has another time, by {apart:.0f} s"
        yield warning(told, "NTP on both")
    told = f"{rate:.0f} MiB/s written and synced, a GiB takes {1024 / rate:.0f} s"
    if rate < _SLOW_MIB:
        yield warning(told, "a faster disk, or a longer interval for checkpoints")
    else:
        yield ok(told)


def _measure(directory: Path) -> tuple[float, float]:
    """Measure MiB a second, and how far the file's date is ahead of this node's clock; OSError."""
    with tempfile.NamedTemporaryFile(dir=directory, prefix=_TRIAL) as file:
        if os.fstat(file.fileno()).st_uid != os.geteuid():
            raise OSError(errno.EACCES, "files get another owner")
        before, block, written = time.monotonic(), bytes(_MIB), 0
        while written < _TRIED_MIB and time.monotonic() - before < _TRIED_SECONDS:
            written += file.write(block) // _MIB
        file.flush()
        os.fsync(file.fileno())
        seconds = max(time.monotonic() - before, 1e-6)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return written / seconds, os.fstat(file.fileno()).st_mtime - time.time()


def _not_writable(store: Path, problem: OSError) -> Finding:
    if problem.errno in _SQUASHED:
        return _squashed(store)
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = "torqueckpt prune --dry-run; docs/store.md; or a larger disk for it"
        return failure(f"{store} is full", fix)
    if problem.errno in (errno.ENOLCK, errno.EOPNOTSUPP):
        return failure(f"{store} has no locks", "mount it with locks (NFS: without nolock)")
    if problem.errno == errno.ENOENT:
        return _not_there(store, problem)
    if problem.errno == errno.EFBIG:
        return failure(f"{store}: {problem.strerror}", "see the row on limits")
    return failure(f"{store}: {problem.strerror}", "mount it for writing; make it as root, 0755")


def _squashed(store: Path) -> Finding:
    fix = f"where root may, make {layout.of_owner(store, 'USER')} for each user: his, 0700"
    return warning(f"{store} takes root for nobody: he cannot make users' directories", fix)


def users_part(node: Node) -> Iterator[Finding]:
    if node.user is None:
        yield ok("no user was named")
        return
    name = node.user.name
    path = layout.of_owner(node.settings.store, name)
    try:
        with access.as_owner(node.user, node.settings, store_optional=True) as owner_store:
            is_there = owner_store is not None
    except StoreNotWritable as wrong:
        yield failure(str(wrong), f"chown {name} {path}; chmod 0700 {path}")
    else:
        told = f"{path}, {name}'s, 0700"
        yield ok(told if is_there else f"root makes {path} at the first checkpoint")


def signature_key(node: Node) -> Iterator[Finding]:
    path = node.settings.key()
    try:
        key.read(path)
    except KeyMissing as wrong:
        known = path.exists()
        fix = f"chown root {path}; chmod 0600 {path}" if known else "make install makes one"
        if known and "must belong" not in str(wrong):
            fix = f"put back the other nodes' key, or rm {path} and make install"
        yield failure(str(wrong), fix)
    except TorqueCkptError as wrong:
        yield failure(str(wrong), "run it as root")
    else:
        yield ok(f"{path}, root's alone")


def former_stores(node: Node) -> Iterator[Finding]:
    """Check whether images lie where the settings no longer look."""
    found = access.anybodys_former(node.settings)
    for path in found:
        told = f"images lie in {path}, the store before, where nothing finds them"
        store = node.settings.store
        yield warning(told, f'cp -an {path}/. {store}/; or store = "{path}" (docs/store.md)')
    if not found:
        yield ok("none with images")


def _not_there(store: Path, problem: OSError) -> Finding:
    return failure(
        f"{store}: {problem.strerror}", f"install -d -m 0755 {store} {store / layout.JOBS}"
    )


CHECKS = (
    Check("store", "owner and mode", whose),
    Check("store", "file system", file_system),
    Check("store", "room", room),
    Check("store", "speed", speed),
    Check("store", "the user's part", users_part),
    Check("store", "former stores", former_stores),
    Check("store", "signature key", signature_key),
)
