# SPDX-License-Identifier: MIT
"""Hold what a CRIU image asks for against what its job had, and make the copy to restore from.

criu restores as the job's owner, with a right or two of its own, and gives each task what its core
image says.  An owner who edits that could have more than his job had, so it is looked at in a copy
that he cannot change.  The reader is strict, so that it and criu cannot take one file for two
things: whatever criu itself would not have written is refused (criu's core.proto, creds.proto).

Not looked at is whether a process lets its owner trace it (dumpable, in mm-*.img): one that does
not cannot be dumped.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from torqueckpt.checkpointers.criu.wire import Message
from torqueckpt.manifest import UNLIMITED, Ceiling

_COMMON_MAGIC = 0x54564319
_CORE = re.compile(r"core-[0-9]+\.img")
_OBSOLETE = re.compile(r"creds-.*")  # criu 1.x kept them there: a planted one is not handed over

_TASK, _THREAD = 3, 5  # core_entry
_STATE, _OLD_SECCOMP, _RLIMITS, _OOM_SCORE_ADJ = 1, (11, 12), 8, 14  # task_core_entry
_NICE, _POLICY, _PRIORITY, _CREDS, _SECCOMP = 3, 4, 5, 10, 11  # thread_core_entry
_BOUNDING, _SECUREBITS, _GROUPS, _NO_NEW_PRIVS = 12, 13, 14, 18  # creds_entry
_IDS = range(1, 9)
_CAPABILITIES = {9: "inheritable", 10: "permitted", 11: "effective", 19: "ambient"}
_FULL = (0xFFFFFFFF, 0xFFFFFFFF)  # both words of a set of capabilities
_GUARDED = 0xFF  # securebits; since Linux 6.14 those above are anybody's to set
_ENTRIES, _SOFT, _HARD = 1, 1, 2  # task_rlimits_entry, rlimit_entry
_LIMITS = (
    *("CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE"),
    *("MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"),
)
_ALIVE, _DEAD, _STOPPED = 1, 2, 3
_IDLE, _REAL_TIME, _RESET_ON_FORK = 5, (1, 2), 0x40000000  # SCHED_IDLE, SCHED_FIFO and SCHED_RR
_POLICIES = (0, 3, _IDLE, *_REAL_TIME)


class _Asked(NamedTuple):
    """What a core image asks for.  Limits (hard ones) and oom_score_adj are a process's alone."""

    limits: tuple[int, ...]
    oom_score_adj: int | None
    nice: int
    policy: int
    priority: int
    seccomp: int
    capabilities: tuple[str, ...]
    securebits: int
    groups: frozenset[int]
    no_new_privs: int


def decides(name: str) -> bool:
    """Whether the image file `name` says what rights a process gets."""
    return _CORE.fullmatch(name) is not None


def left_out(name: str) -> bool:
    return _OBSOLETE.fullmatch(name) is not None


def checked(core: bytes, ceiling: Ceiling | None) -> bytes:
    """What root's copy of a core image must hold; ValueError says what else it asks for.

    It is the same but for the bounding set, which is full there: criu then drops nothing from its
    own, and needs no right to.  The job's was set before criu began (Ceiling.bounding).
    """
    try:
        whole = _message(core)
        thread = _thread(whole)
        if thread is None:
            return core
        creds = _there(thread.message(_CREDS), "credentials")
        asked = _asked(whole.message(_TASK), thread, creds)
        full = creds.with_values(_BOUNDING, _FULL)
        copy = whole.with_values(_THREAD, [thread.with_values(_CREDS, [full])])
    except (ValueError, IndexError, struct.error) as odd:
        raise ValueError(f"is something that criu does not write ({odd})") from odd
    for more in (*_more_than_any_job(asked), *(_more_than(ceiling, asked) if ceiling else ())):
        raise ValueError(f"asks for {more}")
    return core[:8] + struct.pack("<I", len(copy)) + copy


def limited(core: bytes, most: Sequence[int]) -> bytes:
    """A core image that was checked, with hard limits no higher than `most`, by number.

    criu passes over one that it cannot set: the process would be left with criu's own, also with a
    soft limit that was raised for criu.
    """
    whole = _message(core)
    task = whole.message(_TASK)
    if task is None or whole.message(_THREAD) is None:  # a thread, or a zombie
        return core
    limits = _there(task.message(_RLIMITS), "resource limits")
    entries = [_lowered(each, hard) for each, hard in zip(limits.messages(_ENTRIES), most)]
    lowered = task.with_values(_RLIMITS, [limits.with_values(_ENTRIES, entries)])
    copy = whole.with_values(_TASK, [lowered])
    return core[:8] + struct.pack("<I", len(copy)) + copy


