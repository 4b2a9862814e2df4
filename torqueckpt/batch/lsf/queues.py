# SPDX-License-Identifier: MIT
"""Read lsb.queues as LSF's daemon does, and put our marked block into a queue's section.

A `#` begins a comment wherever it stands, also inside quotes.  A line goes on in the next one when
a backslash is its very last character; before a CR it is not.  Names of sections and keywords are
the same in capitals and small letters.  Of two lines with one keyword the later one counts, of two
sections with one QUEUE_NAME the first.  What we write is what every daemon reads alike: no `#`, no
backslash, a line for each keyword.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from torqueckpt.batch import config_block
from torqueckpt.errors import QueuesNotRead
from torqueckpt.render import render

_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")

_LINE = re.compile(rb"[^\n]*\n|[^\n]+")

_BLANKS = re.compile(r"[ \t\r\n\v\f]+")

_CONDITION = re.compile(r"\s*#(if|elif|else|endif)\b", re.IGNORECASE)


Branch = tuple[tuple[int, int], ...]  # (which #if of the file, which of its branches), outer first


_MADE = "# torqueckpt made this queue; what you write into it outside of the marks stays"

_JOINED = " (joined)"  # the newline that the line above lacked is ours


class Keyword(NamedTuple):
    """A line `NAME = value`; name in capitals, line is its first one."""

    line: int
    name: str
    value: str
    branch: Branch


class Queue(NamedTuple):
    """A Queue section; begin and end are the numbers of its first and last line.

    data[outer[0]:outer[1]] is all of it, data[inner[0]:inner[1]] what stands between these two
    lines.
    """

    begin: int
    end: int
    outer: tuple[int, int]
    inner: tuple[int, int]
    branch: Branch
    keywords: tuple[Keyword, ...]

    @property
    def name(self) -> str:
        return next((k.value for k in reversed(self.keywords) if k.name == "QUEUE_NAME"), "")


class _Line(NamedTuple):
    """One line as the daemon sees it, made of one or more of the file's."""

    number: int
    text: str
    start: int
    stop: int
    branch: Branch


def parse(data: bytes, file: str) -> list[Queue]:
    """Find all queues; QueuesNotRead names the line where sections or conditions do not match."""
    found: list[Queue] = []
    opened: tuple[_Line, str] | None = None
    keywords: list[Keyword] = []
    for line in _lines(data, file):
        words = _words(line.text)
        first = words[0].lower() if words else ""
        section = words[1].lower() if len(words) > 1 else ""
        if first == "begin" and "=" not in line.text:
            if opened is not None:
                raise _odd(file, line.number, f"line {opened[0].number} begins what has not ended")
            opened, keywords = (line, section), []
        elif first == "end" and "=" not in line.text:
            if opened is None or section != opened[1]:
                raise _odd(file, line.number, f"End {section} ends nothing that began")
            if section == "queue":
                found.append(_queue(opened[0], line, keywords, file))
            opened = None
        elif opened is not None:
            keywords += _keyword(line)
    if opened is not None:
        raise _odd(file, opened[0].number, "a section begins that has no end")
    return found


def together(one: Branch, other: Branch) -> bool:
    """Whether two sections may hold at one time: they are not in two branches of one #if."""
    arms = dict(one)
    return all(arms.get(number, arm) == arm for number, arm in other)


def is_name(text: str) -> bool:
    """Whether a queue may have this name; `default` is LSF's own."""
    return _NAME.fullmatch(text) is not None and text != "default"


def _keyword(line: _Line) -> Iterator[Keyword]:
    name, sign, value = line.text.partition("=")
    if sign:
        shown = " ".join(_words(value)).encode("ascii", "surrogateescape")
        told = shown.decode("utf-8", "backslashreplace")
        yield Keyword(line.number, "".join(_words(name)).upper(), told, line.branch)


def _queue(begin: _Line, end: _Line, keywords: list[Keyword], file: str) -> Queue:
    if begin.branch != end.branch:
        raise _odd(file, end.number, f"an #if parts it from its beginning in line {begin.number}")
    outer, inner = (begin.start, end.stop), (begin.stop, end.start)
    return Queue(begin.number, end.number, outer, inner, begin.branch, tuple(keywords))


