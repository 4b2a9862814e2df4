# SPDX-License-Identifier: MIT
"""Find a site's LSF files, by LSF's environment, else lsf.conf (source: lsf.conf(5))."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torqueckpt.errors import QueuesNotRead

NAME_IT = "name it with `torqueckpt configure lsf --lsb-queues FILE`"

_SUDOERS = Path("/etc/lsf.sudoers")


class Site:
    """Directories and names from lsf.conf and the environment; "" where neither has one."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._conf = _pairs(Path(environment.get("LSF_ENVDIR", "/etc")) / "lsf.conf")

    def value(self, name: str) -> str:
        return self._environment.get(name) or self._conf.get(name, "")

    def in_conf(self, name: str) -> str:
        """What lsf.conf says, and so the daemons; not this process's own environment."""
        return self._conf.get(name, "")

    def directory(self, name: str) -> Path | None:
        value = self.value(name)
        return Path(value) if value.startswith("/") else None

    def queues(self) -> Path:
        """The path of lsb.queues, in LSB_CONFDIR/CLUSTER/configdir or in LSB_CONFDIR itself.

        QueuesNotRead when that is not one file.
        """
        top = self.directory("LSB_CONFDIR")
        places = ("lsb.queues", "*/configdir/lsb.queues")
        found = [each for place in places for each in sorted(top.glob(place))] if top else []
        if len(found) != 1:
            problem = "LSB_CONFDIR is not set" if top is None else f"{len(found)} such files"
            place = f"{top or 'LSB_CONFDIR'}{{,/*/configdir}}/lsb.queues"
            raise QueuesNotRead(file=place, problem=problem, remedy=NAME_IT)
        return found[0]

    @staticmethod
    def post_exec_user(sudoers: Path = _SUDOERS) -> str:
        """The user who runs POST_EXEC, if not the job's own; lsf.sudoers is for root to read."""
        return _pairs(sudoers).get("LSB_PRE_POST_EXEC_USER", "")


def _pairs(file: Path) -> dict[str, str]:
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return {}
    lines = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip().strip("\"'") for name, value in lines}
