# SPDX-License-Identifier: MIT
"""A user's program asks the door (hooks/rootdoor.py) for a dump of one of his processes."""

from __future__ import annotations

from torqueckpt import paths, run
from torqueckpt.batch.pointer import Pointer
from torqueckpt.errors import CheckpointRefused
from torqueckpt.identity import is_lineage_name
from torqueckpt.settings import Settings

SUDO = "/usr/bin/sudo"
_LONGER_SECONDS = 60  # than the dump's own limit: the door has more to do


def closed() -> str:
    """Why sudo does not let this user through the door, "" where it does.

    Of its rules the last that fits counts.  Where that is another than ours it is knocked, for of
    one that asks for a password `sudo -l rootdoor` tells the same.
    """
    door = str(paths.installation() / "rootdoor")
    rules = run.run([SUDO, "-n", "-l"], timeout_seconds=60).output.splitlines()
    fitting = [rule.strip() for rule in rules if door in rule or rule.endswith(" ALL")]
    if fitting and fitting[-1].endswith(f" NOPASSWD: {door}"):
        return ""
    answered = run.run([SUDO, "-n", door, "knock"], timeout_seconds=60)
    return "" if answered.ok else answered.last_line() or f"sudo ended with {answered.status}"


def dump(verb: str, pid: int, end: bool, job: str, settings: Settings) -> Pointer:
    """`verb` is one of the door's: checkpoint, suspend, dump.  CheckpointRefused with its reason.

    The door gets no signal held back that the caller holds back.
    """
    door = str(paths.installation() / "rootdoor")
    finished = run.run(
        [SUDO, "-n", door, verb, str(pid), "15" if end else "0", job],
        timeout_seconds=settings.dump_timeout_seconds + _LONGER_SECONDS,
        no_signal_held_back=True,
    )
    lineage, _, number = finished.output.strip().partition(" ")
    if not finished.ok or not is_lineage_name(lineage) or not number.isdigit():
        raise CheckpointRefused(reason=finished.last_line() or "the door gave no reason")
    return Pointer(lineage, int(number))
