# SPDX-License-Identifier: MIT
"""Record what CRIU does not save of a process and the kernel keeps for it, and give it back.

Recorded is what is other than the batch system gave the job: the rest comes from the new job.
Personality, timer slack and NUMA memory policy can be set by a process for itself alone: a library
that is preloaded into CRIU has each do so (criu-plugin/attributes.c).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress

from torqueckpt import log
from torqueckpt.manifest import Attributes, Ceiling, IoPriority
from torqueckpt.process import privileges, proc, system_calls

_VARIABLE = "TORQUECKPT_ATTRIBUTES"
_MOST_BYTES = 128 * 1024 - 64  # of one variable: MAX_ARG_STRLEN
_SLACK_NS, _COREDUMP_FILTER = 50_000, 0x33  # where nobody has set another
# set_mempolicy(2)
_POLICIES = {
    "default": 0,
    "prefer": 1,
    "bind": 2,
    "interleave": 3,
    "local": 4,
    "prefer (many)": 5,
    "weighted interleave": 6,
}
_FLAGS = {"balancing": 1 << 13, "relative": 1 << 14, "static": 1 << 15}
_NUMA_LINE = re.compile(
    rf"[0-9a-f]+ ({'|'.join(map(re.escape, sorted(_POLICIES, reverse=True)))})"
    r"(?:=([a-z|]+))?(?::([0-9]+[0-9,-]*))?(?: |$)"
)
_FIRST_LINE = 256  # bytes; of one mapping alone the kernel counts the pages then


def of_tree(
    tree: Sequence[proc.Stat], leader_pid: int
) -> tuple[tuple[Attributes, ...], tuple[IoPriority, ...]]:
    """What processes have of their own; and threads, for their input and output.

    leader_pid: who has what the batch system gave the job.  Called acting as the owner.
    """
    running = [each.pid for each in tree if not each.ended]
    given = None if leader_pid in running else _of(leader_pid)
    given = given or Attributes(0, 0, _SLACK_NS, 0, "", _COREDUMP_FILTER)
    usual = 0 if leader_pid in running else system_calls.io_priority(leader_pid)
    found = [had for had in map(_of, running) if had is not None]
    threads = ((tid, system_calls.io_priority(tid)) for pid in running for tid in _threads(pid))
    return (
        tuple(had for had in found if had != given._replace(pid=had.pid)),
        tuple(IoPriority(tid, value) for tid, value in threads if value not in (-1, usual)),
    )


def environment(had: Ceiling) -> dict[str, str]:
    """What the library is told that sets the attributes of its own that a process had."""
    text = "".join(
        f";{each.pid}:{each.personality}:{each.slack_ns}:{each.memory_policy}:{each.nodes}"
        for each in had.attributes
    )
    if len(text) > _MOST_BYTES:
        log.warning("too many processes with a personality or memory policy: they do not get it")
        return {}
    return {_VARIABLE: text} if text else {}


def put_back(had: Iterable[Attributes], priorities: Iterable[IoPriority]) -> None:
    """Give restored processes what others can set for them; called acting as their owner.

    Idle and best-effort input and output are anybody's to set, real time is refused by the kernel.
    """
    for thread in priorities:
        system_calls.set_io_priority(thread.tid, thread.value)
    for each in had:
        with suppress(OSError), open(f"/proc/{each.pid}/coredump_filter", "w") as file:
            file.write(f"{each.coredump_filter:#x}")


def _of(pid: int) -> Attributes | None:
    """None when it has ended, or is not the owner's."""
    try:
        personality = int(_first(pid, "personality"), 16)
        coredump_filter = int(_first(pid, "coredump_filter") or "0", 16)
    except (OSError, ValueError):
        return None
    return Attributes(pid, personality, _slack_ns(pid), *_memory_policy(pid), coredump_filter)


def _slack_ns(pid: int) -> int:
    """The usual one where we are not root, who alone is told, even of his own."""
    if os.getuid() == 0:
        with suppress(OSError, ValueError), privileges.acting_as_root():
            return int(_first(pid, "timerslack_ns"))
    return _SLACK_NS


def _memory_policy(pid: int) -> tuple[int, str]:
    """Its mode with flags, and its nodes: of its first mapping, which has none of its own."""
    with suppress(OSError):  # also a kernel without NUMA
        found = _NUMA_LINE.match(_first(pid, "numa_maps"))
        if found is not None:
            name, flags, nodes = found.groups()
            mode = _POLICIES[name] + sum(_FLAGS.get(each, 0) for each in (flags or "").split("|"))
            return mode, nodes or ""
    return 0, ""


def _first(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
        return file.read(_FIRST_LINE).partition(b"\n")[0].decode("utf-8", "replace")


def _threads(pid: int) -> list[int]:
    try:
        return sorted(map(int, os.listdir(f"/proc/{pid}/task")))
    except (FileNotFoundError, ProcessLookupError):
        return []
