# SPDX-License-Identifier: MIT
"""Empty a node: its jobs are held with their images; with a shared store they go on on others.

The node takes no new jobs from the beginning.  A job that cannot be held runs on, untouched.  One
that is held never goes before its resume job is submitted; its image stays in any case.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from torqueckpt import budget, log, paths, run
from torqueckpt.batch import checkpoint_spec
from torqueckpt.batch.server import Afresh
from torqueckpt.batch.torque import hold_answers
from torqueckpt.budget import Budget
from torqueckpt.errors import NeedsRoot, TorqueCkptError
from torqueckpt.identity import Owner, job_id
from torqueckpt.ifl import errors
from torqueckpt.ifl.records import Job
from torqueckpt.process import privileges, system_calls
from torqueckpt.resubmit import hold
from torqueckpt.settings import Settings

ASKED_FOR = (
    *("Job_Owner", "job_state", "exec_host", "Checkpoint", "euser", "Hold_Types", "comment"),
)
HELD, MOVED, RELEASED, LEFT = "held", "moved", "released", "left"
_HOLD = "s"  # an administrator's: the user's own qrls would start it where it is to end
_MARK = "held by torqueckpt drain"  # how its comment begins
_QUIET_SECONDS = 60  # a server that was asked for a hold, and a MOM that does nothing
_UNKNOWN_SECONDS = 10
_SUBMIT_SECONDS = 180
_LOOK_SECONDS = 0.5
_LONGEST = 300  # characters of a reason: the journal is its owner's


class Drained(NamedTuple):
    """What became of a job; its fields are those of --json.

    outcome: held, with its image; moved, as a new job; released, by undo; left, as it was.  what
    says why, or which job it is now.
    """

    job: str
    owner: str
    outcome: str
    what: str


def drain(node: str, settings: Settings, server: Afresh) -> list[Drained]:
    """Drain the node; gives a row for each job that ran there, also when it is interrupted."""
    _refuse_users()
    began = int(time.time())
    server.set_node(node, "offline", "torqueckpt drain")
    rows: list[Drained] = []
    asked: list[_Asked] = []
    by_user = hold_answers.unclear(server.version())

    def left(job: Job, why: str) -> None:
        rows.append(Drained(job.id, job.owner, LEFT, why))

    for job in _running_on(node, server):
        try:
            why = _cannot(job)
            if why:
                left(job, why)
                continue
            if by_user:
                rows.append(_held_by_its_user(job, node, settings, server))
                continue
            waited_for = _Asked(job, began, settings, server)
            with suppress(errors.UnknownJob, errors.CallTimedOut):  # 6.1's, to one it carries out
                server.hold(job.id, _HOLD)
            asked.append(waited_for)
        except Exception as refusal:  # whatever this job's owner, or the server, has to say
            left(job, budget.words(refusal))
    try:
        _wait_for(asked, rows, node, settings, server)
    except KeyboardInterrupt:
        for each in asked:
            with suppress(TorqueCkptError):
                server.comment(each.job.id, _comment(node))  # by which undo() knows it
            left(each.job, "its hold was asked for and goes on, not waited for: see qstat")
    return rows


def _wait_for(
    asked: list[_Asked], rows: list[Drained], node: str, settings: Settings, server: Afresh
) -> None:
    """Wait until it is known of each what became of it; then it is a row, and asked for no more."""
    while asked:
        for each in list(asked):
            try:
                outcome = each.outcome()
                if outcome is None:
                    continue
                if outcome:
                    rows.append(Drained(each.job.id, each.job.owner, LEFT, outcome))
                else:
                    rows.append(_go_on(each.job, node, settings, server))
            except Exception as failure:
                _let_go(each.job, server)
                rows.append(Drained(each.job.id, each.job.owner, LEFT, budget.words(failure)))
            asked.remove(each)
        if asked:
            time.sleep(_LOOK_SECONDS)


def undo(node: str, server: Afresh) -> list[Drained]:
    """Undo a drain: the node takes jobs again, and those that are held there go on."""
    _refuse_users()
    server.set_node(node, "free", "")
    rows = []
    for job in server.jobs(ASKED_FOR):
        if job.is_held and job.comment == _comment(node):
            try:
                server.release(job.id, job.hold_types or _HOLD)
                rows.append(Drained(job.id, job.owner, RELEASED, "to be restarted from its image"))
            except TorqueCkptError as refusal:
                rows.append(Drained(job.id, job.owner, LEFT, str(refusal)))
    return rows


def _refuse_users() -> None:
    if os.getuid() != 0:
        raise NeedsRoot(what="drain", remedy="run it as root, who is an operator of the server")


def _running_on(node: str, server: Afresh) -> Iterator[Job]:
    short = node.partition(".")[0]
    for job in server.jobs(ASKED_FOR):
        if job.runs and short in (host.partition(".")[0] for host in job.hosts):
            yield job


def _cannot(job: Job) -> str:
    """Why a job is not tried at all; "" when it is."""
    if len(job.hosts) > 1:
        return f"runs on {len(job.hosts)} nodes"
    if "[" in job.id and not job.checkpoint:
        return "OpenPBS holds no member of an array"
    try:
        spec = checkpoint_spec.parse(job.checkpoint or "u")
    except TorqueCkptError as odd:
        return str(odd)
    return "" if spec.checkpointable else f"not checkpointable: -c {spec.text}"


class _Asked:
    """A job whose hold was asked for; all are waited for together, each until a limit."""

    def __init__(self, job: Job, since: int, settings: Settings, server: Afresh) -> None:
        self.job = job
        self._since, self._settings, self._server = since, settings, server
        self._owner = privileges.owner(job.user)
        self._known = time.monotonic()
        self._limit = settings.lock_timeout_seconds + settings.dump_timeout_seconds + _QUIET_SECONDS
        self._until, self._quiet_until = self._known + self._limit, self._known + _QUIET_SECONDS

    def outcome(self) -> str | None:
        """Look once: "" when its image is safe and it is held, else why not; None: not yet."""
        job, server = self.job, self._server
        try:
            now, self._known = server.job(job.id, ["job_state", "comment"]), time.monotonic()
        except TorqueCkptError:  # 6.1 knows no such job for a moment, while it asks the MOM
            now = Job(job.id, {})
        gone = now.has_ended or time.monotonic() > self._known + _UNKNOWN_SECONDS
        noted, busy = _noted(job, self._owner, self._since, self._settings)
        if (gone or now.is_exiting) and noted.get("ended") is not True:
            return "it ended meanwhile"
        if gone:
            return f"ended by its server, with an image: torqueckpt resume-job {job.id}"
        if now.is_held:
            return ""
        if noted.get("event") == "checkpoint-failed":
            _let_go(job, server)
            return str(noted.get("reason", "its checkpoint failed"))[:_LONGEST]
        failed = now.runs and now.comment != job.comment  # MOM makes a comment of that
        if failed and not busy and noted.get("ended") is not True:
            _let_go(job, server)
            return now.comment
        if not busy and not noted and time.monotonic() > self._quiet_until:
            _let_go(job, server)
            return "its MOM takes no checkpoint"
        if time.monotonic() > self._until:
            _let_go(job, server)
            return f"not held within {self._limit} s"
        return None


def _noted(
    job: Job, owner: Owner, since: int, settings: Settings
) -> tuple[dict[str, object], bool]:
    """What hold.noted() finds, within the owner's budget; nothing where he makes that fail."""
    found = dict[str, object](), False
    with Budget(owner.name, budget.ROUND).part(log.warning):
        found = hold.noted(job, owner, since, settings)
    return found


