# SPDX-License-Identifier: MIT
"""Render all files that a batch system needs for torqueckpt into a directory.

A person puts them in place.  What goes where, and what a site does not need, is decided here; the
templates decide nothing.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from torqueckpt import paths
from torqueckpt.errors import ConfigNotWritten
from torqueckpt.render import render
from torqueckpt.settings import Settings
from torqueckpt.site import openpbs_hook
from torqueckpt.site.mom import Plan

_START_ORDER = ("trqauthd", "pbs_server", "pbs_sched", "pbs_mom")
_SELINUX = Path("/sys/fs/selinux/enforce")
_UNIT_DIR = "systemd/system"
_UNITS = (
    ("periodic.service.j2", f"{_UNIT_DIR}/torqueckpt-periodic.service", 0o644),
    ("shutdown.service.j2", f"{_UNIT_DIR}/torqueckpt-shutdown.service", 0o644),
)
_MODULES = (("modules.service.j2", f"{_UNIT_DIR}/torqueckpt-modules.service", 0o644),)
_INIT = (("torqueckpt.init.j2", "init.d/torqueckpt", 0o755),)
_LAUNCH = "torqueckpt-launch.qmgr"
_MOM_UNITS = {"torque": "pbs_mom.service", "openpbs": "pbs.service"}


class Node(NamedTuple):
    name: str
    np: int


class Site(NamedTuple):
    """What the settings do not tell of a site's batch system.

    services: those that the init script starts; () stands for those whose programs are there.
    """

    nodes: Sequence[Node]
    queue: str
    prefix: Path
    services: Sequence[str] = ()
    selinux: bool | None = None  # None: look
    directory: Path = Path()  # where the files will lie


class File(NamedTuple):
    """A generated file; path is relative to the output directory."""

    path: str
    mode: int
    text: bytes
    goes_to: str  # a command, or "" for what is only read


def files(plan: Plan, site: Site, settings: Settings) -> list[File]:
    """All files for this batch system; the README with the commands is the last."""
    name = plan.system.name
    own = [
        *_shared(plan, site, settings),
        *(_torque_only(plan, site, settings) if name == "torque" else ()),
        *(_openpbs_only(site, settings) if name == "openpbs" else ()),
    ]
    server = {"torqueckpt.qmgr", "server_priv/nodes", _LAUNCH}
    restorecon = _restorecon(site, settings)
    steps = {
        "node_steps": [f.goes_to for f in own if f.goes_to and f.path not in server] + restorecon,
        "server_steps": [f.goes_to for f in own if f.path in server],
    }
    readme = render(f"{name}/README.j2", steps)
    return [*own, File("README", 0o644, readme.encode(), "")]


def write(directory: Path, generated: Iterable[File]) -> list[Path]:
    """Write the files below `directory`, which is made; ConfigNotWritten when it cannot be."""
    written = []
    for file in generated:
        path = directory / file.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch = path.with_name(f"{path.name}.new")
            scratch.write_bytes(file.text)
            scratch.chmod(file.mode)
            os.replace(scratch, path)
        except OSError as problem:
            raise ConfigNotWritten(file=path, problem=problem.strerror) from problem
        written.append(path)
    return written


def _shared(plan: Plan, site: Site, settings: Settings) -> Iterable[File]:
    name = plan.system.name
    unit = _MOM_UNITS[name]
    program = paths.program("bin", "torqueckpt")
    values: dict[str, object] = {
        "nodes": site.nodes,
        "queue": site.queue,
        "pointer_dir": settings.pointer_dir,
        "program": program,
        "mom_unit": unit,
        "seconds": _longest_seconds(settings),
    }
    config = "mom_priv/config"
    yield File(config, 0o644, plan.new, f"{_install(0o644, config)} {plan.file}")
    qmgr = render(f"{name}/queue.qmgr.j2", values)
    yield File("torqueckpt.qmgr", 0o644, qmgr.encode(), "qmgr < torqueckpt.qmgr")
    for template, path, mode in _units(unit, settings):
        text = render(f"services/{template}", values).encode()
        yield File(path, mode, text, f"{_install(mode, path)} /etc/{path}")


def services(settings: Settings) -> list[File]:
    """The files that `make install` puts in place where the batch system is not known yet."""
    units = [*_MOM_UNITS.values()]
    values: dict[str, object] = {
        "program": str(paths.program("bin", "torqueckpt")),
        "mom_unit": " ".join(units),
        "mom_scripts": ["torque", "pbs_mom", "pbs"],
        "seconds": _longest_seconds(settings),
        "preparations": _preparations(settings),
    }
    names = [*_UNITS, *(_MODULES if settings.has_modules() else ()), *_INIT]
    return [
        File(path.rpartition("/")[2], mode, render(f"services/{name}", values).encode(), "")
        for name, path, mode in names
    ]


def _units(mom_unit: str, settings: Settings) -> Iterable[tuple[str, str, int]]:
    yield from _UNITS
    yield "mom.conf.j2", f"{_UNIT_DIR}/{mom_unit}.d/torqueckpt.conf", 0o644
    if settings.has_modules():
        yield from _MODULES


def _longest_seconds(settings: Settings) -> int:
    return settings.dump_timeout_seconds + settings.lock_timeout_seconds + 60


def _torque_only(plan: Plan, site: Site, settings: Settings) -> Iterable[File]:
    home, sbin = plan.mom_priv.parent, site.prefix / "sbin"
    nodes = render("torque/nodes.j2", {"nodes": site.nodes}).encode()
    add = f"cat server_priv/nodes >>{home}/server_priv/nodes"
    yield File("server_priv/nodes", 0o644, nodes, add)
    check = {
        "qstat": str(site.prefix / "bin" / "qstat"),
        "qalter": str(site.prefix / "bin" / "qalter"),
        "here": f"{plan.mom_priv}/torqueckpt-prologue",
    }
    name = "mom_priv/torqueckpt-prologue"
    text = render("torque/prologue_check.sh.j2", check).encode()
    yield File(name, 0o500, text, f"{_install(0o500, name)} {plan.mom_priv}/torqueckpt-prologue")
    script: dict[str, object] = {
        "home": str(home),
        "sbin": str(sbin),
        "bin": str(site.prefix / "bin"),
        "services": _services(site, sbin),
        "preparations": _preparations(settings),
    }
    text = render("torque/torque.init.j2", script).encode()
    yield File(
        "init.d/torque", 0o544, text, f"{_install(0o544, 'init.d/torque')} /etc/init.d/torque"
    )


def _openpbs_only(site: Site, settings: Settings) -> Iterable[File]:
    name = "torqueckpt-launch.hook"
    yield File(name, 0o644, openpbs_hook.text(settings), "")
    values = {"hook": str(site.directory / name), "alarm": openpbs_hook.ALARM_SECONDS}
    text = render("openpbs/launch_hook.qmgr.j2", values).encode()
    yield File(_LAUNCH, 0o644, text, f"qmgr < {site.directory / _LAUNCH}")


def _services(site: Site, sbin: Path) -> list[str]:
    """The services in the order of their start: what others need first comes first."""
    if site.services:
        return [name for name in _START_ORDER if name in site.services]
    there = [name for name in _START_ORDER if (sbin / name).exists()]
    return there or list(_START_ORDER)


def _preparations(settings: Settings) -> list[str]:
    program = shlex.quote(str(paths.program("bin", "torqueckpt")))
    return [f"{program} modules load"] if settings.has_modules() else []


def _restorecon(site: Site, settings: Settings) -> list[str]:
    on = _SELINUX.exists() if site.selinux is None else site.selinux
    return [f"restorecon -R {settings.store} {settings.pointer_dir}"] if on else []


def _install(mode: int, path: str) -> str:
    return f"install -D -m {mode:04o} {path}"
