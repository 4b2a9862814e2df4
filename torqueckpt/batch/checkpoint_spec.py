# SPDX-License-Identifier: MIT
"""Parse qsub's -c: when and how a job is checkpointed (source: qsub(1) of TORQUE and of OpenPBS).

OpenPBS's w= are minutes of walltime, as TORQUE's c= are; its own c= are minutes of CPU time.  In
the place of minutes "auto" stands for the interval that is best (batch/schedule.py); TORQUE's qsub
takes c=auto and interval=auto, `torqueckpt run` also auto alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from torqueckpt.errors import InvalidSpec

_FLAGS = {
    "n": "", "none": "", "u": "",
    "s": "shutdown", "shutdown": "shutdown",
    "c": "periodic", "periodic": "periodic",
    "enabled": "enabled",
}  # fmt: skip
_INTERVALS = ("c", "interval", "w")
_INTERVAL = re.compile(r"([0-9]{1,6})(s?)")
# What MOM puts into a shell command unquoted must not mean anything to that shell.
_SAFE_PATH = re.compile(r"/[A-Za-z0-9_./-]*")
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class CheckpointSpec(NamedTuple):
    """A parsed -c.

    interval_seconds None means the site's default interval, with auto the best one.
    """

    text: str
    periodic: bool = False
    shutdown: bool = False
    enabled: bool = False
    interval_seconds: int | None = None
    auto: bool = False
    depth: int | None = None
    directory: Path | None = None
    name: str | None = None

    @property
    def checkpointable(self) -> bool:
        return self.periodic or self.shutdown or self.enabled

    @property
    def never(self) -> bool:
        """Whether the job must never be checkpointed: -c n.

        OpenPBS checkpoints a job that says nothing (u) when asked to, TORQUE does not.
        """
        return self.text in ("n", "none")


def parse(text: str) -> CheckpointSpec:
    """Parse -c as qsub has it, comma-separated.

    Minutes, or seconds with an s (torqueckpt's own).
    """

    def refuse(problem: str) -> InvalidSpec:
        return InvalidSpec(spec=text, problem=problem)

    found: dict[str, object] = {}
    for item in text.split(","):
        word, has_value, value = item.strip().partition("=")
        if (word, has_value) == ("auto", "") or (word in _INTERVALS and value == "auto"):
            found["auto"] = found["periodic"] = True
        elif not has_value:
            if word not in _FLAGS:
                raise refuse(f"{word!r} is unknown")
            found[_FLAGS[word] or "none"] = True
        elif word in _INTERVALS:
            found["interval_seconds"] = _seconds(value, refuse)
            found["periodic"] = True
        elif word == "depth":
            if not re.fullmatch(r"[1-9][0-9]{0,4}", value):
                raise refuse(f"depth {value!r} is no number from 1 on")
            found["depth"] = int(value)
        elif word == "dir":
            if not _SAFE_PATH.fullmatch(value) or ".." in value.split("/"):
                raise refuse(f"dir {value!r}: an absolute path of letters, digits, _ . / -")
            found["directory"] = Path(value)
        elif word == "name":
            if not _SAFE_NAME.fullmatch(value):
                raise refuse(f"name {value!r}: letters, digits, _ . -")
            found["name"] = value
        else:
            raise refuse(f"{word!r} is unknown")
    if found.pop("none", False) and any(found.get(n) for n in ("periodic", "shutdown", "enabled")):
        raise refuse("n and u exclude the others")
    if found.get("auto") and "interval_seconds" in found:
        raise refuse("auto and a number of minutes exclude each other")
    return CheckpointSpec(text=text, **found)  # type: ignore[arg-type]


def _seconds(value: str, refuse: object) -> int:
    match = _INTERVAL.fullmatch(value)
    if not match or int(match.group(1)) == 0:
        assert callable(refuse)
        raise refuse(f"interval {value!r} is no number of minutes from 1 on")
    return int(match.group(1)) * (1 if match.group(2) else 60)
