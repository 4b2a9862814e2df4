# SPDX-License-Identifier: MIT
"""The resources that a job which goes on asks for (qsub's -l), on any node or on its image's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torqueckpt.batch import directives
from torqueckpt.ifl.records import Job
from torqueckpt.manifest import Directive

REMARK = "#"  # the option of a directive that is a line for the reader of a script
_COUNTED = frozenset({"nodect", "neednodes"})  # by the server, from nodes=
_OF_CHUNKS = frozenset({"ncpus", "mem", "mpiprocs", "ompthreads", "nodes"})  # summed from select=
_PLACES = frozenset({"host", "vnode", "hostlist"})
_WITHOUT_NODES = frozenset({"size", "mppwidth"})  # which TORQUE refuses beside nodes=
_MOST = 1_000_000  # processors


def of_server(job: Job, script: Iterable[Directive] | None) -> list[Directive]:
    """A job's resources, without what only the site asked for, where that can be told."""
    asked = job.attributes.get("Resource_List")
    if not isinstance(asked, Mapping):
        return []
    not_told = set(_COUNTED)
    if "select" in asked:  # OpenPBS sums up what its chunks ask for, and takes no sum beside them
        not_told |= _OF_CHUNKS | set(re.findall(r":([A-Za-z]\w*)=", asked["select"]))
    names = _asked_by_user(job, script)
    found = []
    for name, value in asked.items():
        if name in not_told:
            continue
        if name == "select" and names is not None:
            value = "+".join(_asked_of(chunk, names) for chunk in value.split("+"))
        if names is None or name in names or name in ("select", "place"):
            found.append(Directive("l", f"{name}={value}"))
        else:
            found.append(left_out(f"-l {name}={value}, which the user had not asked for"))
    return found


def on_node(wanted: Iterable[Directive], host: str) -> list[Directive]:
    """The options with nodes=, or OpenPBS's select=, narrowed to the image's host.

    OpenPBS takes one of the two; of what nodes= asked for on a node, as in ":ppn=2", all stays.
    TORQUE adds procs= to nodes=, and takes no ncpus= beside it: they become its ppn=.
    """
    wanted = list(wanted)
    items = [item for each in wanted if each.option == "l" for item in each.value.split(",")]
    names = {item.partition("=")[0] for item in items}
    if names & _WITHOUT_NODES or any(each.option == "L" for each in wanted):
        told = f"qsub takes no node beside what it asks for: see to it that it runs on {host}"
        return [*wanted, Directive(REMARK, told)]
    left: list[Directive] = []
    # beside place= OpenPBS takes select= alone
    nodes = f"select={_chunk('1', host)}" if "place" in names else f"nodes={host}"
    replaced, processors = list[str](), 0
    counted = {"procs"} if "nodes" in names else {"procs", "ncpus"}
    for each in wanted:
        if each.option != "l":
            left.append(each)
            continue
        others = []
        for item in each.value.split(","):
            name, _, value = item.partition("=")
            if name == "nodes":
                words = value.partition("+")[0].split(":")[1:]
                nodes = f"nodes={host}" + "".join(f":{word}" for word in words if "=" in word)
            elif name == "select":
                nodes = f"select={'+'.join(_chunk(chunk, host) for chunk in value.split('+'))}"
            elif name in counted and "select" not in names and _number(value):
                processors += _number(value)
            elif name not in _PLACES:
                others.append(item)
                continue
            replaced.append(item)
        if others:
            left.append(Directive("l", ",".join(others)))
    if processors:
        nodes = _with_processors(nodes, processors, "nodes" in names)
    changed = ",".join(item for item in replaced if item != nodes)
    remark = Directive(REMARK, f"Instead of -l {changed}: -l {nodes}")
    return [*left, Directive("l", nodes), *([remark] if changed else [])]


def left_out(what: str) -> Directive:
    return Directive(REMARK, f"Not asked for again: {what}")


def _asked_by_user(job: Job, script: Iterable[Directive] | None) -> frozenset[str] | None:
    """The names in the user's own -l, of qsub's command line and the script; None: not known."""
    line = job.text("submit_args", "Submit_arguments")
    if script is None or not line:  # not by qsub, but by a program
        return None
    given = directives.options(re.sub(r"<[^<>]*>", " ", line).split())
    marks = {each.value for each in given if each.option == "C"}
    if marks - {directives.PREFIX}:  # its script was read with another one
        return None
    limits = [each.value for each in (*script, *given) if each.option == "l"]
    return frozenset(re.findall(r"(?:^|[,:+ ])([A-Za-z]\w*)(?==|,|$)", "\n".join(limits), re.M))


def _asked_of(chunk: str, names: frozenset[str]) -> str:
    """A chunk of select= without what a hook has added to it."""
    if "select" not in names:
        return chunk
    words = chunk.split(":")
    return ":".join(w for w in words if "=" not in w or w.partition("=")[0] in names)


def _chunk(asked: str, host: str) -> str:
    """A chunk of select=, narrowed to this host; OpenPBS uses short host names."""
    words = [w for w in asked.split(":") if w.partition("=")[0] not in ("host", "vnode")]
    return ":".join([*words, f"host={host.partition('.')[0]}"])


def _with_processors(nodes: str, more: int, asked: bool) -> str:
    """As many on the node as nodes=, if it was asked for, and the others add up to."""
    if nodes.startswith("select="):
        return f"{nodes}:ncpus={more}"
    place, *words = nodes.split(":")
    given = [_number(word.partition("=")[2]) for word in words if word.startswith("ppn=")]
    ppn = more + ((given or [1])[0] if asked else 0)
    rest = [word for word in words if not word.startswith("ppn=")]
    return ":".join([place, f"ppn={ppn}", *rest])


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 8 and int(text) <= _MOST else 0
