# SPDX-License-Identifier: MIT
"""Parse pbs_mom's argument lists (source: TORQUE's own, release by release)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from torqueckpt.errors import BadArguments
from torqueckpt.identity import job_id
from torqueckpt.request import CheckpointRequest, RestartRequest

_CHECKPOINT_LISTS = {
    2: "SID JOBID",  # the guide of 2005
    3: "SID JOBID EUSER",  # 2005-06
    4: "SID JOBID EUSER ABORT",  # 1.2.0p5 to 2.3
    6: "SID JOBID EUSER CKPTDIR CKPTNAME SIGNAL",  # 2008-02
    7: "SID JOBID EUSER CKPTDIR CKPTNAME ABORT DEPTH",  # 2008-04
    8: "SID JOBID EUSER EGROUP CKPTDIR CKPTNAME SIGNAL DEPTH",  # 2.4.0 to 6.1
}
_WITH_ROLE = "SID JOBID EUSER CKPTDIR CKPTNAME ABORT ROLE DEPTH"  # 2008-03, 8 words too
_RESTART_LISTS = {
    5: "SID JOBID EUSER CKPTDIR CKPTNAME",  # 2.3
    6: "SID JOBID EUSER EGROUP CKPTDIR CKPTNAME",
}
_PLAIN = re.compile(r"[A-Za-z0-9_.,=:@%+/-]*")  # as the prologue check has it
_GO_ON, _END = ("0",), ("1", "15")


class MomCall(NamedTuple):
    """A call of $checkpoint_script or $restart_script; None where MOM passes "-"."""

    sid: int
    job_id: str
    owner: str | None
    directory: Path | None
    name: str
    end: bool
    depth: int | None

    @classmethod
    def checkpoint(cls, argv: list[str]) -> MomCall:
        """Parse a checkpoint's argument list of any release; BadArguments for any other."""
        listing = _CHECKPOINT_LISTS.get(len(argv), "")
        if len(argv) == 8 and argv[6] not in _GO_ON + _END and argv[5] in _GO_ON + _END:
            listing = _WITH_ROLE
        return cls._parse("mom-checkpoint", argv, listing, _CHECKPOINT_LISTS[8], lowest_sid=2)

    @classmethod
    def restart(cls, argv: list[str]) -> MomCall:
        """Parse a restart's arguments; SID is 0 when 4.2.10 starts a job that was requeued.

        CKPTDIR is refused when a shell would act on it: its owner may have altered it since the
        prologue looked, and MOM would hand it to root's shell at the next checkpoint.
        """
        listing = _RESTART_LISTS.get(len(argv), "")
        call = cls._parse("mom-restart", argv, listing, _RESTART_LISTS[6], lowest_sid=0)
        if not _PLAIN.fullmatch(str(call.directory or "")):
            problem = f"checkpoint directory {str(call.directory)!r} holds what a shell acts on"
            raise BadArguments(program="mom-restart", problem=problem, usage=_RESTART_LISTS[6])
        return call

    def to_checkpoint(self) -> CheckpointRequest:
        return CheckpointRequest(
            sid=self.sid,
            job_id=self.job_id,
            owner=self.owner,
            name=self.name,
            pointer_dir=self.directory,
            end=self.end,
            depth=self.depth,
        )

    def to_restart(self, hint: int | None) -> RestartRequest:
        return RestartRequest(
            job_id=self.job_id,
            present_job=self.job_id,
            hint=hint,
            pointer=self.directory / self.name if self.directory and self.name else None,
        )

    @classmethod
    def _parse(
        cls, program: str, argv: list[str], listing: str, usage: str, *, lowest_sid: int
    ) -> MomCall:
        def refuse(problem: str) -> BadArguments:
            return BadArguments(program=program, problem=problem, usage=usage)

        if not listing:
            raise refuse(f"{len(argv)} arguments, no TORQUE ever passed so many")
        word = {n: w for n, w in zip(listing.split(), argv) if w not in ("-", "")}
        signal = word.get("SIGNAL", word.get("ABORT", "0"))
        if signal not in _GO_ON + _END:
            raise refuse(f"signal {signal!r} is none of 0, 1, 15")
        if not _number(word.get("SID", "")) or int(word["SID"]) < lowest_sid:
            raise refuse(f"session id {word.get('SID', '-')!r} is no process number")
        depth = word.get("DEPTH", "0")
        if not _number(depth):
            raise refuse(f"depth {depth!r} is no number")
        directory = word.get("CKPTDIR")
        if directory is not None and (directory[0] != "/" or ".." in directory.split("/")):
            raise refuse(f"checkpoint directory {directory!r} is not an absolute path")
        name = word.get("CKPTNAME", "")
        if "/" in name or name in (".", "..") or len(name) > 200:
            raise refuse(f"checkpoint name {name!r} is not a file name")
        return cls(
            sid=int(word["SID"]),
            job_id=job_id(word.get("JOBID", "-")),
            owner=word.get("EUSER"),
            directory=Path(directory) if directory is not None else None,
            name=name,
            end=signal in _END,
            depth=int(depth) or None,
        )


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
