# SPDX-License-Identifier: MIT
"""Write the scripts of a chain's links.

The first holds the user's, the others go on from images.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from torqueckpt import paths, render
from torqueckpt.batch import directives, qsub_options, resource_requests, walltime
from torqueckpt.manifest import Directive
from torqueckpt.resubmit import resume_script

_MARK = "THE-JOBS-OWN-SCRIPT"
_ENDS = "\r\n\\"  # of a line; a backslash there would join the next


def first(script: str, prefix: str = directives.PREFIX, openpbs: bool = False) -> str:
    """The first link's script, which holds the user's as qsub would spool it.

    Its comments are moved to the top for qsub, each directive as one line that begins with #PBS.
    """
    lines = list(directives.lines(script, prefix, openpbs))
    head = ["#!/bin/sh", "# A chain of jobs: what runs is the script below, after the exec."]
    for line in lines:
        comment = line.text.strip()
        if line.options is not None:
            head.append(f"{directives.PREFIX}{line.options.rstrip(_ENDS)}")
        elif (
            line.in_header
            and comment.startswith("#")
            and not line.text.startswith("#!")
            and not comment.startswith(directives.PREFIX)
        ):
            head.append(comment)
    whole = "".join(line.text for line in lines)
    mark = _MARK
    while mark in whole.split("\n"):
        mark += "-"
    whole = whole if whole.endswith("\n") else f"{whole}\n"
    return _rendered("\n".join(head), [], [], f"-- \"$@\" 3<<'{mark}'\n{whole}{mark}")


def following(chain: str, behind: str, wanted: Iterable[Directive], host: str | None) -> str:
    """The script of a link that waits for the end of the job `behind` and asks for the same."""
    asks = [each for each in wanted if each.option != "v"]
    kept = [each for each in wanted if each.option == "v"]
    ours = [item for each in kept for item in qsub_options.variables(each.value)]
    ours = [item for item in ours if not item.startswith(f"{walltime.VARIABLE}=")]
    asks.append(Directive("v", ",".join([f"{walltime.VARIABLE}={chain}", *ours])))
    asks.append(Directive("W", f"depend=afterany:{behind}"))
    if host is not None:
        asks = resource_requests.on_node(asks, host)
    lines, remarks = resume_script.directive_lines(asks)
    remarks.insert(0, f"Goes on with job {chain} when {behind} has ended before its work was done.")
    head = "#!/bin/sh\n#PBS -S /bin/sh"
    return _rendered(head, lines, remarks, f"--chain {shlex.quote(chain)}")


def _rendered(head: str, lines: list[str], remarks: list[str], words: str) -> str:
    program = str(paths.program("bin", "torqueckpt"))
    known = {"head": head, "directives": lines, "remarks": remarks, "words": words}
    return render.render("torque/link.sh.j2", {**known, "program": program})