def _lines(data: bytes, file: str) -> Iterator[_Line]:
    """The lines that are no comments, with continued ones joined."""
    conditions: list[tuple[int, int]] = []
    count = offset = 0
    parts: list[str] = []
    begun = (0, 0)
    for number, raw in enumerate(_LINE.findall(data), 1):
        start, offset = offset, offset + len(raw)
        # bytes that are no ASCII become what is no blank
        whole = raw.decode("ascii", "surrogateescape").removesuffix("\n")
        if not parts:
            begun = (number, start)
            met = _CONDITION.match(whole)
            if met:
                count = _condition(met.group(1).lower(), conditions, count, file, number)
        text, comment, _ = whole.partition("#")
        if text.endswith("\\") and not comment:
            parts.append(text[:-1])
            continue
        yield _Line(begun[0], "".join([*parts, text]), begun[1], offset, tuple(conditions))
        parts = []
    if conditions:
        raise _odd(file, data.count(b"\n") + 1, "an #if has no #endif")
    if parts:
        raise _odd(file, begun[0], "its backslash goes on behind the end of the file")


def _words(text: str) -> list[str]:
    return [word for word in _BLANKS.split(text) if word]


def _condition(
    word: str, conditions: list[tuple[int, int]], count: int, file: str, line: int
) -> int:
    """Follow #if and its like; gives how many #if there were so far."""
    if word == "if":
        conditions.append((count, 0))
        return count + 1
    if not conditions:
        raise _odd(file, line, f"#{word} without an #if")
    which, arm = conditions.pop()
    if word != "endif":
        conditions.append((which, arm + 1))
    return count


def _odd(file: str, line: int, problem: str) -> QueuesNotRead:
    return QueuesNotRead(file=f"{file}:{line}", problem=problem, remedy="mend it by hand first")


def named(data: bytes, name: str, file: str) -> list[Queue]:
    """The sections of a queue: several where the branches of an #if each have one."""
    return [queue for queue in parse(data, file) if queue.name == name]


def merge(data: bytes, name: str, lines: list[str], file: str) -> bytes:
    """Put our block into every section of the queue, or into a new section at the file's end."""
    found = named(data, name, file)
    for queue in reversed(found):
        block = config_block.merge(_inside(data, queue), lines, file, queue.begin + 1)
        data = _replaced(data, queue, block)
    if not found:
        joined = bool(data) and not data.endswith(b"\n")
        made = _MADE + (_JOINED if joined else "")
        section = render("lsf/queue.j2", {"made": made, "name": name}).encode()
        data = merge(data + b"\n" * joined + section, name, lines, file)
    for queue in named(data, name, file):
        inside = {f"{k.name} = {k.value}" for k in queue.keywords}
        lost = [line for line in lines if _read(line) not in inside]
        if lost:
            problem = f"{lost[0]!r} would not be read as a line of the queue {name}"
            raise QueuesNotRead(file=f"{file}:{queue.begin}", problem=problem, remedy="mend it")
    return data


def remove(data: bytes, name: str, file: str) -> bytes:
    """Remove our block, and a section that we made, unless somebody has written into it."""
    for queue in reversed(named(data, name, file)):
        inside = config_block.remove(_inside(data, queue), file, queue.begin + 1)
        data = _replaced(data, queue, inside)
        start, stop = queue.outer[0], queue.inner[0] + len(inside) + queue.outer[1] - queue.inner[1]
        for joined in ("", _JOINED):
            values = {"made": _MADE + joined, "name": name}
            if data[start:stop] == render("lsf/queue.j2", values).encode():
                cut = start - 1 if joined and stop == len(data) else start
                data = data[:cut] + data[stop:]
                break
    return data


def ours(data: bytes, queue: Queue, file: str) -> range:
    """The line numbers of our block in the section, marks included."""
    return config_block.ours(_inside(data, queue), file, queue.begin + 1)


def _read(line: str) -> str:
    name, _, value = line.partition(" = ")
    return f"{name.upper()} = {' '.join(value.split())}"


def _inside(data: bytes, queue: Queue) -> bytes:
    return data[queue.inner[0] : queue.inner[1]]


def _replaced(data: bytes, queue: Queue, inside: bytes) -> bytes:
    return data[: queue.inner[0]] + inside + data[queue.inner[1] :]
