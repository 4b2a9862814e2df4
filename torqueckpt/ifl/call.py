# SPDX-License-Identifier: MIT
"""Call C functions: convert, lock, call, read the error, copy the answer, free what is ours.

pbs_errno is one variable for the whole process, so every call holds one lock until its number and
message are read.  cffi releases the GIL meanwhile: other Python threads run, other PBS calls wait.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Optional, TypeVar

from torqueckpt.ifl.attributes import (
    Attribute,
    BatchStatus,
    Chain,
    c_text,
    decoded,
    read_statuses,
)
from torqueckpt.ifl.errors import CannotConnect, error_class
from torqueckpt.ifl.library import Library

T = TypeVar("T")

# Their values OpenPBS's pbs_alterjob frees, and leaves the caller's chain with the pointers.
_FREED_BY_OPENPBS = ("depend", "error_path", "output_path")
INVALID_REQUEST = 15004  # PBSE_IVALREQ, the same number everywhere


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """A call's result: its value, and the PBSE number and text when it failed (else 0, "")."""

    value: T
    number: int = 0
    text: str = ""


@dataclass(frozen=True)
class _Shape(Generic[T]):
    """How a kind of C result is read, and how a failure shows."""

    take: Callable[[Any], T]
    failed: Callable[[Any], bool]
    refused: Callable[[int], T]


def check(call: str, outcome: Outcome[T], openpbs: bool = False) -> T:
    """The value of a successful call; PbsError or a subclass for a failed one."""
    if outcome.number == 0:
        return outcome.value
    kind = CannotConnect if call == "pbs_connect" else error_class(outcome.number, openpbs)
    raise kind(call=call, text=outcome.text or "no text", number=outcome.number)


