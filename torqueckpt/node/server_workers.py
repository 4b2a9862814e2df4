# SPDX-License-Identifier: MIT
"""Ask the batch server in processes of their own: one that hangs is left, and the service goes on.

A call of libtorque's cannot be interrupted, and as long as one waits in C no other is made in that
process.  So each request has a forked worker with a connection of its own, which can be killed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, NoReturn

from torqueckpt import errors
from torqueckpt.batch.server import connect
from torqueckpt.errors import TorqueCkptError
from torqueckpt.ifl import Connection
from torqueckpt.ifl import errors as pbs_errors
from torqueckpt.ifl.attributes import Wanted
from torqueckpt.ifl.errors import CallTimedOut, CannotConnect, ConnectionClosed
from torqueckpt.ifl.records import Job, Record
from torqueckpt.ifl.records import Server as ServerStatus
from torqueckpt.process.worker import RootWorker
from torqueckpt.settings import Settings

Objects = Sequence[Record]
Told = list[tuple[str, dict[str, Any]]]

_ANSWER_SECONDS = 30.0
_PATIENCE_SECONDS = 10.0  # for the list of all jobs; a server that was silent is not waited for
_LOOK_SECONDS = 0.05


class _Answer(NamedTuple):
    """What a worker reports: objects by name with their attributes, or an error's kind and facts.

    Both as JSON, for a server tells whatever it likes.
    """

    objects: str = "[]"
    error: str = ""
    openpbs: bool = False
    server: str = ""


class ServerWorkers:
    """A Server that is asked by workers; once silent, all but the list of jobs is refused at once.

    wanted: of which jobs anything is to be known.  meanwhile is called while an answer is waited
    for.
    """

    def __init__(
        self,
        settings: Settings,
        server: str | None,
        wanted: Callable[[Job], bool],
        meanwhile: Callable[[], object],
    ) -> None:
        self._settings, self._named, self._wanted = settings, server, wanted
        self._meanwhile = meanwhile
        self._listing: RootWorker[_Answer] | None = None
        self.is_silent = False
        self.is_openpbs = False
        self.server = server or ""

    def jobs(self, attributes: Iterable[str] = (), *, where: str = "") -> list[Job]:
        """List the wanted jobs; CallTimedOut while there is no answer, which may still come."""
        names = tuple(attributes)
        if self._listing is None:
            self._listing = self._begin(
                lambda pbs: [job for job in pbs.jobs(names, where=where) if self._wanted(job)]
            )
        until = time.monotonic() + (0 if self.is_silent else _PATIENCE_SECONDS)
        while not self._listing.is_over(_LOOK_SECONDS):
            if time.monotonic() >= until:
                self._no_answer("pbs_statjob")
            self._meanwhile()
        worker, self._listing = self._listing, None
        return [Job(*each) for each in self._result(worker, "pbs_statjob")]

    def job(self, job_id: str, attributes: Iterable[str] = (), *, ended: bool = False) -> Job:
        names = tuple(attributes)
        found = self._ask("pbs_statjob", lambda pbs: [pbs.job(job_id, names, ended=ended)])
        return Job(*found[0])

    def server_status(self, attributes: Iterable[str] = ()) -> ServerStatus:
        names = tuple(attributes)
        found = self._ask("pbs_statserver", lambda pbs: [pbs.server_status(names)])
        return ServerStatus(*found[0])

    def alter(self, job_id: str, attributes: Wanted) -> None:
        self._ask("pbs_alterjob", lambda pbs: pbs.alter(job_id, attributes))

    def checkpoint(self, job_id: str) -> None:
        self._ask("pbs_checkpointjob", lambda pbs: pbs.checkpoint(job_id))

    def delete(self, job_id: str) -> None:
        self._ask("pbs_deljob", lambda pbs: pbs.delete(job_id))

    def _ask(self, call: str, request: Callable[[Connection], Objects | None]) -> Told:
        if self.is_silent:
            raise ConnectionClosed(server=self.server or "the server")
        worker = self._begin(request)
        while not worker.is_over(_LOOK_SECONDS):
            self._meanwhile()
        return self._result(worker, call)

    def _begin(self, request: Callable[[Connection], Objects | None]) -> RootWorker[_Answer]:
        def work() -> _Answer:
            try:
                pbs = connect(self._settings, self._named, timeout_seconds=None)
                found = request(pbs)  # nobody waits for the connection's end
            except TorqueCkptError as refusal:
                told = [type(refusal).__name__, refusal.details]
                return _Answer(error=json.dumps(told, default=str))
            return _Answer(json.dumps(found or []), "", pbs.is_openpbs, pbs.server)

        return RootWorker(work, _ANSWER_SECONDS)

    def _result(self, worker: RootWorker[_Answer], call: str) -> Told:
        if worker.is_late:
            worker.stop()
            self._no_answer(call)
        answer = worker.result(_Answer)
        if answer.error:
            failure = _error(*json.loads(answer.error))
            self.is_silent = isinstance(failure, (CannotConnect, ConnectionClosed))
            raise failure
        self.is_silent, self.is_openpbs = False, answer.openpbs
        self.server = answer.server
        told: Told = json.loads(answer.objects)
        return told

    def _no_answer(self, call: str) -> NoReturn:
        self.is_silent = True
        raise CallTimedOut(call=call, seconds=_PATIENCE_SECONDS)


def _error(kind: str, details: dict[str, Any]) -> TorqueCkptError:
    """The error that a worker has met; its class is one of ours."""
    found: type[TorqueCkptError] = getattr(pbs_errors, kind, None) or getattr(errors, kind)
    return found(**details)
