# SPDX-License-Identifier: MIT
"""A connection to a batch server, with exceptions, time limits and typed answers.

with Connection("server", timeout_seconds=30) as pbs:
    for job in pbs.jobs(attributes=["job_state", "Job_Owner"]):
        print(job.id, job.owner, job.state)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TypeVar

from torqueckpt.ifl.attributes import EQ, SET, Attribute, BatchStatus, Wanted, attributes_of
from torqueckpt.ifl.call import Calls, Outcome, check
from torqueckpt.ifl.errors import UNKNOWN_JOB, CallTimedOut, ConnectionClosed, UnknownJob
from torqueckpt.ifl.library import Library, open_library
from torqueckpt.ifl.records import Job, Node, Queue, Record, Server
from torqueckpt.ifl.timelimit import within

T = TypeVar("T")
R = TypeVar("R", bound=Record)

# pbs_manager's commands and object types, the same numbers in every version
CREATE, DELETE, CHANGE, UNSET = 0, 1, 2, 3
SERVER, QUEUE, JOB, NODE = 0, 1, 2, 3


class Connection:
    """Connects to a server at once; PbsError when it refuses, CallTimedOut after the limit.

    After a time limit the connection is lost: the call still waits in C, and while it does, PBS
    calls on other connections of this process wait too.  One thread at a time.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        timeout_seconds: float | None = None,
        library: Library | None = None,
    ) -> None:
        """Connect; None is the default server, and no limit when timeout_seconds is None."""
        self._library = library or open_library()
        self._calls = Calls(self._library)
        self._timeout_seconds = timeout_seconds
        self.server = server or self._calls.plain_text("pbs_default")
        self._handle: int | None = None
        outcome = within(
            timeout_seconds,
            "pbs_connect",
            lambda: self._calls.connect(server),
            late=lambda opened: self._calls.disconnect(opened.value),
        )
        self._handle = check("pbs_connect", outcome)

    def close(self) -> None:
        """Close the connection; closing again does nothing."""
        handle, self._handle = self._handle, None
        if handle is not None:
            within(self._timeout_seconds, "pbs_disconnect", lambda: self._calls.disconnect(handle))

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def is_openpbs(self) -> bool:
        return self._library.is_openpbs

    # Questions ----------------------------------------------------------------------------------

    def jobs(self, attributes: Iterable[str] = (), *, where: str = "") -> list[Job]:
        """List all jobs, or those of a queue or server, the members of arrays among them.

        `attributes` limits what the server sends.
        """
        extend = "t" if self._library.is_openpbs else None  # without it OpenPBS lists no members
        return self._records(Job, "pbs_statjob", where, _names(attributes), extend)

    def job(self, job_id: str, attributes: Iterable[str] = (), *, ended: bool = False) -> Job:
        """Ask for one job; UnknownJob when the server has none of that id.

        ended: also from OpenPBS's job history, without which it forgets a job at its end.
        """
        extend = "x" if ended and self._library.is_openpbs else None
        found = self._records(Job, "pbs_statjob", job_id, _names(attributes), extend)
        if not found:  # 6.1 may answer so for a moment, while it asks the MOM
            raise UnknownJob(call="pbs_statjob", text=f"no answer for {job_id}", number=UNKNOWN_JOB)
        return found[0]

    def select(self, criteria: Mapping[str, str]) -> list[str]:
        """List the ids of jobs whose attributes equal these."""
        wanted = [Attribute(name, "", value, EQ) for name, value in criteria.items()]
        return self._ask("pbs_selectjob", lambda c: self._calls.job_ids(c, wanted, None))

    def nodes(self, attributes: Iterable[str] = (), *, where: str = "") -> list[Node]:
        """List all nodes, or those that `where` names: a node, or :property on TORQUE."""
        return self._records(Node, "pbs_statnode", where, _names(attributes), None)

    def queues(self, attributes: Iterable[str] = ()) -> list[Queue]:
        return self._records(Queue, "pbs_statque", "", _names(attributes), None)

    def server_status(self, attributes: Iterable[str] = ()) -> Server:
        return self._records(Server, "pbs_statserver", _names(attributes), None)[0]

    def locate(self, job_id: str) -> str:
        """Ask which server has the job now."""
        return self._text("pbs_locjob", job_id, None)

    # Jobs ---------------------------------------------------------------------------------------

    def submit(
        self,
        script: str | None,
        attributes: Wanted | Iterable[Attribute] = (),
        *,
        destination: str | None = None,
    ) -> str:
        """Submit a script, which must be a file; gives the job's id.

        On 6.1 a job without one may hang.
        """
        return self._text("pbs_submit", _attributes(attributes), script, destination, None)

    def alter(self, job_id: str, attributes: Wanted | Iterable[Attribute]) -> None:
        self._do("pbs_alterjob", job_id, _attributes(attributes), None)

    def comment(self, job_id: str, text: str) -> None:
        """Set the job's comment; others' jobs need an operator or manager."""
        self.alter(job_id, {"comment": text})

    def hold(self, job_id: str, hold_type: str = "u") -> None:
        """Hold the job; a running one is checkpointed first, which goes on after this returns."""
        self._do("pbs_holdjob", job_id, hold_type, None)

    def release(self, job_id: str, hold_type: str = "u") -> None:
        self._do("pbs_rlsjob", job_id, hold_type, None)

    def checkpoint(self, job_id: str) -> None:
        """Ask for a checkpoint.

        Returns before it is taken, and without an error even if it then fails.
        """
        self._do("pbs_checkpointjob", job_id, None)

    def signal(self, job_id: str, signal: str) -> None:
        self._do("pbs_sigjob", job_id, signal, None)

    def run(self, job_id: str, where: str | None = None) -> None:
        self._do("pbs_runjob", job_id, where, None)

    def delete(self, job_id: str, extend: str | None = None) -> None:
        self._do("pbs_deljob", job_id, extend)

    def rerun(self, job_id: str, *, force: bool = False) -> None:
        """Put the job back into its queue; TORQUE 6.1, refusing this, closes the connection.

        force: OpenPBS takes it from its MOM, whatever that does with it, and answers at once.
        """
        self._do("pbs_rerunjob", job_id, "force" if force else None)

    def move(self, job_id: str, destination: str) -> None:
        self._do("pbs_movejob", job_id, destination, None)

    # The server, its queues and nodes -----------------------------------------------------------

    def manage(
        self,
        command: int,
        object_type: int,
        name: str,
        attributes: Wanted | Iterable[Attribute] = (),
    ) -> None:
        """Create, delete, change or unset an object.

        Needs a manager (nodes: an operator may set state).
        """
        listed = _attributes(attributes)
        self._do("pbs_manager", command, object_type, name, listed, None)

    def set_node(self, name: str, state: str, note: str | None = None) -> None:
        """Set a node's state as pbsnodes does (offline, free); note: why, as TORQUE has it."""
        key = "comment" if self._library.is_openpbs else "note"
        notes = [Attribute(key, "", note, SET)] if note is not None else []
        self.manage(CHANGE, NODE, name, [Attribute("state", "", state, SET), *notes])

    # The way down -------------------------------------------------------------------------------

    def _do(self, name: str, *arguments: object) -> None:
        self._ask(name, lambda handle: self._calls.number(name, handle, *arguments))

    def _text(self, name: str, *arguments: object) -> str:
        return self._ask(name, lambda handle: self._calls.text(name, handle, *arguments)) or ""

    def _records(self, kind: type[R], name: str, *arguments: object) -> list[R]:
        statuses: list[BatchStatus] = self._ask(
            name, lambda handle: self._calls.status(name, handle, *arguments)
        )
        return [kind.read(status) for status in statuses]

    def _ask(self, name: str, call: Callable[[int], Outcome[T]]) -> T:
        handle = self._handle
        if handle is None:
            raise ConnectionClosed(server=self.server)
        try:
            outcome = within(self._timeout_seconds, name, lambda: call(handle))
        except CallTimedOut:
            self._handle = None
            raise
        return check(name, outcome, self._library.is_openpbs)


def _names(attributes: Iterable[str]) -> list[Attribute]:
    return [Attribute(*name.partition(".")[::2]) for name in attributes]


def _attributes(wanted: Wanted | Iterable[Attribute]) -> list[Attribute]:
    return attributes_of(wanted) if isinstance(wanted, Mapping) else list(wanted)
