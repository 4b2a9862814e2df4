# SPDX-License-Identifier: MIT
"""One catalogue of many nodes, each with a store of its own: `torqueckpt list` on all of them.

ClusterShell asks them, by ssh unless its defaults.conf names another worker.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from torqueckpt import manifest, paths
from torqueckpt.actions.catalogue import Row
from torqueckpt.errors import BadArguments, ProgramMissing
from torqueckpt.log import one_line

_USAGE = "torqueckpt list -w node[1-9],head or -w @group"


@dataclass(frozen=True)
class Catalogue:
    """rows: (nodes that have it, folded; row), one for all nodes of a shared store.

    silent: (nodes, why they told nothing).
    """

    rows: tuple[tuple[str, Row], ...]
    silent: tuple[tuple[str, str], ...]


def ask(names: str, words: Sequence[str], seconds: float) -> Catalogue:
    """`words` are options for the nodes' own `torqueckpt list`."""
    try:
        from ClusterShell.NodeSet import NodeSet, NodeSetException
        from ClusterShell.Task import task_self
    except ImportError as missing:
        remedy = f"{missing}; install ClusterShell into {paths.installation()}/venv"
        raise ProgramMissing(program="ClusterShell", problem=remedy) from missing
    try:
        asked = NodeSet(names)
    except NodeSetException as slip:
        raise BadArguments(
            program="torqueckpt list", problem=one_line(str(slip)), usage=_USAGE
        ) from slip
    task = task_self()
    task.set_default("stderr", True)
    program = str(paths.program("bin", "torqueckpt"))
    command = shlex.join([program, "list", "--json", *words])
    task.run(command, nodes=asked, timeout=seconds, stdin=False)
    found: dict[Row, list[str]] = {}
    silent: dict[str, list[str]] = {}
    late = {str(node) for node in task.iter_keys_timeout()}
    status = {str(node): code for code, nodes in task.iter_retcodes() for node in nodes}
    for node in map(str, asked):
        try:
            if node in late:
                raise ValueError(f"no answer in {seconds:.0f} s")
            if status.get(node):
                said = _text(task.node_error(node)).splitlines()
                raise ValueError(said[-1] if said else f"it ended with {status[node]}")
            for row in _rows(_text(task.node_buffer(node))):
                found.setdefault(row, []).append(node)
        except ValueError as why:
            silent.setdefault(one_line(str(why)), []).append(node)
    return Catalogue(
        tuple((str(NodeSet.fromlist(nodes)), row) for row, nodes in found.items()),
        tuple((str(NodeSet.fromlist(nodes)), why) for why, nodes in silent.items()),
    )


def _rows(answer: str) -> list[Row]:
    told = manifest.load(answer.encode())
    if not isinstance(told, list):
        raise ValueError("its answer is no list")
    return [manifest.from_json(Row, each) for each in told]


def _text(data: bytes) -> str:
    return bytes(data or b"").decode("utf-8", "replace")
