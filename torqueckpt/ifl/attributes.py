# SPDX-License-Identifier: MIT
"""Convert attributes and status replies between Python objects and C chains."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Union

Text = Union[str, bytes, None]
Wanted = Mapping[str, Union[str, Mapping[str, str]]]

SET, UNSET, INCR, DECR, EQ, NE, GE, GT, LE, LT, DFLT = range(11)

# libtorque does strcpy(extend, "timeout") when a send fails: what it is given has room for that.
_ROOM = 64


class Attribute:
    """One attrl or attropl: name, resource (None for none), value and, in requests, an operator."""

    __slots__ = ("name", "next", "op", "resource", "value")

    def __init__(
        self, name: Text = "", resource: Text = "", value: Text = "", op: int = SET
    ) -> None:
        self.name = name
        self.resource = resource
        self.value = value
        self.op = op
        self.next: Attribute | None = None

    def __repr__(self) -> str:
        where = f"{self.name!r}" if not self.resource else f"{self.name!r}.{self.resource!r}"
        return f"<{type(self).__name__} {where} = {self.value!r}>"


class BatchStatus:
    """One object of a status reply: its name, its attributes in a list, and a text mostly None."""

    __slots__ = ("attribs", "name", "next", "text")

    def __init__(self) -> None:
        self.name: str | None = ""
        self.attribs: list[Attribute] = []
        self.text: str | None = ""
        self.next: BatchStatus | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, {len(self.attribs)} attributes>"


def attributes_of(wanted: Wanted) -> list[Attribute]:
    """Convert {"Job_Name": "x", "Resource_List": {"walltime": "1:00"}} to a request's list."""
    listed = []
    for name, value in wanted.items():
        pairs = [("", value)] if isinstance(value, str) else list(value.items())
        listed += [Attribute(name, resource, text) for resource, text in pairs]
    return listed


def encoded(text: Text) -> bytes | None:
    """Encode a text for C; bytes of the server's that could not be decoded come back unchanged."""
    raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    if raw is not None and b"\0" in raw:
        raise ValueError(f"a NUL byte in {text!r}: C would read only what is before it")
    return raw


def decoded(ffi: Any, words: Any) -> str | None:
    """Decode a C string; None for NULL."""
    if not words:
        return None
    raw: bytes = ffi.string(words)
    return raw.decode("utf-8", "surrogateescape")


def c_text(ffi: Any, text: Text) -> Any:
    """Allocate a buffer that the library may write into; NULL for None."""
    raw = encoded(text)
    if raw is None:
        return ffi.NULL
    buffer = ffi.new("char[]", max(len(raw) + 1, _ROOM))
    ffi.memmove(buffer, raw, len(raw))
    return buffer


class Chain:
    """A C chain of attrl or attropl for one call; free() it after the call.

    An attribute without a name is left out: sent, it desynchronises the protocol.  Values are
    malloc'd, for OpenPBS's pbs_submit frees some and puts others in their place (paths, depend).
    """

    def __init__(
        self,
        ffi: Any,
        pointer_type: str,
        attributes: Iterable[Attribute],
        strdup: Callable[[bytes], Any],
    ) -> None:
        named = [attribute for attribute in attributes if attribute.name]
        values = [encoded(attribute.value) or b"" for attribute in named]
        self.head = ffi.NULL
        self._names = [os.fsdecode(attribute.name or "").lower() for attribute in named]
        self._links: list[Any] = []
        self._texts: list[Any] = []
        for attribute in reversed(named):
            link = ffi.new(pointer_type)
            texts = c_text(ffi, attribute.name), c_text(ffi, attribute.resource or None)
            link.name, link.resource = texts
            link.op = attribute.op
            link.next = self.head
            self._links.append(link)
            self._texts += texts
            self.head = link
        # Last, when nothing can go wrong any more: this is what must be freed.
        for link, value in zip(self._links, reversed(values)):
            link.value = strdup(value)

    def free(self, release: Callable[[Any], None], but_of: Collection[str] = ()) -> None:
        """Free the values, whoever allocated them in the end, but of these attributes."""
        for link, name in zip(self._links, reversed(self._names)):
            if name not in but_of:
                release(link.value)


def read_statuses(ffi: Any, head: Any) -> list[BatchStatus]:
    """Copy a status reply into Python; the C chain may be freed afterwards."""
    string, read = ffi.string, []
    known: dict[bytes, str] = {}  # the same few names in every object
    status = head
    while status:
        copy = BatchStatus()
        copy.name = decoded(ffi, status.name)
        copy.text = decoded(ffi, status.text)
        add = copy.attribs.append
        link = status.attribs
        # This runs a hundred thousand times for a busy server: no calls that can be avoided.
        while link:
            raw = string(link.name)
            name = known.get(raw)
            if name is None:
                name = known[raw] = raw.decode("utf-8", "surrogateescape")
            words, resource = link.resource, None
            if words:
                raw = string(words)
                resource = known.get(raw)
                if resource is None:
                    resource = known[raw] = raw.decode("utf-8", "surrogateescape")
            words = link.value
            value = string(words).decode("utf-8", "surrogateescape") if words else None
            # No resource is None, never "", so that programs can tell.
            add(Attribute(name, resource or None, value, link.op))
            link = link.next
        read.append(copy)
        status = status.next
    return read
