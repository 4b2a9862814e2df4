# SPDX-License-Identifier: MIT
"""Put together what is submitted: the command line's options before the script's #PBS lines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from torqueckpt.batch import checkpoint_spec, directives, walltime
from torqueckpt.batch.checkpoint_spec import CheckpointSpec
from torqueckpt.batch.job_details import Details
from torqueckpt.errors import InvalidResource, ScriptUnreadable
from torqueckpt.identity import Owner
from torqueckpt.ifl import records
from torqueckpt.manifest import Directive
from torqueckpt.process import privileges


class Submission(NamedTuple):
    """A job that is ready to run.

    out and err: where its output is delivered, None for the usual name.
    """

    script: bytes
    arguments: tuple[str, ...]
    name: str
    spec: CheckpointSpec
    out: str
    err: str
    joined: bool
    variables: dict[str, str]
    walltime: int | None  # seconds
    submit_dir: Path
    owner: Owner

    def details(self) -> Details:
        """The details of the job that the MOM writes down."""
        found = {"N": self.name, "c": self.spec.text, "o": self.out, "e": self.err}
        found["j"] = "oe" if self.joined else ""
        found["l"] = f"walltime={self.walltime}" if self.walltime is not None else ""
        found["v"] = f"{walltime.VARIABLE}=1" if walltime.wanted(self.variables) else ""
        return Details(
            owner=self.owner.name,
            name=self.name,
            spec=self.spec.text,
            submit_dir=os.fsdecode(self.submit_dir),
            directives=tuple(Directive(o, value) for o, value in found.items() if value),
        )


def build(
    script: Path,
    arguments: tuple[str, ...],
    owner: Owner,
    options: dict[str, str],
) -> Submission:
    """Read the script as its owner; options (letter → value) overrule its #PBS lines."""
    try:
        with privileges.acting_as(owner), open(script, "rb") as file:
            text = file.read()
    except OSError as problem:
        raise ScriptUnreadable(path=script, problem=problem.strerror) from problem
    written = directives.read(text.decode("utf-8", "replace"))
    found = {d.option: d.value for d in written}
    found.update({letter: value for letter, value in options.items() if value})
    limits = [d.value for d in written if d.option == "l"] + [options.get("l", "")]
    return Submission(
        script=text,
        arguments=arguments,
        name=found.get("N", script.name)[:15],
        spec=checkpoint_spec.parse(found.get("c", "u")),
        out=found.get("o", ""),
        err=found.get("e", ""),
        joined=found.get("j", "n") == "oe",
        variables=_variables(found.get("v", "")),
        walltime=_walltime(",".join(limits)),
        submit_dir=Path(os.getcwd()),
        owner=owner,
    )


def target(path: str, submit_dir: Path, default: str) -> Path:
    """The path that output is delivered to: absolute, or from the submission directory."""
    host, _, plain = path.partition(":")
    if plain and "/" not in host:
        path = plain
    chosen = submit_dir / (path or default)
    return chosen / default if chosen.is_dir() else chosen


def _walltime(text: str) -> int | None:
    """The walltime of qsub's last -l; other resources are not limited on one machine."""
    for item in reversed(text.split(",")):
        name, _, value = item.partition("=")
        if name == "walltime":
            found = records.seconds(value)
            if not found:
                raise InvalidResource(item=item, problem="walltime is [[hours:]minutes:]seconds")
            return found
    return None


def _variables(text: str) -> dict[str, str]:
    """Parse qsub's -v: NAME=VALUE, or NAME with its present value, comma-separated."""
    found = {}
    for item in filter(None, text.split(",")):
        name, given, value = item.partition("=")
        found[name] = value if given else os.environ.get(name, "")
    return found
