# SPDX-License-Identifier: MIT
"""Write the scripts of a chain's links.

The first holds the user's, the others go on from images.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from torqueckpt import paths, render
from torqueckpt.batch import qsub_options, walltime
from torqueckpt.manifest import Directive
from torqueckpt.resubmit import resume_script

_MARK = "THE-JOBS-OWN-SCRIPT"


def first(script: str) -> str:
    """The first link's script, which holds the user's.

    Its comments are moved to the top for qsub.
    """
    lines = script.splitlines()
    head = ["#!/bin/sh", "# A chain of jobs: what runs is the script below, after the exec."]
    for number, line in enumerate(lines):
        if line.strip() and not line.lstrip().startswith("#"):
            break
        if line.strip() and not (number == 0 and line.startswith("#!")):
            head.append(line)
    mark = _MARK
    while mark in lines:
        mark += "-"
    whole = script if script.endswith("\n") else f"{script}\n"
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
        asks = qsub_options.on_node(asks, host)
    lines, dropped = resume_script.directive_lines(asks)
    remarks = [f"Left out, no line can hold it: {each}" for each in dropped]
    remarks.insert(0, f"Goes on with job {chain} when {behind} has ended before its work was done.")
    head = "#!/bin/sh\n#PBS -S /bin/sh"
    return _rendered(head, lines, remarks, f"--chain {shlex.quote(chain)}")


def _rendered(head: str, lines: list[str], remarks: list[str], words: str) -> str:
    program = str(paths.program("bin", "torqueckpt"))
    known = {"head": head, "directives": lines, "remarks": remarks, "words": words}
    return render.render("torque/link.sh.j2", {**known, "program": program})
