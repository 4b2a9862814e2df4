# SPDX-License-Identifier: MIT
"""Find what a job asked for, in qsub's options, from its server or from its script.

The server knows what was given on qsub's command line too, but forgets a job soon after its end.
What a job that goes on does not ask for again, or in other words, is kept as a remark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from torqueckpt.batch import directives, resource_requests
from torqueckpt.batch.resource_requests import left_out
from torqueckpt.ifl.records import Job
from torqueckpt.manifest import Directive

# A job that goes on asks again for these.  Not: when to start, dependencies, arrays, staging, and
# not the shell, which was the old script's.
_CARRIED = frozenset("AEejKkLlmMNnopPqRrTv")
# Of the old script, or of its submission.
_WITHOUT_A_WORD = frozenset("bCfSVz")
_NOT_AGAIN = (
    *("depend", "stagein", "stageout", "release_nodes_on_stageout", "sandbox", "interactive"),
    *("block", "Execution_Time", "Hold_Types", "Shell_Path_List", "reserve_start", "reserve_end"),
    *("max_run_subjobs", "run_count"),
)
_ATTRIBUTE = re.compile(r",(?=\s*[A-Za-z_]+\s*=)")
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
    ("K", "user_kill_delay", ""),
    ("T", "jobtype", ""),
)
_OURS = re.compile(r"(?:^|,)(TORQUECKPT_[A-Z_]+=(?:\\.|[^,\\])*)")
_RESUMED = "resumed:"  # what this program put into accounts once: sites refuse unknown ones


def of_script(given: Iterable[Directive]) -> list[Directive]:
    """The options of a script's directives that a job which goes on asks for again."""
    wanted = []
    for each in given:
        if each.option == "W":
            wanted += _attributes(each.value)
        elif each.option in _CARRIED:
            wanted.append(each)
        elif each.option not in _WITHOUT_A_WORD:
            wanted.append(left_out(f"-{each.option} {each.value}".rstrip()))
    return wanted


def of_server(job: Job, script: Iterable[Directive] | None = None) -> list[Directive]:
    """The options of a job that its server still knows.

    script: the directives of its script, None where they are not known.  With them, resources that
    a site's hook or a default has set are told from those that the user asked for.
    """
    wanted = [
        Directive(option, job.text(attribute))
        for option, attribute, default in _ATTRIBUTES
        if job.text(attribute) not in ("", default)
    ]
    wanted = [d for d in wanted if d.option != "A" or not d.value.startswith(_RESUMED)]
    listed = job.text("Variable_List")
    queue = re.search(r"(?:^|,)PBS_O_QUEUE=([^,]+)", listed)  # the one before any routing
    wanted.append(Directive("q", queue.group(1) if queue else job.queue))
    wanted.append(Directive("r", "y" if job.text("Rerunable") == "True" else "n"))
    if job.text("node_exclusive") == "True":
        wanted.append(Directive("n", ""))
    numa = directives.options(job.text("L_Request").split())
    wanted += [each for each in numa if each.option == "L"]
    wanted += resource_requests.of_server(job, script)
    wanted += _outputs(job)
    wanted += [
        Directive("W", f"{name}={job.text(name)}")
        for name in ("group_list", "umask", "x")
        if job.text(name)
    ]
    ours = ",".join(variables(listed))
    return [*wanted, Directive("v", ours)] if ours else wanted


def variables(listed: str) -> list[str]:
    """The settings of torqueckpt, NAME=VALUE, in qsub's -v or a Variable_List."""
    return _OURS.findall(listed)


def of_array(wanted: Iterable[Directive], index: int) -> list[Directive]:
    """What the array asked for, from what its member asks for: the server adds -INDEX to names."""
    found = []
    for each in wanted:
        named = each.option in ("N", "o", "e")
        value = each.value.removesuffix(f"-{index}") if named else each.value
        found.append(Directive(each.option, value))
    return found


def moved(depend: str, old: Iterable[str], new: str) -> str:
    """A depend attribute with the new job's id in place of the old ones."""
    for each in old:
        depend = re.sub(rf"(?<=:){re.escape(each)}(?:@[^:,]*)?(?=[:,]|$)", new, depend)
    return depend


def _attributes(value: str) -> list[Directive]:
    """The attributes in a -W: Moab's and Maui's x= is the whole of it, commas and all."""
    if "=" not in value or re.match(r"\s*x\s*=", value):
        return [Directive("W", value)]
    again, not_again = list[str](), list[str]()
    for item in _ATTRIBUTE.split(value):
        name = item.partition("=")[0].strip()
        (not_again if name in _NOT_AGAIN else again).append(item)
    found = [Directive("W", ",".join(again))] if again else []
    return found + [left_out(f"-W {item}") for item in not_again]


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
