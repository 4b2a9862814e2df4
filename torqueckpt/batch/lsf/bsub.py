# SPDX-License-Identifier: MIT
"""Find what an LSF job asked bsub for, write it as #BSUB lines, and read bsub's answer.

LSF tells a job some of it in its environment (lsf.conf(5), "Environment variables"); the rest
stands in the #BSUB lines of a script that was given to `bsub < script`.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from torqueckpt.layout import SCRIPT_BYTES
from torqueckpt.manifest import Directive
from torqueckpt.safe_files import Directory

# A job that goes on asks again for these, all with a value.  Not: dependencies, when to start, -m.
_LIMITS = "cCDFMpSTvW"
_CARRIED = {*"GJPRUenoqu", *_LIMITS, "app", "sla", "sp", "Lp", "eo", "oo", "env", "gpu"}
_GLUED = re.compile(rf"-(R|[{_LIMITS}](?=[0-9]))(.+)", re.DOTALL)  # -M4000, -R"rusage[mem=4000]"
# bsub's option → where LSF tells its value to the job, whatever the script says
_TOLD = {
    "J": "LSB_JOBNAME",
    "q": "LSB_QUEUE",
    "P": "LSB_PROJECT_NAME",
    "n": "LSB_DJOB_NUMPROC",
    "o": "LSB_OUTPUTFILE",
    "e": "LSB_ERRORFILE",
}
_LONGEST = 4096  # characters of a value: an environment is whatever its owner likes
_ANSWER = re.compile(r"Job <([0-9]{1,12})> is submitted")


def asked(environment: Mapping[str, str]) -> list[Directive]:
    """The options of the job with this environment that a job which goes on asks for again."""
    found: dict[str, str] = {}
    several: list[str] = []
    for option, value in _of_script(_script(environment.get("LSB_JOBFILENAME", ""))):
        if option == "R" and "R" in found:  # of several all count
            several.append(found["R"])
        if option in _CARRIED:
            found[option] = value
    for option, name in _TOLD.items():
        if environment.get(name):
            found[option] = environment[name]
    found["J"] = found.get("J", "").partition("[")[0]  # one member goes on, not the array
    if found.get("n") == "1":
        del found["n"]
    all_of_it = [*(("R", each) for each in several), *found.items()]
    return [Directive(*each) for each in all_of_it if 0 < len(each[1]) <= _LONGEST]


def resumed(wanted: Iterable[Directive], job: str, host: str) -> list[Directive]:
    """The options for the job that goes on: its own number in names, on the host of the image.

    host: "" for any.  An image is of one host, so slots are asked for on one.
    """
    found = [each for each in wanted if each.option != "m"]
    number = re.compile(rf"(?<![0-9]){re.escape(job.partition('[')[0])}(?![0-9])")
    for place, (option, value) in enumerate(found):
        if option in ("o", "e", "oo", "eo"):
            found[place] = Directive(option, number.sub("%J", value))
    if host:
        return [*found, Directive("m", host)]
    several = any(each.option == "n" for each in found)
    if several and not any("span[" in each.value for each in found if each.option == "R"):
        found.append(Directive("R", "span[hosts=1]"))
    return found


def lines(wanted: Iterable[Directive]) -> tuple[list[str], list[str]]:
    """The texts after #BSUB, and the options that no such line can hold."""
    held, dropped = [], []
    for option, value in wanted:
        if re.fullmatch(r"[A-Za-z]{1,10}", option) and value.isprintable():
            held.append(f"-{option} {shlex.quote(value)}")
        else:
            dropped.append(f"-{option} {value!r}"[:80])
    return held, dropped


def submitted(answer: str) -> tuple[str, list[str]]:
    """The job's number in what bsub printed, "" without one, and its other lines, as of an esub."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    found = [(place, number) for place, line in enumerate(lines) if (number := _number_in(line))]
    if not found:
        return "", lines
    place, number = found[-1]
    return number, [*lines[:place], *lines[place + 1 :]]


def _number_in(line: str) -> str:
    met = _ANSWER.match(line)
    return met.group(1) if met else ""


def _script(job_file: str) -> str:
    """What was given to `bsub < script`: LSF keeps it beside the job file; "" for a command."""
    path = Path(job_file)
    if not os.path.isabs(job_file):
        return ""
    try:
        with Directory.open(path.parent.resolve(strict=True)) as directory:
            return directory.read(f"{path.name}.shell", SCRIPT_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _of_script(script: str) -> Iterator[tuple[str, str]]:
    for line in script.splitlines():
        if not line.startswith("#BSUB"):
            continue
        try:
            words = shlex.split(line[len("#BSUB") :], comments=True)
        except ValueError:  # an open quote
            continue
        for word, value in zip(words, [*words[1:], ""]):
            glued = _GLUED.fullmatch(word)
            if glued is not None:
                yield glued[1], glued[2]
            elif word.startswith("-") and not value.startswith("-"):
                yield word[1:], value
