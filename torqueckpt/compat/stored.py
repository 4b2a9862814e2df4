# SPDX-License-Identifier: MIT
"""Store what a server sends as PBSQuery does: raw texts (old), or texts cut into lists (new).

Programs depend on these values to the letter, also where they are odd: see `pieces`.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any, Callable

from torqueckpt.ifl.attributes import BatchStatus

Stored = MutableMapping[str, Any]

_KEYED = ("status", "Variable_List")


def pieces(text: str, separator: str) -> list[str]:
    """Cut a text at a separator, but not within parentheses.

    A parenthesis belongs to a piece when something is before it in the piece, and a closing one is
    followed by the separator or the end; otherwise the piece so far is dropped, up to and with the
    parenthesis: "(a,b) c" gives ["a", "b) c"].  Empty pieces vanish;
    a newline at the very end counts as the end, and is a piece of its own after a parenthesis.
    """
    return list(_pieces(text, separator))


def _pieces(text: str, separator: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = start
        while end < len(text) and text[end] not in (separator, "("):
            end += 1
        if end < len(text) and text[end] == "(" and end > start:
            closed = _closed(text, end, separator)
            if closed < 0:
                start = end + 1
                continue
            end = closed
        if end > start:
            yield text[start:end]
        start = end if text[end:] == "\n" else end + 1


def _closed(text: str, opened: int, separator: str) -> int:
    """Where a parenthesis ends for good, before a separator or the end; -1 for nowhere."""
    line_end = text.find("\n", opened)
    closing = text.find(")", opened)
    while closing >= 0 and (line_end < 0 or closing < line_end):
        behind = text[closing + 1 : closing + 3]
        if behind in ("", "\n") or behind[0] == separator:
            return closing + 1
        closing = text.find(")", closing + 1)
    return -1


def store_old(status: BatchStatus, stored: Stored) -> None:
    """Store each attribute as its raw text, under "name" or "name.resource"."""
    for attribute in status.attribs:
        name, resource = str(attribute.name), str(attribute.resource or "")
        stored[f"{name}.{resource}" if resource else name] = attribute.value


def store_new(status: BatchStatus, stored: Stored, nested: Callable[[], Stored]) -> None:
    """Store each attribute as a list, resources in a nested object, status cut by its keys."""
    for attribute in status.attribs:
        name, values = str(attribute.name), pieces(str(attribute.value or ""), ",")
        if name in _KEYED:
            _store_keyed(stored, name, values, nested)
        elif attribute.resource:
            _within(stored, name, nested)[str(attribute.resource)] = values
        else:
            stored[name] = values


def _store_keyed(
    stored: Stored, name: str, values: list[str], nested: Callable[[], Stored]
) -> None:
    for value in values:
        key, *rest = pieces(value, "=") or [""]
        if key == "message" and not rest:
            continue
        if key == "message" and not rest[0].startswith("EVENT:"):
            stored["error"] = rest
        elif key == "message" or key.startswith("EVENT:"):
            if key == "message":
                stored["event"] = nested()
            for event in value.split(":")[1:]:
                event_key, *event_values = event.split("=")
                _within(stored, "event", nested)[event_key] = event_values
        elif key:
            _within(stored, name, nested)[key] = rest


def _within(stored: Stored, name: str, nested: Callable[[], Stored]) -> Stored:
    """Find the nested object of this name, or make it."""
    if not isinstance(stored.get(name), MutableMapping):
        stored[name] = nested()
    inner: Stored = stored[name]
    return inner
