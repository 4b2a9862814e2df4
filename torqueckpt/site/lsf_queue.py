# SPDX-License-Identifier: MIT
"""Configure an LSF queue whose jobs are suspended to disk: lsb.queues, and links.

The file is merged as mom_priv/config is (site/mom.py).  mbatchd is not told: `badmin reconfig` is
the administrator's, unless he asks for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torqueckpt import log, paths, run
from torqueckpt.batch import program_checks
from torqueckpt.batch.lsf import queue_checks, queues
from torqueckpt.batch.lsf.lsf_conf import NAME_IT, Site
from torqueckpt.batch.lsf.queues import Keyword
from torqueckpt.batch.mom_config import in_file
from torqueckpt.errors import BadArguments, ConfigNotWritten, ProgramMissing, QueuesNotRead
from torqueckpt.findings import Finding
from torqueckpt.render import render
from torqueckpt.safe_files import Directory
from torqueckpt.site import config_file
from torqueckpt.site.config_file import PlannedFile, refuse_if_stopped

_USAGE = "torqueckpt configure lsf --queue NAME --chkpnt DIR [--check|--diff|--apply]"

_METHOD = re.compile(r"SUSPEND\[\$LSF_SERVERDIR/echkpnt\.([A-Za-z0-9_-]+) -k\]")

# option → keyword of lsb.queues and what it may say
_WORDS = {
    "chkpnt": ("CHKPNT", r"/[^\s\x00-\x1f\x7f#\\\"'`$]*(?: [1-9][0-9]{0,5})?"),
    "priority": ("PRIORITY", r"[1-9][0-9]{0,8}"),
    "preemption": ("PREEMPTION", r"PREEMPTABLE(?:\[[A-Za-z0-9_ -]+\])?"),
    "window": ("RUN_WINDOW", r"[0-9][0-9:. -]*-[0-9:.]+[0-9:. -]*"),
    "mem": ("MEM", r"[0-9.]+/[0-9.]+"),
}


@dataclass(frozen=True)
class QueuePlan(PlannedFile):
    """What a queue needs.

    links: name in LSF_SERVERDIR → program of ours; serverdir: None if unknown.
    """

    queue: str
    serverdir: Path | None
    links: dict[str, Path]


def plan(
    queue: str,
    lsb_queues: Path | None,
    serverdir: Path | None,
    chosen: Mapping[str, str],
    site: Site,
    *,
    remove: bool = False,
) -> QueuePlan:
    """Plan what would be written; QueuesNotRead, ConfigBlockDamaged, BadArguments.

    chosen: the keys of _WORDS, and method; one that is not given stays as our block has it, an
    empty one goes.
    """
    if not queues.is_name(queue):
        raise _misuse(f"{log.one_line(queue)!r} is no name of a queue")
    file, old, status = _current(lsb_queues or site.queues())
    if remove:
        return QueuePlan(
            file, old, queues.remove(old, queue, str(file)), status, [], queue, None, {}
        )
    admins, present = _keywords(old, queue, file)
    method = _method(chosen, present)
    wanted = _wanted(chosen, present)
    lines = _block(wanted, method)
    new = queues.merge(old, queue, lines, str(file))
    links = {f"{each}.{method}": paths.program("sbin", each) for each in ("echkpnt", "erestart")}
    where = serverdir or site.directory("LSF_SERVERDIR")
    pairs = [(name.upper(), value) for name, _, value in (line.partition(" = ") for line in lines)]
    now = {each.name: each.line for each in present.values()} if old == new else {}
    found = [
        *queue_checks.twice(queues.named(old, queue, str(file)), str(file)),
        *queue_checks.keywords(admins, pairs, str(file)),
        *queue_checks.starter_line(present.get("JOB_STARTER") if old != new else None, str(file)),
        *queue_checks.post_exec_user(site.post_exec_user()),
        *queue_checks.checkpoint_directory(wanted["CHKPNT"], str(file), now.get("CHKPNT", 0)),
        *queue_checks.method(
            wanted["CHKPNT"], method, links, site, str(file), now.get("CHKPNT", 0)
        ),
        *_programs(links, str(file), now),
        *(p for n, t in links.items() for p in queue_checks.link(where, n, t, str(file))),
    ]
    return QueuePlan(file, old, new, status, found, queue, where, links)


def check(plan: QueuePlan) -> list[Finding]:
    """Find all that is not as it should be, such as a missing block."""
    if not plan.changes:
        return plan.problems
    reason = f"torqueckpt's lines of the queue {plan.queue} are not there, or not up to date"
    remedy = f"torqueckpt configure lsf --queue {plan.queue} --apply"
    return [in_file(str(plan.file), 0, reason, remedy), *plan.problems]


def configured(site: Site) -> list[str]:
    """The queues of lsb.queues that have a block of ours; QueuesNotRead."""
    file, data, _ = _current(site.queues())
    found = queues.parse(data, str(file))
    return list(dict.fromkeys(q.name for q in found if queues.ours(data, q, str(file))))


def _current(path: Path) -> tuple[Path, bytes, os.stat_result | None]:
    try:
        file, old, status = config_file.current(path)
    except OSError as problem:
        status, why = None, problem.strerror
    else:
        why = "no such file"
    if status is None:
        raise QueuesNotRead(file=path, problem=why, remedy=NAME_IT)
    return file, old, status


def _keywords(old: bytes, queue: str, file: Path) -> tuple[list[Keyword], dict[str, Keyword]]:
    """The administrator's keywords of the queue, and those of our block by their names."""
    admins, present = [], {}
    for each in queues.named(old, queue, str(file)):
        lines = queues.ours(old, each, str(file))
        admins += [keyword for keyword in each.keywords if keyword.line not in lines]
        present.update({k.name: k for k in each.keywords if k.line in lines})
    return admins, present


