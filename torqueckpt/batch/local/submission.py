# SPDX-License-Identifier: MIT
"""Put together what is submitted: the command line's options before the script's #PBS lines."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from torqueckpt import log
from torqueckpt.batch import checkpoint_spec, directives, walltime
from torqueckpt.batch.checkpoint_spec import CheckpointSpec
from torqueckpt.batch.job_details import Details
from torqueckpt.batch.local import options
from torqueckpt.batch.local.options import Slots
from torqueckpt.errors import InvalidOption, ScriptUnreadable
from torqueckpt.identity import Owner
from torqueckpt.manifest import Directive
from torqueckpt.process import privileges

_LONGEST_NAME = 15  # of a job that is named after its script


class Submission(NamedTuple):
    """A job that is ready to run.

    out and err: where its output is delivered, "" for the usual name.
    joined: oe where stderr goes to stdout, eo where stdout goes to stderr.
    """

    script: bytes
    arguments: tuple[str, ...]
    name: str
    spec: CheckpointSpec
    out: str
    err: str
    joined: str
    variables: dict[str, str]
    walltime: int | None  # seconds
    submit_dir: Path
    owner: Owner
    shell: str = ""  # "": the user's own
    work_dir: Path | None = None  # where it starts, and its output goes; None: submit_dir
    umask: int | None = None  # None: not said
    slots: Slots = Slots()
    kept: str = ""  # letters of o and e: these streams go to the user's home
    member: str = ""  # its number in an array
    more_arguments: str = ""  # -F, as the shell reads them
    resources: tuple[str, ...] = ()
    not_played: tuple[str, ...] = ()

    def details(self) -> Details:
        """The details of the job that the MOM writes down."""
        found = {"N": self.name, "c": self.spec.text, "o": self.out, "e": self.err}
        found["j"] = self.joined
        found["l"] = ",".join(self.resources)
        found["v"] = f"{walltime.VARIABLE}=1" if walltime.wanted(self.variables) else ""
        return Details(
            owner=self.owner.name,
            name=self.name,
            spec=self.spec.text,
            submit_dir=os.fsdecode(self.submit_dir),
            directives=tuple(Directive(o, value) for o, value in found.items() if value),
        )

    def names(self, job: str) -> dict[str, str]:
        """The variables of the job that say what it is and where it came from."""
        home = pwd.getpwuid(self.owner.uid).pw_dir
        found = {
            **dict.fromkeys(("HOME", "PBS_O_HOME"), home),
            **dict.fromkeys(("LOGNAME", "USER", "PBS_O_LOGNAME"), self.owner.name),
            **dict.fromkeys(("PBS_QUEUE", "PBS_O_QUEUE"), "local"),
            "PBS_O_HOST": os.uname().nodename,
            "PBS_O_WORKDIR": str(self.submit_dir),
            "PBS_JOBID": job,
            "PBS_JOBNAME": self.name,
            "PBS_NP": str(self.slots.lines),
            "PBS_NUM_NODES": "1",
            "PBS_NUM_PPN": str(self.slots.lines),
        }
        if self.work_dir is not None:
            found["PBS_O_INITDIR"] = str(self.work_dir)
        if self.walltime is not None:
            found["PBS_WALLTIME"] = str(self.walltime)
        if self.member:
            found.update(dict.fromkeys(("PBS_ARRAYID", "PBS_ARRAY_INDEX"), self.member))
        if self.slots.ncpus:
            found["NCPUS"] = str(self.slots.ncpus)
        if self.slots.threads:
            found["OMP_NUM_THREADS"] = str(self.slots.threads)
        return found


def build(
    script: Path,
    arguments: tuple[str, ...],
    owner: Owner,
    given: Iterable[Directive],
) -> Submission:
    """Read the script as its owner; the options that are given overrule its #PBS lines."""
    try:
        with privileges.acting_as(owner), open(script, "rb") as file:
            text = file.read()
    except OSError as problem:
        raise ScriptUnreadable(path=script, problem=problem.strerror) from problem
    spoken = text.decode("utf-8", "surrogateescape")
    command = list(given)
    prefix = next((v for o, v in reversed(command) if o == "C"), directives.PREFIX)
    command = [each for each in command if each.option != "C"]
    written = _written(script, spoken, prefix)
    asked = options.read(written, command, os.uname().nodename)
    last = asked.last
    joined = last.get("j", "n")
    submitted = Submission(
        script=directives.spooled(spoken, prefix).encode("utf-8", "surrogateescape"),
        arguments=arguments,
        name=last.get("N", script.name[:_LONGEST_NAME]),
        spec=checkpoint_spec.parse(last.get("c", "u")),
        out=last.get("o", ""),
        err=last.get("e", ""),
        joined="" if joined == "n" else joined,
        variables={
            **(os.environ if asked.all_variables else {}),
            **options.variables(last.get("v", "")),
        },
        walltime=asked.walltime,
        submit_dir=_directory("w", last.get("w"), owner) or Path(os.getcwd()),
        owner=owner,
        shell=asked.shell,
        work_dir=_directory("d", last.get("d"), owner),
        umask=asked.umask,
        slots=asked.slots,
        kept=last.get("k", "n").replace("n", ""),
        member=asked.member,
        more_arguments=asked.arguments,
        resources=asked.resources,
        not_played=asked.not_played,
    )
    for letter, path in (("o", submitted.out), ("e", submitted.err)):
        options.expanded(letter, path, {**submitted.variables, **submitted.names("")})
    return submitted


def _written(script: Path, text: str, prefix: str) -> list[Directive]:
    """The options of the script's header; ScriptUnreadable where a quote stays open."""
    for line in directives.lines(text, prefix):
        if not line.in_header:
            break
        try:
            directives.split(line.options or "")
        except ValueError as unclosed:
            said = log.one_line(f"{prefix}{line.options}".rstrip())
            raise ScriptUnreadable(path=script, problem=f"{said}: {unclosed}") from unclosed
    return directives.read(text, prefix)


def _directory(option: str, path: str | None, owner: Owner) -> Path | None:
    """The directory that -d or -w names, from here; it must be there, for the owner."""
    if path is None:
        return None
    found = Path.cwd() / path
    with privileges.acting_as(owner):
        if not found.is_dir():
            raise InvalidOption(option=option, value=path, problem="no such directory")
    return found


def target(path: str, submit_dir: Path, default: str) -> Path:
    """The path that output is delivered to: absolute, or from the submission directory."""
    host, _, plain = path.partition(":")
    if plain and "/" not in host:
        path = plain
    chosen = submit_dir / (path or default)
    return chosen / default if chosen.is_dir() else chosen
