# SPDX-License-Identifier: MIT
"""Parse how LSF's sbatchd calls torqueckpt's programs, and write the script that starts a job.

echkpnt and erestart have two shapes each: with arguments LSF's own checkpoint interface calls them,
without them they stand in JOB_CONTROLS.

chkpnt_script.sh is the shell script that the user's command runs in, so that it can be dumped apart
from the job's starter.  The running shell goes on reading from it, also after a restart; but each
image keeps a copy (files/job_script.py), so that it may lie where LSF moves and removes things.
"""

from __future__ import annotations

import getopt
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from torqueckpt import log
from torqueckpt.batch.lsf import job_file
from torqueckpt.batch.lsf.job_file import STARTER
from torqueckpt.errors import BadArguments
from torqueckpt.identity import ImageRef, is_lineage_name, job_id
from torqueckpt.process import job_processes
from torqueckpt.safe_files import ANY_SIZE, Directory

POINTER = "torqueckpt.json"  # in the job's checkpoint directory

_RESTART = "--restart"

_ECHKPNT = "echkpnt [-k], or echkpnt [-c] [-f] [-k | -s] [-d CHECKPOINT_DIR] [-x] PGID"

_ERESTART = "erestart, or erestart [-c] [-f] CHECKPOINT_DIR"


NAME = "chkpnt_script.sh"

_SHELL = "/bin/sh"  # as LSF's own job file is run

# As in LSF's job file: a signal to the job is for its programs, and this shell waits for them.
_TRAPS = "trap : HUP INT USR1 USR2 TERM"


class LsfJob(NamedTuple):
    """The LSF job of a process; directory is LSB_CHKPNT_DIR, None where there is none."""

    id: str
    directory: Path | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> LsfJob:
        place = environment.get("LSB_CHKPNT_DIR", "")
        own = {name: value for name, value in environment.items() if name.startswith("LSB_")}
        return cls(
            id=job_id(job_processes.job_in(own)),
            directory=Path(place) if os.path.isabs(place) else None,
        )


class StarterCall(NamedTuple):
    """The job starter's arguments.

    The user's command, or the image that a job of brestart goes on from.
    """

    command: str
    image: ImageRef | None

    @classmethod
    def from_argv(cls, argv: list[str], environment: Mapping[str, str]) -> StarterCall:
        """Parse the arguments; without any, the command is read from LSF's job file.

        Older queues have '%USRCMD' as argument: a command with an apostrophe in it comes as several
        words then, without the apostrophes.
        """
        command = " ".join(argv) if argv else job_file.command(environment)
        if not command.strip():
            raise BadArguments(program=STARTER, problem="no command", usage=job_file.USAGE)
        return cls(command, _image(argv) or _image(_after_own_name(command)))


class EchkpntCall(NamedTuple):
    """echkpnt's arguments.

    group: None in JOB_CONTROLS; after: what becomes of the job, run, kill or stop.
    """

    group: int | None
    directory: Path | None
    after: str

    @classmethod
    def from_argv(cls, argv: list[str]) -> EchkpntCall:
        options, rest = _options("echkpnt", argv, "cfksxd:", _ECHKPNT)
        after = "kill" if "-k" in options else "stop" if "-s" in options else "run"
        if not rest and "-d" not in options:
            return cls(None, None, after)
        if len(rest) != 1 or not re.fullmatch(r"[0-9]{1,9}", rest[0]) or {"-k", "-s"} <= {*options}:
            problem = f"process group {' '.join(rest) or 'missing'}"
            raise BadArguments(program="echkpnt", problem=problem, usage=_ECHKPNT)
        given = options.get("-d")
        return cls(int(rest[0]), Path.cwd() / given if given else None, after)


class ErestartCall(NamedTuple):
    """erestart's arguments; directory is None in JOB_CONTROLS."""

    directory: Path | None

    @classmethod
    def from_argv(cls, argv: list[str]) -> ErestartCall:
        _, rest = _options("erestart", argv, "cf", _ERESTART)
        if len(rest) > 1:
            problem = f"{len(rest)} directories"
            raise BadArguments(program="erestart", problem=problem, usage=_ERESTART)
        return cls(Path.cwd() / rest[0] if rest else None)


def restart_command(program: Path, image: ImageRef) -> str:
    """The command that a job of brestart runs; LSF gives it to the job starter, also as %USRCMD."""
    lineage = re.sub(r"([][])", r"\\\1", image.lineage)  # an array's brackets, without apostrophes
    return f"{program} {_RESTART} {lineage} {image.generation}"


def _options(
    program: str, argv: list[str], known: str, usage: str
) -> tuple[dict[str, str], list[str]]:
    try:
        options, rest = getopt.getopt(argv, known)
    except getopt.GetoptError as slip:
        raise BadArguments(program=program, problem=slip.msg, usage=usage) from slip
    return dict(options), rest


def _image(words: list[str]) -> ImageRef | None:
    if len(words) != 3 or words[0] != _RESTART or not is_lineage_name(words[1]):
        return None
    return ImageRef(words[1], int(words[2])) if re.fullmatch(r"[0-9]{1,9}", words[2]) else None


def _after_own_name(command: str) -> list[str]:
    """The words after the starter's name, of a command that begins with it; else none."""
    try:
        words = shlex.split(command)
    except ValueError:  # the user's own business
        return []
    return words[1:] if os.path.basename(words[0] if words else "") == STARTER else []


def job_of(environment: Mapping[str, str]) -> str:
    """The job's id, 12, or 12[3] for a member of an array; InvalidJobId outside of a job."""
    return job_id(job_processes.job_in(environment))


def old_job(environment: Mapping[str, str]) -> str:
    """The id of the job that a job of brestart goes on from; "" outside of one."""
    number, member = environment.get("LSB_OLD_JOBID", ""), environment.get("LSB_JOBINDEX", "0")
    return job_processes.job_in({"LSB_JOBID": number, "LSB_JOBINDEX": member})


@contextmanager
def written(command: str, directory: Path | None) -> Iterator[list[str]]:
    """Write the script that runs the command; gives argv that runs it.

    It lies in the job's checkpoint directory or a temporary one; where neither can be written to
    the command runs without a script: the job comes first.
    """
    command = f"{_TRAPS}\n{command}"
    text = f"#!{_SHELL}\n{command}\n".encode("utf-8", "surrogateescape")
    if directory is not None and _put(directory, text):
        yield [_SHELL, str(directory / NAME)]
        return
    try:
        own = Path(tempfile.mkdtemp(prefix="torqueckpt-lsf-"))
    except OSError as problem:
        log.warning(f"the job runs without a script of its own: {problem}")
        yield [_SHELL, "-c", command]
        return
    try:
        yield [_SHELL, str(own / NAME)] if _put(own, text) else [_SHELL, "-c", command]
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _put(directory: Path, text: bytes) -> bool:
    try:
        with Directory.open(directory.resolve(strict=True)) as opened:
            opened.write_whole(NAME, text, 0o700, limit=ANY_SIZE)
    except OSError as problem:
        log.warning(f"{directory}: no script there: {problem.strerror}")
        return False
    return True
