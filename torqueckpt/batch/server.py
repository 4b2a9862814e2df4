# SPDX-License-Identifier: MIT
"""Connect to the batch server from a node, with the library that the settings name."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from torqueckpt import ifl, log
from torqueckpt.ifl import errors
from torqueckpt.ifl.attributes import Wanted
from torqueckpt.ifl.errors import CallTimedOut, LibraryNotLoaded
from torqueckpt.ifl.records import Job
from torqueckpt.ifl.records import Server as ServerStatus
from torqueckpt.settings import Settings

T = TypeVar("T")

_ANSWER_SECONDS = 30


def connect(
    settings: Settings, server: str | None = None, timeout_seconds: int | None = 60
) -> ifl.Connection:
    """Inside, a connection to the server is open; None is the default server.

    The errors are torqueckpt.ifl's and no others: LibraryNotFound, also where cffi is missing,
    CannotConnect…
    """
    named = settings.pbs_library
    try:
        library = None if named == Path("/") else ifl.Library(str(named))
        return ifl.Connection(server, timeout_seconds=timeout_seconds, library=library)
    except ImportError as missing:  # not on every node
        raise LibraryNotLoaded(problem="cffi is missing") from missing
    except OSError as problem:  # pbs-config, which tells where the library is, cannot be run
        raise LibraryNotLoaded(problem=problem) from problem


class Server(Protocol):
    """What is asked of a batch server, over one connection; torqueckpt.ifl.Connection has it."""

    server: str

    @property
    def is_openpbs(self) -> bool: ...

    def jobs(self, attributes: Iterable[str] = (), *, where: str = "") -> list[Job]: ...

    def job(self, job_id: str, attributes: Iterable[str] = (), *, ended: bool = False) -> Job: ...

    def server_status(self, attributes: Iterable[str] = ()) -> ServerStatus: ...

    def alter(self, job_id: str, attributes: Wanted) -> None: ...

    def checkpoint(self, job_id: str) -> None: ...

    def delete(self, job_id: str) -> None: ...


class Afresh:
    """Speaks to the server over a connection of its own for each request: what drain asks.

    After it has refused something, or is slow to, 6.1's server may leave a connection unanswered
    for minutes: nothing else is to wait for that, nor for the end of the connection.
    """

    def __init__(self, settings: Settings, server: str | None = None) -> None:
        self._settings, self._server = settings, server

    def jobs(self, attributes: Iterable[str] = (), *, where: str = "") -> list[Job]:
        return self._ask(lambda pbs: pbs.jobs(attributes, where=where))

    def job(self, job_id: str, attributes: Iterable[str] = (), *, ended: bool = False) -> Job:
        return self._ask(lambda pbs: pbs.job(job_id, attributes, ended=ended))

    def version(self) -> str:
        return self._ask(lambda pbs: pbs.server_status(["pbs_version"]).version)

    def job_runs(self, job_id: str) -> bool:
        """Whether the job is there, with processes."""
        try:
            found = self.job(job_id, ["job_state"])
        except errors.UnknownJob:
            return False
        return found.runs or found.is_exiting

    def checkpoint(self, job_id: str) -> None:
        self._ask(lambda pbs: pbs.checkpoint(job_id))

    def signal(self, job_id: str, signal: str) -> None:
        self._ask(lambda pbs: pbs.signal(job_id, signal))

    def hold(self, job_id: str, hold_type: str = "u") -> None:
        self._ask(lambda pbs: pbs.hold(job_id, hold_type))

    def release(self, job_id: str, hold_type: str = "u") -> None:
        self._ask(lambda pbs: pbs.release(job_id, hold_type))

    def alter(self, job_id: str, attributes: Wanted) -> None:
        self._ask(lambda pbs: pbs.alter(job_id, attributes))

    def rerun(self, job_id: str, *, force: bool = False) -> None:
        self._ask(lambda pbs: pbs.rerun(job_id, force=force))

    def delete(self, job_id: str) -> None:
        self._ask(lambda pbs: pbs.delete(job_id))

    def comment(self, job_id: str, text: str) -> None:
        self._ask(lambda pbs: pbs.comment(job_id, text))

    def set_node(self, name: str, state: str, note: str | None = None) -> None:
        self._ask(lambda pbs: pbs.set_node(name, state, note))

    def _ask(self, request: Callable[[ifl.Connection], T]) -> T:
        pbs = connect(self._settings, self._server, timeout_seconds=_ANSWER_SECONDS)
        try:
            return request(pbs)
        finally:
            try:
                pbs.close()
            except CallTimedOut as silent:
                log.info(str(silent))


def lets_operate(answer: ServerStatus) -> bool:
    """Whether this node's root is an operator of the server: on its own host root may everything.

    answer: with its attributes managers and operators.
    """
    host = os.uname().nodename
    if same_host(answer.name, host):
        return True
    allowed = f"{answer.text('managers')},{answer.text('operators')}".split(",")
    mine = {f"root@{socket.getfqdn()}", f"root@{host}", "root@*"}
    return bool(mine & {each.strip() for each in allowed})


def server_says_ended(server: Server, job: str) -> bool:
    """Whether a job's own server says that it has ended.

    Any other server does not know it either.
    """
    if not same_host(server_of(job), server.server):
        return False
    try:
        return server.job(job, ["job_state"], ended=True).has_ended
    except errors.UnknownJob:
        return True


def can_alter(server: Server, job: Job) -> bool:
    """Whether a waiting job has attributes of its own: a member of OpenPBS's has its array's."""
    return not (server.is_openpbs and "[" in job.id and "[]" not in job.id)


def server_of(job: str) -> str:
    return job.partition(".")[2]


def same_host(one: str, other: str) -> bool:
    """Whether two host names are equal, or one is the short form of the other."""
    one, other = one.partition(":")[0].lower(), other.partition(":")[0].lower()
    shorter, longer = sorted((one, other), key=len)
    return bool(shorter) and (longer == shorter or longer.startswith(f"{shorter}."))