def _let_go(job: Job, server: Afresh) -> None:
    """Release the hold of a job that runs on: it would take effect at the job's next start."""
    try:
        server.release(job.id, _HOLD)
    except TorqueCkptError:  # MOM has taken it back already
        return


def _go_on(job: Job, node: str, settings: Settings, server: Afresh) -> Drained:
    """Where the store is shared, resubmit the job as a new one.

    TORQUE ties a held one to its node.
    """
    try:
        server.comment(job.id, _comment(node))
    except TorqueCkptError as refusal:
        return Drained(job.id, job.owner, HELD, f"release it with qrls -h {_HOLD}: {refusal}")
    if not settings.store_shared:
        return Drained(
            job.id, job.owner, HELD, f"torqueckpt drain --node {node} --undo releases it"
        )
    new, problem = _resubmitted(job)
    if problem:
        return Drained(job.id, job.owner, HELD, f"not submitted elsewhere: {problem}")
    try:
        server.delete(job.id)
    except TorqueCkptError as refusal:
        return Drained(job.id, job.owner, MOVED, f"{new}; the held one stays: {refusal}")
    return Drained(job.id, job.owner, MOVED, new)


def _held_by_its_user(job: Job, node: str, settings: Settings, server: Afresh) -> Drained:
    """Hold it without its server's hold, which would start it again here; a new job goes on."""
    new, problem = _as_its_user(job, "hold", job_id(job.id))
    if problem:
        return Drained(job.id, job.owner, LEFT, problem[:_LONGEST])
    server.comment(new, _comment(node))
    if settings.store_shared:
        server.release(new)
        return Drained(job.id, job.owner, MOVED, new)
    told = f"as {new}; torqueckpt drain --node {node} --undo releases it"
    return Drained(job.id, job.owner, HELD, told)


def _resubmitted(job: Job) -> tuple[str, str]:
    """Have the job's user submit its resume job; gives its id, or why there is none."""
    return _as_its_user(job, "resume-job", job_id(job.id), "--submit")


def _as_its_user(job: Job, *words: str) -> tuple[str, str]:
    """Call torqueckpt as the job's user; gives the job's id that it prints, or why there is none.

    He gets no terminal of ours, and of the environment what tells where qsub and the server are.
    """
    owner = privileges.owner(job.user)
    kept = ("PATH", "PBS_CONF_FILE", "PBS_DEFAULT")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    argv = [str(paths.program("bin", "torqueckpt")), *words]
    done = run.run(
        privileges.as_owner_argv(owner, (), argv),
        timeout_seconds=_SUBMIT_SECONDS,
        environment={**environment, "USER": owner.name, "LOGNAME": owner.name},
        in_child=system_calls.join_new_session_keyring,
        alone=True,
    )
    try:
        return (
            (job_id(done.output.strip()), "")
            if done.ok
            else ("", done.last_line() or "qsub failed")
        )
    except TorqueCkptError as odd:
        return "", str(odd)


def _comment(node: str) -> str:
    return f"{_MARK} of {node}"
