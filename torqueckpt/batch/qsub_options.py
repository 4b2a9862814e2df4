# SPDX-License-Identifier: MIT
"""Find what a job asked for, in qsub's options, from its server or from its script.

The server knows what was given on qsub's command line too, but forgets a job soon after its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torqueckpt.ifl.records import Job
from torqueckpt.manifest import Directive

# A job that goes on asks again for these.  Not: when to start, dependencies, arrays, staging, and
# not the shell, which was the old script's.
_CARRIED = frozenset("AejklmMNopqrv")
_CARRIED_W = ("group_list=", "umask=")
# option → attribute, and the value that stands for "not given"
_ATTRIBUTES = (
    ("N", "Job_Name", ""),
    ("A", "Account_Name", ""),
    ("P", "project", "_pbs_project_default"),
    ("p", "Priority", "0"),
    ("m", "Mail_Points", "a"),
    ("M", "Mail_Users", ""),
    ("j", "Join_Path", "n"),
    ("k", "Keep_Files", "n"),
    ("c", "Checkpoint", "u"),
)
_COUNTED = frozenset({"nodect", "neednodes"})  # by the server, from nodes=
_OF_CHUNKS = frozenset({"ncpus", "mem", "mpiprocs", "ompthreads", "nodes"})  # summed from select=
_OURS = re.compile(r"(?:^|,)(TORQUECKPT_[A-Z_]+=(?:\\.|[^,\\])*)")
_RESUMED = "resumed:"


def of_script(directives: Iterable[Directive]) -> list[Directive]:
    """The options of a script's directives that a job which goes on asks for again."""
    wanted = []
    for each in directives:
        if each.option in _CARRIED or (each.option == "W" and each.value.startswith(_CARRIED_W)):
            wanted.append(each)
    return wanted


def of_server(job: Job) -> list[Directive]:
    """The options of a job that its server still knows.

    A job without an account string gets one that names the old job, for the server's accounting.
    """
    wanted = [
        Directive(option, job.text(attribute))
        for option, attribute, default in _ATTRIBUTES
        if job.text(attribute) not in ("", default)
    ]
    if not job.text("Account_Name") or job.text("Account_Name").startswith(_RESUMED):
        wanted = [each for each in wanted if each.option != "A"]
        wanted.append(Directive("A", f"{_RESUMED}{job.id}"))
    listed = job.text("Variable_List")
    queue = re.search(r"(?:^|,)PBS_O_QUEUE=([^,]+)", listed)  # the one before any routing
    wanted.append(Directive("q", queue.group(1) if queue else job.queue))
    wanted.append(Directive("r", "y" if job.text("Rerunable") == "True" else "n"))
    wanted += [Directive("l", item) for item in _resources(job.attributes.get("Resource_List"))]
    wanted += _outputs(job)
    wanted += [
        Directive("W", f"{name}={job.text(name)}")
        for name in ("group_list", "umask")
        if job.text(name)
    ]
    ours = ",".join(variables(listed))
    return [*wanted, Directive("v", ours)] if ours else wanted


def on_node(wanted: Iterable[Directive], host: str) -> list[Directive]:
    """The options with nodes=, or OpenPBS's select=, narrowed to the image's host.

    OpenPBS takes one of the two; of what nodes= asked for on a node, as in ":ppn=2", all stays.
    """
    left, nodes = [], f"nodes={host}"
    for directive in wanted:
        if directive.option != "l":
            left.append(directive)
            continue
        others = []
        for item in directive.value.split(","):
            name, _, value = item.partition("=")
            if name == "nodes":
                words = value.partition("+")[0].split(":")[1:]
                nodes = f"nodes={host}" + "".join(f":{word}" for word in words if "=" in word)
            elif name == "select":
                nodes = f"select={'+'.join(_chunk(each, host) for each in value.split('+'))}"
            else:
                others.append(item)
        if others:
            left.append(Directive("l", ",".join(others)))
    return [*left, Directive("l", nodes)]


def variables(listed: str) -> list[str]:
    """The settings of torqueckpt, NAME=VALUE, in qsub's -v or a Variable_List."""
    return _OURS.findall(listed)


def of_array(wanted: Iterable[Directive], array: str, index: int) -> list[Directive]:
    """What the array asked for, from what its member asks for: the server adds -INDEX to names."""
    found = []
    for each in wanted:
        value = each.value
        if each.option in ("N", "o", "e"):
            value = value.removesuffix(f"-{index}")
        if each.option == "A" and value.startswith(_RESUMED):
            value = f"{_RESUMED}{array}"
        found.append(Directive(each.option, value))
    return found


def moved(depend: str, old: Iterable[str], new: str) -> str:
    """A depend attribute with the new job's id in place of the old ones."""
    for each in old:
        depend = re.sub(rf"(?<=:){re.escape(each)}(?:@[^:,]*)?(?=[:,]|$)", new, depend)
    return depend


def _resources(asked: str | Mapping[str, str] | None) -> list[str]:
    if not isinstance(asked, Mapping):
        return []
    left_out = set(_COUNTED)
    if "select" in asked:  # OpenPBS sums up what its chunks ask for, and takes no sum beside them
        left_out |= _OF_CHUNKS | set(re.findall(r":([A-Za-z]\w*)=", asked["select"]))
    return [f"{name}={value}" for name, value in asked.items() if name not in left_out]


def _chunk(asked: str, host: str) -> str:
    """A chunk of select=, narrowed to this host; OpenPBS uses short host names."""
    words = [w for w in asked.split(":") if w.partition("=")[0] not in ("host", "vnode")]
    return ":".join([*words, f"host={host.partition('.')[0]}"])


def _outputs(job: Job) -> list[Directive]:
    """The options -o and -e, unless the server made these names: the old job's id is in them."""
    number, member = job.id.partition("[")[0].partition(".")[0], re.search(r"\[(\d+)\]", job.id)
    title = job.title.removesuffix(f"-{member.group(1)}") if member else job.title
    found = []
    for option, attribute, other in (("o", "Output_Path", "eo"), ("e", "Error_Path", "oe")):
        path = job.text(attribute)
        made_up = rf".*/{re.escape(title)}\.{option}{number}([-.]\d+)?"
        if path and job.text("Join_Path") != other and not re.fullmatch(made_up, path):
            found.append(Directive(option, path))
    return found
