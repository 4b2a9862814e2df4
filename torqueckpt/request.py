# SPDX-License-Identifier: MIT
"""The requests for a checkpoint and a restart, the same for all batch systems."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class CheckpointRequest(NamedTuple):
    """Take an image of a job.

    sid is the pid of the job's session leader, as MOM knows it: for ever the first one, also after
    restarts in place.  name is MOM's CKPTNAME; see named_once.
    """

    sid: int
    job_id: str
    owner: str | None = None  # None: whoever the session leader belongs to
    name: str = ""
    pointer_dir: Path | None = None
    pointer_by_root: bool = False  # that directory is MOM's own and closed to the owner
    end: bool = False  # end the job's processes once the image is safe
    depth: int | None = None  # how many generations to keep; None: the settings say
    exec_pid: int | None = None  # dump from this process, whatever its session: chkpnt's way
    refuse_connections: bool = False  # to programs outside, which a restart does not reach again

    @property
    def named_once(self) -> bool:
        """Whether no other checkpoint has this name.

        MOM's own names end with the time, but one that a user gave (-c name=) comes with each call.
        """
        return self.name.startswith(f"ckpt.{self.job_id}.")


class RestartRequest(NamedTuple):
    """Bring a job back from its newest whole image, or from `generation` and no other.

    hint is a generation to be tried first, from a pointer that may be stale; that pointer must stay
    where MOM looks for it.  present_job is the batch job that runs the restart: job_id itself when
    MOM restarts in place.
    """

    job_id: str
    present_job: str
    generation: int | None = None
    hint: int | None = None
    pointer: Path | None = None
    force: bool = False  # believe that the tree recorded on another node has ended
    accept_changed: bool = False  # go on with files that were changed by somebody else
    moves: tuple[tuple[str, str], ...] = ()  # files below the first path lie below the second now
