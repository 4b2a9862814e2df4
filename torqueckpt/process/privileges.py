# SPDX-License-Identifier: MIT
"""Have root's programs act as the job's owner; no other module changes identities.

acting_as() changes the effective ids alone: the kernel checks files as the owner's, while the owner
can neither signal nor trace the program (its real and saved ids are root's).  drop() is for good.
Both act on the whole process and are not for threads.

After each of them the kernel is asked whether it took effect: with some securebits root's
capabilities outlive it.  Where it did not, the program ends there and then.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from operator import or_
from typing import NoReturn

from torqueckpt import log
from torqueckpt.errors import GroupsChanged, NeedsRoot, StillRoot, UnknownUser
from torqueckpt.identity import Owner
from torqueckpt.manifest import Ceiling
from torqueckpt.process import proc

SETPRIV = "/usr/bin/setpriv"
TIMEOUT = "/usr/bin/timeout"

# capability.h; of a name that is not here, all are meant
BITS = {"setpcap": 8, "net_admin": 12, "sys_ptrace": 19, "sys_admin": 21, "checkpoint_restore": 40}
_ALL = (1 << 64) - 1


def owner(name: str, groups: tuple[int, ...] | None = None) -> Owner:
    """Look up a user of this node, with all of his groups unless given.

    UnknownUser, also for odd names.
    """
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError) as unknown:
        raise UnknownUser(name=name, host=os.uname().nodename) from unknown
    if "/" in name or name.startswith("."):  # the name becomes a directory's
        raise UnknownUser(name=name, host=os.uname().nodename)
    if groups is None:
        groups = tuple(os.getgrouplist(name, entry.pw_gid))
    return Owner(entry.pw_name, entry.pw_uid, entry.pw_gid, groups)


def owner_of_uid(uid: int) -> Owner:
    try:
        return owner(pwd.getpwuid(uid).pw_name)
    except KeyError as unknown:
        raise UnknownUser(name=f"uid {uid}", host=os.uname().nodename) from unknown


def with_groups(owner: Owner, gid: int, groups: tuple[int, ...]) -> Owner:
    """The owner with the recorded groups; GroupsChanged when he has left one of them since."""
    lost = sorted({gid, *groups} - set(os.getgrouplist(owner.name, owner.gid)))
    if lost:
        raise GroupsChanged(owner=owner.name, groups=" ".join(map(str, lost)))
    return Owner(owner.name, owner.uid, gid, groups)


@contextmanager
def acting_as(owner: Owner) -> Iterator[None]:
    """Inside, files and locks are the owner's.  For root, and for the owner himself.

    Signals are not: the real id, which stays root's, still reaches root's own processes.
    """
    if os.geteuid() == owner.uid:
        yield
        return
    if os.getuid() != 0:
        raise NeedsRoot(what=f"acting for {owner.name}", remedy="run it as root or as that user")
    before = os.getgroups()
    try:
        os.setgroups(owner.groups)
        os.setegid(owner.gid)
        os.seteuid(owner.uid)
        _verify(owner.uid, owner.gid, owner.groups)
        yield
    finally:
        if os.getuid() == 0:  # not after drop()
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(before)


@contextmanager
def acting_as_root() -> Iterator[None]:
    """Inside acting_as(), be root again for one step, as for a link in root's own directory."""
    if os.getuid() != 0:
        raise NeedsRoot(what="this step", remedy="run it as root")
    uid, gid = os.geteuid(), os.getegid()
    os.seteuid(0)
    os.setegid(0)
    try:
        yield
    finally:
        os.setegid(gid)
        os.seteuid(uid)
        _verify(uid, gid)


def drop(owner: Owner) -> None:
    """Become the owner for good: real, effective and saved ids."""
    if os.getresuid() == (owner.uid, owner.uid, owner.uid):
        return
    os.seteuid(0)
    os.setgroups(owner.groups)
    os.setresgid(owner.gid, owner.gid, owner.gid)
    os.setresuid(owner.uid, owner.uid, owner.uid)
    _verify(owner.uid, owner.gid, owner.groups, for_good=True)


def _verify(
    uid: int, gid: int, groups: tuple[int, ...] | None = None, for_good: bool = False
) -> None:
    """End the program unless the kernel says that these are its ids, and that no right is left."""
    now = proc.status("thread-self")
    ids = slice(None) if for_good else slice(1, None, 2)  # else the effective and the file system's
    found = [
        *({*map(int, proc.row(now, name).split()[ids])} for name in (b"Uid", b"Gid")),
        *([] if groups is None else [{*map(int, proc.row(now, b"Groups").split())}]),
    ]
    if found != [{uid}, {gid}] + ([] if groups is None else [{*groups}]):
        _end(uid, f"its ids are {found}")
    for name in (b"CapEff", b"CapPrm", b"CapAmb") if for_good else (b"CapEff",):
        if uid and int(proc.row(now, name) or b"0", 16):
            _end(uid, f"it still has capabilities: {name.decode()} {proc.row(now, name).decode()}")


def _end(uid: int, what: str) -> NoReturn:
    """Raise nothing: whoever caught it would go on with root's rights."""
    told = StillRoot(uid=uid, what=what)
    log.error(str(told))
    with suppress(OSError):
        os.write(2, f"{told}\n".encode())
    os._exit(told.exit_code)


def as_owner_argv(
    owner: Owner,
    capabilities: tuple[str, ...],
    argv: list[str],
    orphan_seconds: int | None = None,
    ceiling: Ceiling | None = None,
) -> list[str]:
    """argv that root runs so that `argv` runs as the owner with just these ambient capabilities.

    The program dies with its caller (pdeathsig).  With orphan_seconds it goes on without him, for
    that long at most: a CRIU that is killed while its code is in the job's processes takes the job
    with it.  ceiling: its bounding set is no larger than that, and it has no_new_privs if that has.
    """
    narrow = _as_narrow_as(ceiling) if ceiling is not None else []
    wanted = ",".join(f"+{name}" for name in capabilities)
    groups = ["--groups", ",".join(map(str, owner.groups))] if owner.groups else ["--clear-groups"]
    dies = ["--pdeathsig", "KILL"] if orphan_seconds is None else []
    limit = [] if orphan_seconds is None else [TIMEOUT, "-s", "KILL", str(orphan_seconds)]
    return [
        # What is not in the bounding set can be given no more then; what has it keeps it.
        *((SETPRIV, "--inh-caps", wanted) if narrow and wanted else ()),
        SETPRIV,
        *("--reuid", str(owner.uid), "--regid", str(owner.gid), *groups),
        *(("--inh-caps", wanted, "--ambient-caps", wanted) if wanted else ()),
        *dies,
        *narrow,
        *limit,
        *argv,
    ]


def mask(capabilities: Iterable[str]) -> int:
    """These capabilities as a number with a bit for each, as /proc/PID/status has them."""
    return reduce(or_, (1 << BITS[name] if name in BITS else _ALL for name in capabilities), 0)


def _as_narrow_as(ceiling: Ceiling) -> list[str]:
    """setpriv's options for what is narrower in the ceiling than here."""
    more = int(proc.row(proc.status("self"), b"CapBnd"), 16) & ~ceiling.bounding
    drop = ",".join(f"-cap_{number}" for number in range(more.bit_length()) if more >> number & 1)
    return [
        *(("--bounding-set", drop) if drop else ()),
        *(("--no-new-privs",) if ceiling.no_new_privs else ()),
    ]