def _lowered(limit: Message, hard: int) -> bytes:
    soft = Message(limit.with_values(_SOFT, [min(limit.long(_SOFT), hard)]))
    return soft.with_values(_HARD, [min(limit.long(_HARD), hard)])


def _message(file: bytes) -> Message:
    """The one message of a core image, after two magic numbers and its length."""
    common, _, length = struct.unpack_from("<III", file)
    if common != _COMMON_MAGIC or len(file) != 12 + length:
        raise ValueError("not one entry")
    return Message(file[12:])


def _thread(whole: Message) -> Message | None:
    """The thread's part; None of a zombie, which has none and asks for nothing."""
    task, thread = whole.message(_TASK), whole.message(_THREAD)
    if thread is None and (task is None or task.number(_STATE) != _DEAD):
        raise ValueError("no thread")
    return thread


def _asked(task: Message | None, thread: Message, creds: Message) -> _Asked:
    """Read all of it, each value as strictly, whatever is refused then."""
    for each in _IDS:
        creds.number(each)
    sets = {each: creds.numbers(each) for each in (*_CAPABILITIES, _BOUNDING)}
    if any(len(words) != len(_FULL) for words in sets.values()):
        raise ValueError("a set of capabilities of another size")
    policy = thread.number(_POLICY) & ~_RESET_ON_FORK
    if policy not in _POLICIES:
        raise ValueError(f"scheduling policy {policy}")
    return _Asked(
        limits=_hard_limits(task) if task is not None else (),
        oom_score_adj=task.int32(_OOM_SCORE_ADJ, 0) if task is not None else None,
        nice=thread.sint32(_NICE),
        policy=policy,
        priority=thread.number(_PRIORITY, 0),
        seccomp=thread.number(_SECCOMP, 0),
        capabilities=tuple(
            sorted(_CAPABILITIES[each] for each in _CAPABILITIES if any(sets[each]))
        ),
        securebits=creds.number(_SECUREBITS),
        groups=frozenset(creds.numbers(_GROUPS)),
        no_new_privs=creds.number(_NO_NEW_PRIVS, 0),
    )


def _hard_limits(task: Message) -> tuple[int, ...]:
    if task.number(_STATE) not in (_ALIVE, _STOPPED):
        raise ValueError("a zombie's thread")
    if any(task.numbers(each) for each in _OLD_SECCOMP):  # criu would take it for the thread's
        raise ValueError("a seccomp mode in the wrong place")
    entries = _there(task.message(_RLIMITS), "resource limits").messages(_ENTRIES)
    if len(entries) != len(_LIMITS):  # of one that is not there, criu's own would stay
        raise ValueError(f"{len(entries)} resource limits")
    return tuple(hard for _, hard in [(each.long(_SOFT), each.long(_HARD)) for each in entries])


def _there(message: Message | None, what: str) -> Message:
    if message is None:
        raise ValueError(f"no {what}")
    return message


def _more_than_any_job(asked: _Asked) -> Iterator[str]:
    """What no ordinary user's process has."""
    if asked.capabilities:
        yield f"capabilities ({', '.join(asked.capabilities)})"
    if asked.securebits & _GUARDED:
        yield f"securebits {asked.securebits:#x}"


def _more_than(ceiling: Ceiling, asked: _Asked) -> Iterator[str]:
    """What it asks for beyond what its job had."""
    for name, limit, had in zip(_LIMITS, asked.limits, ceiling.hard_limits):
        if limit > had:
            yield f"a hard limit {name} of {_limit(limit)}, its job had {_limit(had)}"
    if asked.oom_score_adj is not None and asked.oom_score_adj < ceiling.oom_score_adj:
        yield f"oom_score_adj {asked.oom_score_adj}, its job had {ceiling.oom_score_adj}"
    if asked.nice < ceiling.may_be_nice:
        yield f"nice {asked.nice}, its job had {ceiling.nice}"
    if asked.policy in _REAL_TIME and asked.priority > ceiling.may_be_real_time:
        yield f"real-time priority {asked.priority}, its job had {ceiling.real_time}"
    if ceiling.stays_idle and asked.policy != _IDLE:
        yield f"scheduling policy {asked.policy}, its job had {_IDLE}"
    if asked.seccomp < ceiling.seccomp:
        yield f"seccomp mode {asked.seccomp}, its job had {ceiling.seccomp}"
    if more := asked.groups - set(ceiling.groups):
        yield f"groups {_listed(more)}, its job had {_listed(ceiling.groups)}"
    if ceiling.no_new_privs and not asked.no_new_privs:
        yield "no_new_privs 0, its job had 1"


def _limit(value: int) -> str:
    return "unlimited" if value == UNLIMITED else str(value)


def _listed(groups: Iterable[int]) -> str:
    return " ".join(map(str, sorted(groups))) or "none"
