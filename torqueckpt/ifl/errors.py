# SPDX-License-Identifier: MIT
"""Errors between this package and a batch server.

A refused request is a PbsError whose class follows the server's number.  The numbers are those of
pbs_error.h; from 15009 on TORQUE (2.5 and later) counts two more than OpenPBS.
"""

from __future__ import annotations

from torqueckpt.errors import TorqueCkptError


class LibraryNotFound(TorqueCkptError):
    message = "no libtorque or libpbs: looked for {looked}; set {variable} to its path"
    exit_code = 90


class LibraryNotLoaded(LibraryNotFound):
    """It could not even be looked for."""

    message = "no libtorque or libpbs: {problem}"


class NotAPbsLibrary(TorqueCkptError):
    message = "{path} is not a PBS library: {problem}"
    exit_code = 91


class SymbolMissing(TorqueCkptError, NotImplementedError, AttributeError):
    """The library lacks a call.

    Also a NotImplementedError, which programs expect for optional calls, and the AttributeError
    that they got from pbs_python, whose module lacked what its library lacks.
    """

    message = "{library} has no {symbol}: this batch system does not offer it"
    exit_code = 92


class PbsError(TorqueCkptError):
    """The server or the library refused; `number` is its PBSE number, `text` its own words."""

    message = "{call}: {text} ({number})"
    exit_code = 93

    def __init__(self, *, call: str, text: str, number: int) -> None:
        self.call, self.text, self.number = call, text, number
        super().__init__(call=call, text=text, number=number)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.call, self.text, self.number)


class CannotConnect(PbsError):
    exit_code = 94


class CallTimedOut(TorqueCkptError):
    """A call took too long; it still blocks in a thread, so the connection cannot be used again."""

    message = "{call}: no answer within {seconds:g} seconds"
    exit_code = 95


class ConnectionClosed(TorqueCkptError):
    message = "the connection to {server} is closed"
    exit_code = 96


class UnknownJob(PbsError):
    pass


class Unclear(PbsError):
    """The server cannot tell whether MOM did what was asked: it may have, or do it yet."""


class JobLost(UnknownJob, Unclear):
    """TORQUE's 15086, "Job not found": it looked for the job while MOM did what was asked.

    Some releases say so each time (TRQ-4388), for a job that is there.
    """


class PermissionDenied(PbsError):
    pass


class BadAttributeValue(PbsError):
    pass


class BadState(PbsError):
    """The job's state does not allow the request: held, ended, not checkpointable…"""


class UnknownQueue(PbsError):
    pass


class UnknownNode(PbsError):
    pass


class CheckpointBusy(PbsError):
    """The MOM is already taking a checkpoint of this job; try again later."""


class MomRejected(PbsError):
    pass


class MomUnreachable(PbsError):
    pass


UNKNOWN_JOB = 15001
_SAME = {UNKNOWN_JOB: UnknownJob, 15007: PermissionDenied}
_OPENPBS: dict[int, type[PbsError]] = {
    15014: BadAttributeValue,
    15016: BadState,
    15018: UnknownQueue,
    15031: Unclear,  # the connection to the server broke before its answer
    15041: MomRejected,
    15047: CheckpointBusy,
    15062: UnknownNode,
    15070: MomUnreachable,
}
_TORQUE = {number + 2: kind for number, kind in _OPENPBS.items()}
_OPENPBS[15139] = UnknownJob  # finished, and in the job history, which only extend "x" looks into
_TORQUE[15086] = JobLost
# MOM took too long, or a connection, the server's to it or ours to the server, broke meanwhile
for _number in (15085, 15097, 15098, 15099):
    _TORQUE[_number] = Unclear
# What is raised though the request may be carried out all the same
UNCLEAR = (Unclear, CallTimedOut)


def error_class(number: int, openpbs: bool) -> type[PbsError]:
    """The class for a PBSE number, PbsError itself for numbers without one."""
    return _SAME.get(number) or (_OPENPBS if openpbs else _TORQUE).get(number, PbsError)


def _rebuild(kind: type[PbsError], call: str, text: str, number: int) -> PbsError:
    return kind(call=call, text=text, number=number)
