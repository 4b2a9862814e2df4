# SPDX-License-Identifier: MIT
"""Note in the journal how a job of LSF ended: whatever removes its images goes by that.

LSF tells POST_EXEC nothing of it.  A job without such a line may have died with its host, and its
images are all that is left of it.
"""

from __future__ import annotations

import signal

from torqueckpt.lsf import records
from torqueckpt.settings import Settings
from torqueckpt.store import journal

# What ends a job that has no process just now, as it would have ended the process.
SIGNALS = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGXCPU}
# What LSF sends before INT, TERM and KILL when a job has reached a limit: USR2 for a run limit and
# `bsub -t`, XCPU for CPU time, QUIT for swap space and processes.  bkill begins with INT.
_OF_A_LIMIT = {signal.SIGUSR2, signal.SIGXCPU, signal.SIGQUIT}
# Statuses, less 128, that a limit gives; KILL comes from the kernel for memory, for LSF's own ends
# the starter, too.
_AS_BY_A_LIMIT = {signal.SIGUSR2, signal.SIGXCPU, signal.SIGXFSZ, signal.SIGKILL}


class Ending:
    """What a job's starter gathers for that line while the job lasts.

    kept: LSF has ended it with an image to go on from; migrated: it was begun again under its own
    number, and LSF will not deliver its output.  Where process 1 ends everything, as a node does
    that goes down, nothing is noted: LSF takes the job for lost.
    """

    def __init__(self, job: str, settings: Settings) -> None:
        self._job, self._settings = job, settings
        self.kept = self.migrated = False
        self._signals: set[int] = set()
        self._goes_down = self._has_reached_a_limit = False
        self._failed = ""
        self._killed_amid: dict[str, object] = {}

    def signalled(self, number: int, sender: int, by_root: bool) -> None:
        if number in _OF_A_LIMIT and by_root:
            self._has_reached_a_limit = True
        if number in SIGNALS:
            self._signals.add(number)
            self._goes_down = self._goes_down or sender == 1

    def has_failed(self, action: str, since: int) -> None:
        """An action (checkpoint, restart) has failed; or somebody ends the job, which looks so."""
        if being_ended():
            self._killed_amid = {"amid": action, "since": since}
        else:
            self._failed = action

    def has_worked(self) -> None:
        self._failed, self._killed_amid = "", {}

    def note(self, status: int, is_saved: bool) -> None:
        """Write the line; is_saved: the job has no process but an image."""
        coming = SIGNALS | _OF_A_LIMIT
        while got := signal.sigtimedwait(coming, 0):  # what has ended the job comes to us, too
            self.signalled(got.si_signo, got.si_pid, by_root=got.si_uid == 0)
        if self._goes_down:
            return
        if is_saved and self._failed == "restart":
            how = journal.NOT_RESTARTED
        elif self.kept:
            how = journal.SAVED
        elif self._has_reached_a_limit or status - 128 in _AS_BY_A_LIMIT:
            how = journal.LIMIT  # also with status 0: what was cut off may not have been the last
        else:
            how = journal.KILLED if is_saved or status - 128 in self._signals else journal.ENDED
        migrated = {"migrated": True} if self.migrated else {}
        facts = {**self._killed_amid, **migrated}
        records.note_end(self._job, how, self._settings, status=status, **facts)


def being_ended() -> bool:
    """Whether a signal that ends the job is held back at this moment."""
    return bool(signal.sigpending() & SIGNALS)
