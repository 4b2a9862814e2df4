# SPDX-License-Identifier: MIT
"""Deliver a job's output: from the local MOM's spool to its user's files, as the user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from torqueckpt import log
from torqueckpt.batch.local import options
from torqueckpt.batch.local.spool import Spool
from torqueckpt.batch.local.submission import Submission, target
from torqueckpt.process import privileges
from torqueckpt.safe_files import Directory


class Delivery(NamedTuple):
    """Where the output of one job goes."""

    job: str
    spool: Spool
    submission: Submission

    def deliver(self) -> list[str]:
        """Copy <id>.OU and .ER to the user's paths, then remove them; gives the problems.

        What cannot be delivered stays in the spool, where its owner can read it.
        """
        problems = []
        with Directory.open(self.spool.outputs()) as spool:
            for suffix, where in self._targets().items():
                name = f"{self.job}.{suffix}"
                try:
                    with privileges.acting_as(self.submission.owner), self._umask():
                        source = os.fdopen(spool.open_file(name, os.O_RDONLY), "rb")
                        with source, _opened(where, os.O_CREAT | os.O_TRUNC) as copy:
                            while block := source.read(1024 * 1024):
                                copy.write(block)
                    spool.remove(name)
                except OSError as problem:
                    left = f"it is left as {spool.path / name}"
                    problems.append(f"output not delivered: {where}: {problem.strerror}; {left}")
        return problems

    def add_line(self, line: str) -> None:
        """Add a line to the job's stderr, in the spool, or where it was delivered to."""
        suffix, where = list(self._targets().items())[-1]
        owner, name = self.submission.owner, f"{self.job}.{suffix}"
        said = f"torqueckpt: {log.one_line(line)}\n".encode("utf-8", "replace")
        with Directory.open(self.spool.outputs()) as spool, privileges.acting_as(owner):
            try:
                file = _opened(spool.path / name if spool.has(name) else where, os.O_APPEND)
                with file:
                    file.write(said)
            except OSError as problem:
                log.warning(f"{self.job}: not written to its stderr: {problem}")

    @contextmanager
    def _umask(self) -> Iterator[None]:
        """With the umask of -W, where one was given; the files are made with it."""
        before = os.umask(0o022)
        os.umask(before if self.submission.umask is None else self.submission.umask)
        try:
            yield
        finally:
            os.umask(before)

    def _targets(self) -> dict[str, Path]:
        """The user's paths by the suffix in the spool; stderr's, or what it joins, last."""
        asked = self.submission
        names = {**asked.variables, **asked.names(self.job)}
        number = self.job.partition(".")[0] + (f"-{asked.member}" if asked.member else "")
        found = {}
        for suffix, letter, path in (("OU", "o", asked.out), ("ER", "e", asked.err)):
            if asked.joined and not asked.joined.startswith(letter):
                continue
            usual = f"{asked.name.rpartition('/')[2]}.{letter}{number}"
            if letter in asked.kept:
                found[suffix] = Path(names["HOME"]) / usual
            else:
                path = options.expanded(letter, path, names)
                found[suffix] = target(path, asked.work_dir or asked.submit_dir, usual)
        return found


def _opened(target: Path, flags: int) -> IO[bytes]:
    """Open the user's file; a pipe that nobody reads is an error, not waited for."""
    return os.fdopen(
        os.open(target, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | flags, 0o666), "wb"
    )
