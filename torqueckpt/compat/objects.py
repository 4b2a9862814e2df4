# SPDX-License-Identifier: MIT
"""The objects that PBSQuery gives: jobs, nodes, queues, servers, as dictionaries with methods."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterable, Iterator
from typing import Any


class PBSError(Exception):
    """What PBSQuery raises; its text is `msg`."""

    def __init__(self, msg: str = "") -> None:
        self.msg = msg
        super().__init__(msg)

    def __str__(self) -> str:
        return self.msg

    __repr__ = __str__


class PBSAttributeError(PBSError, AttributeError):
    """An attribute that the object lacks; also an AttributeError, since programs call hasattr()."""


class _PBSobject(UserDict):  # type: ignore[type-arg] # 3.9 cannot subscript it in a pickle
    """A dictionary whose keys are attributes too; `name` is the object's own."""

    TRUE = 1
    FALSE = 0

    def __init__(self, dictin: dict[str, Any] | None = None) -> None:
        self.name: Any = None
        super().__init__(dictin)

    def __getattr__(self, name: str) -> Any:
        # Copying and unpickling ask before there is any data.
        if name == "data" or name.startswith("__"):
            raise AttributeError(name)
        try:
            return self.data[name]
        except KeyError:
            raise PBSAttributeError(f"Attribute key error: {name}") from None

    def __str__(self) -> str:
        return str(self.data)

    def get_value(self, key: str) -> Any:
        return self.data.get(key)

    def return_value(self, key: str) -> Any:
        """The text in the old structure, or the first of the new one's list; None for nothing."""
        value = self.data.get(key)
        return (value[0] if value else None) if isinstance(value, list) else value

    def has_key(self, key: str) -> bool:
        return key in self.data

    def iterkeys(self) -> Iterator[str]:
        return iter(self.data)

    def itervalues(self) -> Iterator[Any]:
        return iter(self.data.values())

    def iteritems(self) -> Iterator[tuple[str, Any]]:
        return iter(self.data.items())

    def uniq(self, list: Iterable[Any]) -> Any:
        """The list with each item once, in order."""
        return [*dict.fromkeys(list)]

    def _text(self, key: str) -> str:
        """The raw text, whatever the structure."""
        value = self.data.get(key) or ""
        return value if isinstance(value, str) else ",".join(value)

    def _is(self, key: str, value: str) -> int:
        return self.TRUE if self.return_value(key) == value else self.FALSE


class job(_PBSobject):
    def is_running(self) -> int:
        return self._is("job_state", "R")

    def get_nodes(self, unique: bool | int | None = None) -> list[str]:
        """List the job's slots as node/slot, or each node once."""
        nodes: list[str] = []
        for place in self._text("exec_host").split("+"):
            node, slash, slots = place.partition("/")
            if unique or not slash:
                nodes += [node] if node and node not in nodes else []
            else:
                nodes += [f"{node}/{slot}" for slot in _slots(slots)]
        return nodes


class node(_PBSobject):
    def is_free(self) -> int:
        return self._is("state", "free")

    def has_job(self) -> int:
        return self.TRUE if self._text("jobs") else self.FALSE

    def get_jobs(self, unique: bool | int | None = None) -> list[str]:
        """List taken slots as slot/job, or each job once."""
        jobs: list[str] = []
        waiting: list[str] = []  # slots whose job comes later in the list: 1,3,7-9/job
        for piece in self._text("jobs").split(","):
            first, slash, second = piece.strip().partition("/")
            if not slash:
                waiting.append(first)
                continue
            # OpenPBS has the job first.
            slots, name = (first, second) if _is_range(first) else (second, first)
            taken = _slots(",".join([*waiting, slots]))
            waiting = []
            jobs += [name] if unique else [f"{slot}/{name}" for slot in taken]
        return [*dict.fromkeys(jobs)] if unique else jobs


class queue(_PBSobject):
    def is_enabled(self) -> int:
        return self._is("enabled", "True")

    def is_execution(self) -> int:
        return self._is("queue_type", "Execution")


class server(_PBSobject):
    def get_version(self) -> Any:
        return self.get_value("pbs_version")


def _is_range(text: str) -> bool:
    first, _, last = text.partition("-")
    return first.isdigit() and (not last or last.isdigit())


def _slots(text: str) -> list[str]:
    """Expand slots: ["1", "3", "7", "8"] for "1,3,7-8"; what is no range stays as it is."""
    slots: list[str] = []
    for piece in filter(None, text.split(",")):
        first, _, last = piece.partition("-")
        if last and _is_range(piece):
            slots += [str(slot) for slot in range(int(first), int(last) + 1)]
        else:
            slots.append(piece)
    return slots
