# SPDX-License-Identifier: MIT
"""Configure a node's MOM: what its config file should be, and how it gets there.

current  ──▶ plan: the file with our block in it, and what is wrong with that
               ├─ check   problems only
               ├─ diff    what would change
               └─ apply   whole or not at all, the old file kept, MOM told to read it again
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torqueckpt import log, paths
from torqueckpt.batch import config_block, mom_config, program_checks
from torqueckpt.batch.mom_config import Dialect, in_file
from torqueckpt.batch.openpbs import mom_config as openpbs
from torqueckpt.batch.torque import mom_config as torque
from torqueckpt.errors import BadArguments, MomPrivMissing
from torqueckpt.findings import Finding
from torqueckpt.process import proc, signals
from torqueckpt.process.job_processes import running
from torqueckpt.settings import Settings
from torqueckpt.site import config_file
from torqueckpt.site.config_file import PlannedFile

_LETS_THROUGH = b"so they were not checked"
_LONGEST_PROLOGUE = 64 * 1024

Chosen = Mapping[str, Sequence[str]]  # option name → its values; [] or absent: as the block has it


@dataclass(frozen=True)
class Plan(PlannedFile):
    """A MOM's config file as it will be."""

    system: System
    mom_priv: Path


def plan(
    name: str, mom_priv: Path | None, chosen: Chosen, settings: Settings, *, remove: bool = False
) -> Plan:
    """Plan what would be written; MomPrivMissing, ConfigBlockDamaged, BadArguments."""
    system = SYSTEMS[name]
    directory = _directory(system, mom_priv)
    file, old, status = _current(directory / "config")
    if remove:
        new = config_block.remove(old, str(file))
    else:
        new = config_block.merge(old, _block(system, old, file, chosen, settings), str(file))
    found = [*_file_itself(file, status), *_problems(system, file, old, new, settings)]
    if not remove:
        found += [*_pointer_dir(settings.pointer_dir), *_old_checks(directory)]
    return Plan(file, old, new, status, found, system, directory)


def check(plan: Plan) -> list[Finding]:
    """Find all that is not as it should be, such as a missing block."""
    if not plan.changes:
        return plan.problems
    present = config_block.ours(plan.old, str(plan.file))
    reason = (
        "torqueckpt's lines are not up to date" if present else "torqueckpt's lines are not there"
    )
    remedy = f"torqueckpt configure {plan.system.name} --apply"
    line = present.start if present else 0
    return [in_file(str(plan.file), line, reason, remedy), *plan.problems]


def _directory(system: System, given: Path | None) -> Path:
    directory = given or system.mom_priv()
    if not directory.is_dir():
        problem = "no such directory" if not directory.exists() else "not a directory"
        runs = of_the_running()
        problem += f", and a pbs_mom runs in {runs}" if runs is not None else ""
        raise MomPrivMissing(path=directory, problem=problem, system=system.title)
    return directory.resolve()


def _current(path: Path) -> tuple[Path, bytes, os.stat_result | None]:
    try:
        return config_file.current(path)
    except OSError as problem:
        raise MomPrivMissing(
            path=path, problem=problem.strerror, system="a readable one"
        ) from problem


def _block(system: System, old: bytes, file: Path, chosen: Chosen, settings: Settings) -> list[str]:
    """The lines of our block.

    Options that are not given stay as they are, an empty one is removed.
    """
    unknown = [name for name in chosen if name not in system.options]
    if unknown:
        raise _misuse(f"{system.title} has no ${unknown[0]}")
    pairs = list(system.block(settings))
    fixed = {name for name, _ in pairs}
    inner = b"".join(f"{line}\n".encode() for line in config_block.block_lines(old, str(file)))
    present = [(d.name, d.value) for d in system.dialect.parse(inner) if d.name not in fixed]
    for option, directive in system.options.items():
        if option in chosen:
            pairs += [(directive, value) for value in chosen[option] if value]
        else:
            pairs += [(name, value) for name, value in present if name == directive]
    return [_line(name, value, system) for name, value in pairs]


def _line(name: str, value: str, system: System) -> str:
    text = f"${name} {value}"
    if not re.fullmatch(r"[^\x00-\x1f\x7f#]+", value) or len(text) > system.dialect.longest_line:
        raise _misuse(f"${name} cannot hold {log.one_line(value)!r}")
    return text


def _misuse(problem: str) -> BadArguments:
    usage = "torqueckpt configure torque|openpbs [--mom-priv DIR] [--check|--diff|--apply]"
    return BadArguments(program="torqueckpt configure", problem=problem, usage=usage)


