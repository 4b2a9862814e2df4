# SPDX-License-Identifier: MIT
"""Read a MOM's config file as that MOM does, and find what is wrong with it.

TORQUE and OpenPBS read the same kind of file in two ways; a Dialect says which.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from torqueckpt.findings import HAZARD, REFUSED, Finding, Line

# As `make install` puts it at mom-checkpoint.sh, the name that guides give to the script.
_HANDS_ON = re.compile(rb'#!/bin/sh\nexec (/\S+) "\$@"\n')
_LONGEST_SCRIPT = 4096


def in_file(file: str, line: int, what: str, remedy: str, stops: bool = False) -> Finding:
    """What is not as it should be.  stops: nothing is written while it is so.

    line is 0 where no line is meant, but a file as a whole.
    """
    return Finding(REFUSED if stops else HAZARD, "", what, remedy, Line(file, line))


@dataclass(frozen=True)
class Directive:
    """A line `$name value`; ours: whether it stands in the marked block."""

    line: int
    name: str
    value: str
    ours: bool = False


@dataclass(frozen=True)
class Dialect:
    """How one batch system's MOM reads its config file."""

    system: str
    known: frozenset[str]
    repeatable: frozenset[str]  # a second one adds to the first
    by_first_word: frozenset[str]  # one for each first word of the value: $action checkpoint …
    longest_line: int  # bytes without the newline; what is longer is read as two lines
    comments_after_text: bool
    folds_case: bool
    unknown_means: str
    unknown_stops: bool
    same_as: dict[str, str] = field(default_factory=dict)  # other names of a directive

    def parse(self, data: bytes, ours: range = range(0)) -> list[Directive]:
        """The file's directives; comments and static resources are left out."""
        found = []
        for number, text in enumerate(text_lines(data), 1):
            if text.startswith("#"):
                continue
            if self.comments_after_text:
                text = text.partition("#")[0]
            text = text.strip()
            if not text.startswith("$"):
                continue
            name = re.match(r"[A-Za-z0-9_:]*", text[1:])
            assert name is not None  # it matches the empty string too
            value = text[1 + name.end() :].strip()
            found.append(Directive(number, self._name(name.group()), value, number in ours))
        return found

    def key(self, directive: Directive) -> str:
        """What may stand only once in the file, as a key."""
        if directive.name in self.by_first_word:
            return f"{directive.name} {directive.value.split(None, 1)[0]}"
        return directive.name

    def _name(self, text: str) -> str:
        name = text.lower() if self.folds_case else text
        return self.same_as.get(name, name)


def check(
    data: bytes, ours: range, dialect: Dialect, file: str, line_now: Callable[[int], int]
) -> list[Finding]:
    """Find what is wrong with the lines.  line_now gives a line's number as people see it now."""
    directives = [replace(each, line=line_now(each.line)) for each in dialect.parse(data, ours)]
    found = [
        *_too_long(data, dialect, file, line_now),
        *_unknown(directives, dialect, file),
        *_twice(directives, dialect, file),
    ]
    return sorted(found, key=_line)


def same_value(one: str, other: str) -> bool:
    """Whether two values are equal but for blanks, and for links and scripts that lead on."""
    return _normal(one) == _normal(other)


def text_lines(data: bytes) -> list[str]:
    """The lines as fgets() finds them, without their ends."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _too_long(
    data: bytes, dialect: Dialect, file: str, line_now: Callable[[int], int]
) -> Iterable[Finding]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if len(line) > dialect.longest_line:
            reason = f"{len(line)} bytes, and pbs_mom cuts lines after {dialect.longest_line}"
            remedy = "make it shorter: what is cut off is read as a line of its own"
            yield in_file(file, line_now(number), reason, remedy)


def _unknown(directives: list[Directive], dialect: Dialect, file: str) -> Iterable[Finding]:
    for each in directives:
        if each.name not in dialect.known:
            near = nearest(each.name, dialect.known)
            remedy = f"did you mean ${near}?" if near else "correct it or take it out"
            reason = f"${each.name} is unknown to {dialect.system}: {dialect.unknown_means}"
            yield in_file(file, each.line, reason, remedy, stops=dialect.unknown_stops)
        elif not each.value:
            reason, remedy = f"${each.name} has no value", "give it one, or take it out"
            yield in_file(file, each.line, reason, remedy, stops=dialect.unknown_stops)


def _twice(directives: list[Directive], dialect: Dialect, file: str) -> Iterable[Finding]:
    first: dict[str, Directive] = {}
    known = [d for d in directives if d.name in dialect.known and d.value]
    for each in sorted(known, key=lambda d: (not d.ours, d.line)):  # ours is what others contradict
        if each.name in dialect.repeatable:
            continue
        before = first.setdefault(dialect.key(each), each)
        if before is each:
            continue
        name, same = dialect.key(each), same_value(before.value, each.value)
        if before.ours and not same:
            reason = (
                f"${each.name} {each.value} contradicts torqueckpt's ${before.name} {before.value}"
            )
            yield in_file(file, each.line, reason, "take it out", stops=True)
        else:
            where = "torqueckpt's" if before.ours else f"line {before.line}"
            how = "says the same" if same else "says something else; the later one counts"
            reason = f"${name} occurs twice: {where} {how}"
            yield in_file(file, each.line, reason, "keep one of the two")


def _line(found: Finding) -> int:
    return found.where.number if isinstance(found.where, Line) else 0


def nearest(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name.lower(), sorted(known), n=1)), "")


def _normal(value: str) -> str:
    text = " ".join(value.split())
    if not text.startswith("/"):
        return text
    try:
        with open(text, "rb") as file:
            handed_on = _HANDS_ON.fullmatch(file.read(_LONGEST_SCRIPT))
    except OSError:
        handed_on = None
    return os.path.realpath(os.fsdecode(handed_on.group(1)) if handed_on else text)
