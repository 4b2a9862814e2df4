# SPDX-License-Identifier: MIT
"""The batch systems whose MOM reads a config file, side by side: what differs, by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from torqueckpt import paths
from torqueckpt.batch.mom_config import Dialect
from torqueckpt.batch.openpbs import mom_config as openpbs
from torqueckpt.batch.torque import mom_config as torque
from torqueckpt.process import proc
from torqueckpt.process.daemons import running
from torqueckpt.settings import Settings


class System(NamedTuple):
    """One batch system; options maps our option names to directives."""

    name: str
    title: str
    dialect: Dialect
    options: dict[str, str]
    block: Callable[[Settings], Sequence[tuple[str, str]]]
    script_of: Callable[[str, str], Path | None]
    mom_priv: Callable[[], Path]
    group_matters: bool  # OpenPBS runs scripts of system groups only


def _torque_block(settings: Settings) -> Sequence[tuple[str, str]]:
    return torque.block(_sbin(), settings.pointer_dir, settings.interval_minutes)


def _openpbs_block(settings: Settings) -> Sequence[tuple[str, str]]:
    longest = settings.dump_timeout_seconds + settings.lock_timeout_seconds + 60
    return openpbs.block(_sbin(), settings.pointer_dir, longest)


def _sbin() -> Path:
    return paths.program("sbin", "mom-checkpoint").parent


def _torque_mom_priv() -> Path:
    """PBS_HOME where that is set, else TORQUE's own default."""
    return Path(os.environ.get("PBS_HOME", "/var/spool/torque")) / "mom_priv"


def _openpbs_mom_priv() -> Path:
    """As OpenPBS itself finds it: PBS_HOME, else its pbs.conf."""
    home = os.environ.get("PBS_HOME") or _pbs_conf().get("PBS_HOME", "/var/spool/pbs")
    return Path(home) / "mom_priv"


def _pbs_conf() -> dict[str, str]:
    try:
        text = Path(os.environ.get("PBS_CONF_FILE", "/etc/pbs.conf")).read_text()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, value in pairs}


SYSTEMS = {
    "torque": System(
        name="torque",
        title="TORQUE",
        dialect=torque.DIALECT,
        options=torque.OPTIONS,
        block=_torque_block,
        script_of=torque.script_of,
        mom_priv=_torque_mom_priv,
        group_matters=False,
    ),
    "openpbs": System(
        name="openpbs",
        title="OpenPBS",
        dialect=openpbs.DIALECT,
        options=openpbs.OPTIONS,
        block=_openpbs_block,
        script_of=openpbs.script_of,
        mom_priv=_openpbs_mom_priv,
        group_matters=True,
    ),
}


def of_the_running() -> Path | None:
    """The mom_priv of the MOM that runs on this node: it is where that works."""
    pid = running("pbs_mom")
    place = Path(proc.cwd(pid)) if pid else Path()
    return place if place.name == "mom_priv" else None


def here(running: Path | None = None) -> list[tuple[System, Path]]:
    """Those that are on this node, each with its mom_priv; running: that of the MOM that runs.

    PBS_HOME is one system's alone: OpenPBS's where it has its pbs.conf.
    """
    torque, openpbs = (SYSTEMS[name] for name in ("torque", "openpbs"))
    ours = openpbs if _pbs_conf() else torque
    both = torque.mom_priv() == openpbs.mom_priv()
    asked = [(each, each.mom_priv()) for each in ([ours] if both else [torque, openpbs])]
    found = [(each, path.resolve()) for each, path in asked if path.is_dir()]
    if running is not None and running not in [path for _, path in found]:
        found.append((ours, running))
    return found
