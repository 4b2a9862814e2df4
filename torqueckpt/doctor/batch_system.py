# SPDX-License-Identifier: MIT
"""Check the node's batch system: MOM's configuration, the server, who takes due checkpoints."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from torqueckpt import run
from torqueckpt.batch.lsf.lsf_conf import Site
from torqueckpt.batch.server import connect, lets_operate, same_host
from torqueckpt.batch.torque import hold_answers
from torqueckpt.batch.torque import mom_config as torque_config
from torqueckpt.doctor.checks import Check, Node, failure, mom_priv, ok, warning
from torqueckpt.errors import TorqueCkptError
from torqueckpt.findings import Finding
from torqueckpt.ifl.errors import LibraryNotFound, LibraryNotLoaded
from torqueckpt.ifl.records import Server
from torqueckpt.process import proc
from torqueckpt.process.job_processes import running
from torqueckpt.site import lsf_queue, mom

_ANSWER_SECONDS = 10
_ASKED_FOR = ("pbs_version", "managers", "operators", "query_other_jobs")
_SYSTEMCTL = "/usr/bin/systemctl"
_SERVICE = "systemctl enable --now torqueckpt-periodic"


def mom_config(node: Node) -> Iterator[Finding]:
    """Report what `configure --check` does, of each MOM that has its directory here."""
    present = mom_priv()
    if not present:
        yield ok("no mom_priv here: no TORQUE, no OpenPBS")
    for system, place in present:
        plan = mom.plan(system.name, place, {}, node.settings)
        problems = mom.check(plan)
        for each in problems:
            yield failure(f"{each.where}: {each.what}", each.remedy)
        if not problems:
            yield ok(f"{plan.file} is as it should be")
        if not running("pbs_mom"):
            yield warning(f"{plan.file} is here, and no pbs_mom runs", "systemctl start pbs_mom")


def mom_unit(node: Node) -> Iterator[Finding]:
    """Check MOM's systemd unit.

    One that ends all of its processes ends the jobs when MOM is restarted.
    """
    unit = _unit_of(running("pbs_mom"))
    if not unit:
        yield ok("no pbs_mom runs in a unit of systemd's")
        return
    done = run.run([_SYSTEMCTL, "show", "-p", "KillMode", unit], timeout_seconds=_ANSWER_SECONDS)
    mode = done.output.strip().partition("=")[2]
    if mode == "process":
        yield ok(f"{unit}: jobs outlive a restart of pbs_mom")
    else:
        fix = "torqueckpt configure torque --output DIR writes a drop-in; systemctl daemon-reload"
        yield warning(f"{unit}: KillMode={mode}: restarting pbs_mom ends its jobs", fix)


def _unit_of(pid: int) -> str:
    """The systemd unit whose cgroup a process is in; "" for none."""
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""
    found = re.search(r"/([A-Za-z0-9:_.@-]+\.service)(?:/|$)", text, re.MULTILINE)
    return found.group(1) if found else ""


def lsf_queues(node: Node) -> Iterator[Finding]:
    """Report what `configure lsf --check` does, of each queue that has lines of torqueckpt's."""
    site = Site()
    if not site.value("LSB_CONFDIR"):
        yield ok("no lsf.conf here: no LSF, or no host of its daemons")
        return
    names = lsf_queue.configured(site)
    if not names:
        fix = "torqueckpt configure lsf --queue NAME --chkpnt DIR --apply"
        yield warning(f"no queue of {site.queues()} has torqueckpt's lines", fix)
    for name in names:
        problems = lsf_queue.check(lsf_queue.plan(name, None, None, {}, site))
        for each in problems:
            yield failure(f"{each.where}: {each.what}", each.remedy)
        if not problems:
            yield ok(f"{name} is as it should be")


def server(node: Node) -> Iterator[Finding]:
    """Check that the server answers, its version, and what it lets this node's root do."""
    try:
        with connect(node.settings, timeout_seconds=_ANSWER_SECONDS) as pbs:
            answer = pbs.server_status(_ASKED_FOR)
            openpbs = pbs.is_openpbs
    except LibraryNotLoaded as problem:
        told = f"not asked: {problem.details['problem']}"
        yield warning(told, "see the row on Python packages")
        return
    except LibraryNotFound:
        yield ok("no PBS library here: no server to ask")
        return
    except TorqueCkptError as silent:
        fix = "start pbs_server (TORQUE: and trqauthd); server_name or pbs.conf names its host"
        yield warning(str(silent), fix)
        return
    yield ok(f"{answer.name}, {'OpenPBS' if openpbs else 'TORQUE'} {answer.version}")
    yield from _rights(answer, openpbs)
    if not openpbs:
        if hold_answers.unclear(answer.version):
            yield warning(
                hold_answers.WHAT.format(version=f"TORQUE {answer.version}"), hold_answers.REMEDY
            )
        yield from _timer(answer.version)


def _rights(answer: Server, openpbs: bool = False) -> Iterator[Finding]:
    """What the server lets root do; on its own host, everything."""
    if same_host(answer.name, os.uname().nodename):
        return
    if not lets_operate(answer):
        me = f"root@{socket.getfqdn()}"
        fix = f"qmgr -c 'set server operators += {me}'"
        if openpbs:
            yield failure(f"{me} is no operator: jobs that OpenPBS restarts wait for that", fix)
        else:
            yield warning(f"{me} is no operator: a restart that failed is not put on hold", fix)
    if answer.text("query_other_jobs") not in ("True", "true", "1"):
        fix = "qmgr -c 'set server query_other_jobs = true'"
        yield warning("root may not see all jobs: images of ended jobs stay for ever", fix)


def _timer(version: str) -> Iterator[Finding]:
    armed = torque_config.works(version)
    served = _periodic_runs()
    if armed is False and not served:
        told = f"the timer of TORQUE {version} never fires, and `torqueckpt periodic` does not run"
        yield failure(told, _SERVICE)
    elif armed is None and not served:
        yield warning(f"whether TORQUE {version}'s timer fires is not known", _SERVICE)
    elif served:
        yield ok("`torqueckpt periodic` takes what is due and MOM has not taken")
    else:
        yield ok(f"the timer of TORQUE {version} fires")


def _periodic_runs() -> bool:
    for each in proc.everything():
        names = [os.path.basename(word) for word in proc.argv(each.pid)[:4]]
        if any(names[i : i + 2] == ["torqueckpt", "periodic"] for i in range(len(names))):
            return True
    return False


CHECKS = (
    Check("batch system", "MOM's configuration", mom_config),
    Check("batch system", "MOM's unit", mom_unit),
    Check("batch system", "LSF's queues", lsf_queues),
    Check("batch system", "server", server),
)
