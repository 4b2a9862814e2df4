# SPDX-License-Identifier: MIT
"""resume_job.sh: the script that a user submits to have his job go on."""

from __future__ import annotations

import re
import shlex

from torqueckpt import paths, render
from torqueckpt.actions import catalogue
from torqueckpt.errors import NoImage
from torqueckpt.identity import Owner
from torqueckpt.log import one_line
from torqueckpt.manifest import Directive, Manifest
from torqueckpt.settings import Settings

# What a job that goes on should ask for again.  Not: when to start, dependencies, arrays, staging.
_CARRIED = frozenset("AejklmMNopqrSv")
_BARE = re.compile(r"[A-Za-z0-9_@%+=:,./\[\]^-]+")


def resume_job(job: str, who: Owner, settings: Settings, generation: int | None) -> str:
    """The script's text; UnknownJob, or NoImage when there is no such generation."""
    with catalogue.lineage_of(job, who, settings) as (_, lineage):
        numbers = lineage.numbers()
        if not numbers or (generation is not None and generation not in numbers):
            which = f" of generation {generation}" if generation is not None else ""
            raise NoImage(job=job, which=which)
        made = lineage.generation(generation or numbers[-1]).manifest()
    return text(made, job, settings, generation)


def text(made: Manifest, job: str, settings: Settings, generation: int | None) -> str:
    """The script for a manifest; `job` is how the user named it."""
    wanted = [d for d in made.job.directives if d.option in _CARRIED]
    if made.job.name and not any(d.option == "N" for d in wanted):
        wanted.insert(0, Directive("N", made.job.name))
    if made.job.spec:
        wanted.append(Directive("c", made.job.spec))
    remarks = []
    if not settings.store_shared:
        wanted, each_node = _without_nodes(wanted)
        wanted.append(Directive("l", f"nodes={made.host}{each_node}"))
        remarks.append(f"The image lies on {one_line(made.host)} only, so the job is sent there.")
    lines = []
    for directive in wanted:
        if directive.value.isprintable():
            lines.append(f"-{directive.option} {_word(directive.value)}".rstrip())
        else:
            dropped = one_line(directive.value)
            remarks.append(f"Left out, no line can hold it: -{directive.option} {dropped}")
    return render.render(
        "torque/resume_job.sh.j2",
        {
            "directives": lines,
            "remarks": remarks,
            "job": job,
            "which": f"generation {generation}" if generation else "its newest image",
            "program": str(paths.program("bin", "torqueckpt")),
            "options": f" --generation {generation}" if generation else "",
        },
    )


def _without_nodes(wanted: list[Directive]) -> tuple[list[Directive], str]:
    """The directives less their nodes=, and what that asked for on a node, as in ":ppn=2"."""
    left, each_node = [], ""
    for directive in wanted:
        if directive.option != "l":
            left.append(directive)
            continue
        items = directive.value.split(",")
        for item in items:
            if item.startswith("nodes="):
                asked = item.partition("+")[0].split(":")[1:]
                each_node = "".join(f":{word}" for word in asked if "=" in word)
        others = ",".join(item for item in items if not item.startswith("nodes="))
        if others:
            left.append(Directive("l", others))
    return left, each_node


def _word(value: str) -> str:
    return value if not value or _BARE.fullmatch(value) else shlex.quote(value)