def _method(chosen: Mapping[str, str], present: Mapping[str, Keyword]) -> str:
    """The METHOD in the names echkpnt.METHOD and erestart.METHOD that LSF calls.

    INFN's was blcr.
    """
    before = _METHOD.match(present["JOB_CONTROLS"].value) if "JOB_CONTROLS" in present else None
    method = chosen.get("method") or (before.group(1) if before else "blcr")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", method) or method == "default":
        raise _misuse(f"--method {log.one_line(method)!r}: letters, digits, _ and -, not default")
    return method


def _wanted(chosen: Mapping[str, str], present: Mapping[str, Keyword]) -> dict[str, str]:
    """What the site chooses: keyword → value."""
    found = {}
    for option, (keyword, shape) in _WORDS.items():
        before = present[keyword].value if keyword in present else ""
        value = " ".join(chosen.get(option, before).split())
        if value and not re.fullmatch(shape, value):
            raise _misuse(f"{keyword} cannot be {log.one_line(value)!r}")
        if value:
            found[keyword] = value
    if "CHKPNT" not in found:
        raise _misuse("--chkpnt DIR is needed, where LSF keeps a directory for each job")
    start, _, stop = found.get("MEM", "1/0").partition("/")
    if not _number(start) > _number(stop):
        raise _misuse(f"mem = {start}/{stop}: jobs would go on before there is room for them")
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _misuse(f"mem: {text!r} is no number of MB") from None


def _block(wanted: Mapping[str, str], method: str) -> list[str]:
    values: dict[str, object] = {
        "starter": paths.program("sbin", "lsf-jobstarter"),
        "torqueckpt": paths.program("bin", "torqueckpt"),
        "chkpnt": wanted["CHKPNT"],
        "suspend": f"echkpnt.{method}",
        "resume": f"erestart.{method}",
        "further": [
            (n.lower() if n == "MEM" else n, v) for n, v in wanted.items() if n != "CHKPNT"
        ],
    }
    return [line for line in render("lsf/keywords.j2", values).splitlines() if line.strip()]


def _programs(links: Mapping[str, Path], file: str, now: Mapping[str, int]) -> list[Finding]:
    by_keyword = [
        ("JOB_STARTER", paths.program("sbin", "lsf-jobstarter")),
        ("POST_EXEC", paths.program("bin", "torqueckpt")),
        *(("JOB_CONTROLS", program) for program in links.values()),
    ]
    return [
        problem
        for keyword, program in by_keyword
        for problem in program_checks.check(
            program, file, now.get(keyword, 0), group_matters=False, by_users=True
        )
    ]


def _misuse(problem: str) -> BadArguments:
    return BadArguments(program="torqueckpt configure lsf", problem=problem, usage=_USAGE)


def put(plan: QueuePlan) -> tuple[list[Path], Path | None]:
    """Make the links and write the file; gives the links, and where the old file is kept.

    The links come first: jobs of a queue that names programs which are not there cannot be resumed.
    """
    refuse_if_stopped(plan)
    made = _links(plan)
    return made, config_file.put(plan) if plan.changes else None


def _links(plan: QueuePlan) -> list[Path]:
    if plan.serverdir is None:
        return []
    missing = {n: t for n, t in plan.links.items() if not os.path.lexists(plan.serverdir / n)}
    try:
        with Directory.open(plan.serverdir.resolve()) as directory:
            for name, target in missing.items():
                os.symlink(target, name, dir_fd=directory.fd)
    except OSError as problem:
        raise ConfigNotWritten(file=plan.serverdir, problem=problem.strerror) from problem
    return [plan.serverdir / name for name in missing]


def reconfigure(site: Site) -> str:
    """Have mbatchd read its files again; gives what `badmin reconfig` printed.

    Without -f, which not every version knows: it asks only when it has found something wrong, and
    nobody answers then.
    """
    directory = site.directory("LSF_BINDIR")
    if directory is None:
        raise ProgramMissing(program="badmin", problem="LSF_BINDIR is not set")
    argv = [str(directory / "badmin"), "reconfig"]
    done = run.run(argv, timeout_seconds=120, environment=dict(os.environ))
    said = done.output + done.stderr
    if not done.ok:
        words = "; ".join(line.strip() for line in said.splitlines() if line.strip())
        problem = words or f"`reconfig` ended with {done.status}"
        raise ProgramMissing(program=argv[0], problem=problem)
    return said
