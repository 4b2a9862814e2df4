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
        self._goes_down = False
        self._failed = ""
        self._killed_amid: dict[str, object] = {}

    def signalled(self, number: int, sender: int) -> None:
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
        while got := signal.sigtimedwait(SIGNALS, 0):  # what has ended the job comes to us, too
            self.signalled(got.si_signo, got.si_pid)
        if self._goes_down:
            return
        if is_saved:
            how = journal.NOT_RESTARTED if self._failed == "restart" else journal.KILLED
        elif self.kept:
            how = journal.SAVED
        else:
            how = journal.KILLED if status - 128 in self._signals else journal.ENDED
        migrated = {"migrated": True} if self.migrated else {}
        facts = {**self._killed_amid, **migrated}
        records.note_end(self._job, how, self._settings, status=status, **facts)


def being_ended() -> bool:
    """Whether a signal that ends the job is held back at this moment."""
    return bool(signal.sigpending() & SIGNALS)