class Calls:
    """The calls of one library, and the connections that it has open.

    6.1 crashes on a handle that is not open; such a handle is refused here, before C sees it.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self._open: set[int] = set()
        self._said: dict[int, tuple[int, str]] = {}

    def connect(self, server: object) -> Outcome[int]:
        """Connect; gives the handle, > 0, or what pbs_connect returned.

        None is the default server.
        """
        function = self.library.function("pbs_connect")
        with self._converted(function, (server,), skip=0) as (name,), _lock:
            self.library.pbs_errno = 0
            handle = int(function(name))
            if handle > 0 or (handle == 0 and self.library.is_openpbs):
                self._open.add(handle)
                return Outcome(handle)
            # TORQUE 4 and later return minus the number, the others -1 and set pbs_errno.
            number = -handle if handle < -1 else self.library.pbs_errno
            number = number or INVALID_REQUEST
            return Outcome(handle or -1, number, self.library.error_text(number))

    def disconnect(self, handle: int) -> Outcome[int]:
        return self.number("pbs_disconnect", handle)

    def number(self, name: str, handle: int, *arguments: object) -> Outcome[int]:
        """Make a call that returns 0 or an error number."""
        return self._call(name, handle, arguments, _Shape(int, bool, int))

    def text(self, name: str, handle: int, *arguments: object) -> Outcome[str | None]:
        """Make a call that returns a text which the caller must free: a job id, a location."""

        def take(words: Any) -> str | None:
            try:
                return decoded(self.library.ffi, words)
            finally:
                self.library.free(words)

        shape = _Shape[Optional[str]](take, lambda words: not words, lambda _number: None)
        return self._call(name, handle, arguments, shape)

    def status(self, name: str, handle: int, *arguments: object) -> Outcome[list[BatchStatus]]:
        """Make a pbs_stat… call; without objects and without an error it gives an empty list."""

        def take(head: Any) -> list[BatchStatus]:
            try:
                return read_statuses(self.library.ffi, head)
            finally:
                if head:
                    self.library.lib.pbs_statfree(head)

        shape = _Shape[list[BatchStatus]](take, self._null_with_error, lambda _number: [])
        return self._call(name, handle, arguments, shape)

    def job_ids(self, handle: int, criteria: object, extend: object) -> Outcome[list[str]]:
        """Call pbs_selectjob, which returns one block with the pointers and the ids."""

        def take(block: Any) -> list[str]:
            ids: list[str] = []
            try:
                while block and block[len(ids)]:
                    ids.append(decoded(self.library.ffi, block[len(ids)]) or "")
            finally:
                self.library.free(block)
            return ids

        shape = _Shape[list[str]](take, self._null_with_error, lambda _number: [])
        return self._call("pbs_selectjob", handle, (criteria, extend), shape)

    def message(self, handle: int) -> str | None:
        """Call pbs_geterrmsg: the server's last words on this connection."""
        with _lock:
            return self._message(handle) if handle in self._open else None

    def plain_text(self, name: str) -> str:
        """Make a call without a connection that returns a text of the library's: pbs_default…"""
        function = self.library.function(name)
        with _lock:
            return decoded(self.library.ffi, function()) or ""

    def _call(
        self, name: str, handle: int, arguments: tuple[object, ...], shape: _Shape[T]
    ) -> Outcome[T]:
        function, arguments = self._adapted(name, arguments)
        alters = name == "pbs_alterjob" and self.library.is_openpbs
        freed = _FREED_BY_OPENPBS if alters else ()
        with self._converted(function, arguments, skip=1, freed=freed) as converted, _lock:
            if handle not in self._open:
                closed = f"connection {handle} is not open"
                return Outcome(shape.refused(INVALID_REQUEST), INVALID_REQUEST, closed)
            if name == "pbs_disconnect":
                # Before the library gives the number to another thread's connection
                self._open.discard(handle)
                self._said.pop(handle, None)
            self.library.pbs_errno = 0
            result = function(handle, *converted)
            if not shape.failed(result):
                return Outcome(shape.take(result))
            number = self.library.pbs_errno
            if not number and isinstance(result, int):
                number = abs(result)
            number, words = number or INVALID_REQUEST, ""
            if name == "pbs_submit":
                # What libpbs refuses by itself it calls a system error, in words of earlier errors.
                checked, words = self.library.attribute_in_error(handle)
                number = checked or number
            return Outcome(shape.refused(number), number, words or self._explained(handle, number))

    def _adapted(self, name: str, arguments: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """Adapt a function and its arguments to OpenPBS where that differs from TORQUE."""
        if self.library.is_openpbs and name == "pbs_selstat":
            criteria, extend = arguments
            function = self.library.reshaped(name, "selstat_with_wanted")
            return function, (criteria, None, extend)
        if self.library.is_openpbs and name == "pbs_statnode":
            node, wanted, extend = arguments
            # libpbs groups nodes by their host, and finds none without this attribute.
            if wanted and all(attribute.name != "resources_available" for attribute in wanted):
                arguments = (node, [*wanted, Attribute("resources_available")], extend)
        return self.library.function(name), arguments

    @contextmanager
    def _converted(
        self,
        function: Any,
        arguments: tuple[object, ...],
        skip: int,
        freed: Collection[str] = (),
    ) -> Iterator[list[Any]]:
        """Arguments as the C declaration asks for them, alive until the call has ended."""
        ffi = self.library.ffi
        values: list[Any] = []
        chains: list[Chain] = []
        argument: Any
        try:
            for argument, kind in zip(arguments, ffi.typeof(function).args[skip:]):
                if kind.cname == "char *":
                    values.append(c_text(ffi, argument))
                elif kind.kind == "pointer":
                    chain = Chain(ffi, kind.cname, argument or (), self.library.strdup)
                    chains.append(chain)
                    values.append(chain.head)
                else:
                    values.append(argument)
            yield values
        finally:
            for chain in chains:
                chain.free(self.library.free, but_of=freed)

    def _null_with_error(self, result: Any) -> bool:
        return not result and self.library.pbs_errno != 0

    def _explained(self, handle: int, number: int) -> str:
        """The server's words on a failure, else the library's.

        A client's failure leaves old words.
        """
        said = (self._message(handle) if handle in self._open else None) or ""
        stale = self._said.get(handle, (number, ""))
        if not said or (said == stale[1] and number != stale[0]):
            return self.library.error_text(number)
        self._said[handle] = (number, said)
        return said

    def _message(self, handle: int) -> str | None:
        """Read the message: a copy since TORQUE 4.2, the library's own text before.

        Two calls tell which.
        """
        if not self.library.has("pbs_geterrmsg"):
            return None
        geterrmsg = self.library.function("pbs_geterrmsg")
        first, second = geterrmsg(handle), geterrmsg(handle)
        said = decoded(self.library.ffi, first)
        if first != second:
            self.library.free(first)
            self.library.free(second)
        return said.strip() if said else None


_lock = threading.Lock()


def _renew_lock() -> None:
    """Make a new lock in a forked child: whoever held the old one is not there to release it."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
