# SPDX-License-Identifier: MIT
"""Start mom-restart for a held job, and learn whether it has brought the job back."""

from __future__ import annotations

import os
import subprocess
import time

from torqueckpt import log
from torqueckpt.batch.local.control import Caller
from torqueckpt.errors import TorqueCkptError
from torqueckpt.identity import Owner
from torqueckpt.process import proc
from torqueckpt.settings import Settings
from torqueckpt.store import access, journal

LOOK_SECONDS = 0.1

_LONGEST = 4096  # bytes of what it says; as much as of a checkpoint's


class Restart:
    """A mom-restart that has not brought the job back yet, and who waits for that."""

    def __init__(self, command: list[str], job: str, owner: Owner, caller: Caller) -> None:
        self.caller = caller
        self._job, self._owner = job, owner
        self._began = int(time.time())
        self._said = os.memfd_create("mom-restart")
        self.pid = _start(command, self._said)

    def has_served(self) -> bool:
        """Whether the job runs, or ran: then mom-restart has become its owner for good.

        Asked before its status is taken, which it still has as a zombie.
        """
        who = proc.credentials(self.pid)
        return who is not None and set(who.uids) == {self._owner.uid}

    def why_not(self, code: int, settings: Settings) -> str:
        """Why it ended without the job, as it said; noted in the owner's journal too."""
        ended = f"with status {code}" if code >= 0 else f"by signal {-code}"
        lines = os.pread(self._said, _LONGEST, 0).decode("utf-8", "replace").split("\n")
        reason = next(filter(None, map(str.strip, reversed(lines))), f"mom-restart ended {ended}")
        try:
            with access.lineage_if_any(self._job, self._owner, settings) as found:
                if found is not None:
                    owner_store, lineage = found
                    which = (lineage.first_job, lineage.name)
                    journal.noted_failure(owner_store, *which, self._began, reason)
        except (TorqueCkptError, OSError, ValueError) as trouble:  # MOM goes on in any case
            log.warning(f"{self._job}: not noted: {trouble}")
        return reason

    def close(self) -> None:
        os.close(self._said)


def _start(command: list[str], stderr: int) -> int:
    """Start it as pbs_mom does, as root in a new session; what it says is kept, though."""
    started = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,
        env={"LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        cwd="/",
    )
    started.returncode = 0  # waited for by pid, as the job's leader, not by this object
    return started.pid


def to_go_on(job: str, owner: Owner, settings: Settings) -> str:
    """How its owner goes on with a job that has ended; "" without an image of it."""
    try:
        with access.lineage_if_any(job, owner, settings) as found:
            has_image = found is not None and found[1].newest_number() > 0
    except (TorqueCkptError, OSError, ValueError) as trouble:
        log.warning(f"{job}: {trouble}")
        return ""
    return f"; to go on: torqueckpt resume-job {job}" if has_image else ""
