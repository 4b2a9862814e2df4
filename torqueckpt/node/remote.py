# SPDX-License-Identifier: MIT
"""Ask many nodes at once, by ClusterShell: their own `torqueckpt` answers, as one list.

ClusterShell goes by ssh unless its defaults.conf names another worker.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torqueckpt import paths, typed_json
from torqueckpt.errors import BadArguments, ProgramMissing
from torqueckpt.log import one_line

T = TypeVar("T")
_USAGE = "torqueckpt list|doctor -w node[1-9],head or -w @group"


@dataclass(frozen=True)
class Answers(Generic[T]):
    """All nodes' answers.  rows: (folded node set, row), one for all nodes with the same row.

    silent: (nodes, why they told nothing).
    """

    rows: tuple[tuple[str, T], ...]
    silent: tuple[tuple[str, str], ...]


def ask(
    names: str,
    words: Sequence[str],
    kind: type[T],
    seconds: float,
    *,
    within: str = "",
    ends: Sequence[int] = (0,),
) -> Answers[T]:
    """Run `torqueckpt WORDS` on the nodes; each answers with a JSON list of objects of that kind.

    within: the list is this field of an object; ends: exit statuses of one who has answered.
    """
    try:
        from ClusterShell.NodeSet import NodeSet, NodeSetException
        from ClusterShell.Task import task_self
    except ImportError as missing:
        remedy = f"{missing}; install ClusterShell into {paths.installation()}/venv"
        raise ProgramMissing(program="ClusterShell", problem=remedy) from missing
    try:
        asked = NodeSet(names)
    except NodeSetException as slip:
        problem = one_line(str(slip))
        raise BadArguments(
            program=f"torqueckpt {words[0]}", problem=problem, usage=_USAGE
        ) from slip
    task = task_self()
    task.set_default("stderr", True)
    command = shlex.join([str(paths.program("bin", "torqueckpt")), *words])
    task.run(command, nodes=asked, timeout=seconds, stdin=False)
    found: dict[T, list[str]] = {}
    silent: dict[str, list[str]] = {}
    late = {str(node) for node in task.iter_keys_timeout()}
    status = {str(node): code for code, nodes in task.iter_retcodes() for node in nodes}
    for node in map(str, asked):
        try:
            if node in late:
                raise ValueError(f"not within {seconds:.0f} s")
            if status.get(node, 0) not in ends:
                said = _text(task.node_error(node)).splitlines()
                raise ValueError(said[-1] if said else f"it ended with {status[node]}")
            for row in _rows(_text(task.node_buffer(node)), kind, within):
                found.setdefault(row, []).append(node)
        except ValueError as why:
            silent.setdefault(one_line(str(why)), []).append(node)
    return Answers(
        tuple((str(NodeSet.fromlist(nodes)), row) for row, nodes in found.items()),
        tuple((str(NodeSet.fromlist(nodes)), why) for why, nodes in silent.items()),
    )


def _rows(answer: str, kind: type[T], within: str) -> list[T]:
    told = typed_json.load(answer.encode())
    if within and isinstance(told, dict):
        told = told.get(within)
    if not isinstance(told, list):
        raise ValueError("its answer is no list")
    return [typed_json.from_json(kind, each) for each in told]


def _text(data: bytes) -> str:
    return bytes(data or b"").decode("utf-8", "replace")