def _problems(
    system: System, file: Path, old: bytes, new: bytes, settings: Settings
) -> list[Finding]:
    """Find problems of the file as it will be; lines are numbered as now, 0 for new ones."""
    ours = config_block.ours(new, str(file))
    before = config_block.ours(old, str(file))

    def line_now(line: int) -> int:
        if line in ours:
            return line if new == old else 0
        return line - len(ours) + len(before) if line >= ours.stop else line

    found = mom_config.check(new, ours, system.dialect, str(file), line_now)
    seen = set()
    for each in system.dialect.parse(new, ours):
        told = None if each.ours else system.against(each.name, each.value, settings)
        if told is not None:
            what, remedy = told
            line = line_now(each.line)
            found.append(in_file(str(file), line, f"${each.name} {each.value}: {what}", remedy))
        script = system.script_of(each.name, each.value) if each.ours else None
        if script is not None and script not in seen:
            seen.add(script)
            line = line_now(each.line)
            found += program_checks.check(
                script, str(file), line, group_matters=system.group_matters
            )
    return found


def _file_itself(file: Path, status: os.stat_result | None) -> list[Finding]:
    if status is None or (status.st_uid == 0 and not status.st_mode & 0o022):
        return []
    reason = "pbs_mom does not read a file that is not root's or that others can write"
    return [in_file(str(file), 0, reason, f"chown root {file}; chmod go-w {file}")]


def _pointer_dir(directory: Path) -> list[Finding]:
    remedy = f"make it root's, 0755: install -d -m 0755 {directory}"
    try:
        status = os.stat(directory)
    except OSError as missing:
        return [in_file(str(directory), 0, f"pointer_dir: {missing.strerror}", remedy, stops=True)]
    if status.st_uid != 0 or status.st_mode & 0o022:
        reason = "pointer_dir is open to others: users could put links in MOM's way"
        return [in_file(str(directory), 0, reason, remedy, stops=True)]
    return []


def _old_checks(directory: Path) -> Iterator[Finding]:
    """Prologue checks of earlier versions, which let jobs through while their server is silent."""
    for name in ("prologue", "torqueckpt-prologue"):
        try:
            with open(directory / name, "rb") as file:
                text = file.read(_LONGEST_PROLOGUE)
        except OSError:
            continue
        if _LETS_THROUGH in text:
            reason = "an earlier check, which lets jobs through while their server is silent"
            remedy = "torqueckpt configure torque --output DIR writes the present one"
            yield in_file(str(directory / name), 0, reason, remedy)


def node_name() -> str:
    """This node's name as the batch system has it, in all likelihood."""
    return os.uname().nodename


def tell_mom(plan: Plan) -> int | None:
    """Have the pbs_mom of this mom_priv read the file again; gives its pid, None when none runs."""
    try:
        text = (plan.mom_priv / "mom.lock").read_bytes()
    except OSError:
        return None
    digits = text.strip(b"\0\n ").decode("ascii", "replace")
    found = proc.stat(int(digits)) if digits.isdigit() and len(digits) < 10 else None
    if found is None or found.ended or found.name != "pbs_mom" or not _works_in(plan, found.pid):
        return None
    return found.pid if signals.send(found.id, signal.SIGHUP) else None


def _works_in(plan: Plan, pid: int) -> bool:
    """Whether the process is the MOM of this home.

    A lock file outlives its MOM, a pid comes again.
    """
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", plan.mom_priv)
    except OSError:
        return False


class System(NamedTuple):
    """One batch system; options maps our option names to its directives."""

    name: str
    title: str
    dialect: Dialect
    options: dict[str, str]
    block: Callable[[Settings], Sequence[tuple[str, str]]]
    script_of: Callable[[str, str], Path | None]
    against: Callable[[str, str, Settings], tuple[str, str] | None]
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
    """TORQUE's mom_priv: in PBS_HOME where that is set, else in its default."""
    return Path(os.environ.get("PBS_HOME", "/var/spool/torque")) / "mom_priv"


def _openpbs_mom_priv() -> Path:
    """OpenPBS's mom_priv: in PBS_HOME, else where its pbs.conf says."""
    home = os.environ.get("PBS_HOME") or pbs_conf().get("PBS_HOME", "/var/spool/pbs")
    return Path(home) / "mom_priv"


def pbs_conf() -> dict[str, str]:
    """What OpenPBS's pbs.conf says; nothing where there is none."""
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
        against=torque.against,
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
        against=openpbs.against,
        mom_priv=_openpbs_mom_priv,
        group_matters=True,
    ),
}


def of_the_running() -> Path | None:
    """The mom_priv of the MOM that runs on this node: its working directory."""
    pid = running("pbs_mom")
    place = Path(proc.cwd(pid)) if pid else Path()
    return place if place.name == "mom_priv" else None


def here(running: Path | None = None) -> list[tuple[System, Path]]:
    """The batch systems on this node, each with its mom_priv; running: that of the running MOM.

    PBS_HOME is one system's alone: OpenPBS's where it has its pbs.conf.
    """
    torque, openpbs = (SYSTEMS[name] for name in ("torque", "openpbs"))
    ours = openpbs if pbs_conf() else torque
    both = torque.mom_priv() == openpbs.mom_priv()
    asked = [(each, each.mom_priv()) for each in ([ours] if both else [torque, openpbs])]
    found = [(each, path.resolve()) for each, path in asked if path.is_dir()]
    if running is not None and running not in [path for _, path in found]:
        found.append((ours, running))
    return found
