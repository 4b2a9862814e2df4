# SPDX-License-Identifier: MIT
"""Disarm the SIGTERM trap of a grid job wrapper where torqueckpt's job starter runs the wrapper.

Grid computing elements wrap the user's job in a shell script that calls fatal_error at SIGTERM and
so ends the job for good (contracts/lsf.md).  The script may be a file, or what another program
prints: the line is found in whatever quotes it stands, and what is put around it means the same in
a shell's and in Perl's strings and here-documents, for it has no quote, backslash, $ or @ in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from torqueckpt.errors import NoTermTrap

VARIABLE, VALUE = "TORQUECKPT_STARTER", "lsf"  # what lsf-jobstarter exports

_SAYS = b"Job has been terminated (got SIGTERM)"
_QUOTE = rb"""(?P<quote>'\\''|'"'"'|\\*["'])"""
_TRAP = re.compile(
    rb"trap[ \t]+(?:--[ \t]+)?" + _QUOTE + rb"fatal_error[ \t]+\\*[\"']"
    rb"Job has been terminated \(got SIGTERM\)\\*[\"'][^\n]*?(?P=quote)"
    rb"[ \t]+(?:(?:SIG)?TERM|15)\b(?![ \t]+[A-Za-z0-9])"
)
# Braces, so that it is one command also behind && or ||; no trap where the variable is there.
_BEFORE = f"{{ printenv {VARIABLE} | grep -qx {VALUE} || ".encode()
_AFTER = b"; }"
_COMMENTED = re.compile(rb"\A[ \t]*#|#[ \t]*\Z")  # the line, or what it prints
_BAR_QUOTED = re.compile(rb"\b(?:qq?|s|y|tr|m)[ \t]*\|[^\n]*\Z")


def disarm(data: bytes, file: str) -> bytes:
    """Put each such trap in braces, so that our jobs skip it; NoTermTrap where none is known."""
    found = list(_traps(data))
    for start, _, _ in found:
        if _BAR_QUOTED.search(data, 0, start):
            problem = "the trap stands between bars, and what would be put around it has one"
            raise NoTermTrap(file=f"{file}:{line_of(data, start)}", problem=problem)
    if not found:
        raise _none(data, file)
    for start, stop, ours in reversed(found):
        if not ours:
            data = data[:start] + _BEFORE + data[start:stop] + _AFTER + data[stop:]
    return data


def arm(data: bytes, file: str) -> bytes:
    """Restore the bytes from before disarm()."""
    found = list(_traps(data))
    if not found:
        raise _none(data, file)
    for start, stop, ours in reversed(found):
        if ours:
            before, after = start - len(_BEFORE), stop + len(_AFTER)
            data = data[:before] + data[start:stop] + data[after:]
    return data


def armed(data: bytes) -> list[int]:
    """The line numbers of traps that are not disarmed."""
    return [line_of(data, start) for start, _, ours in _traps(data) if not ours]


def line_of(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1


def _traps(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Where each trap begins and ends, and whether it is disarmed; commented ones are left out."""
    for match in _TRAP.finditer(data):
        start, stop = match.span()
        line = data.rfind(b"\n", 0, start) + 1
        if not _COMMENTED.search(data[line:start]):
            ours = data.endswith(_BEFORE, 0, start) and data.startswith(_AFTER, stop)
            yield start, stop, ours


def _none(data: bytes, file: str) -> NoTermTrap:
    said = data.find(_SAYS)
    if said < 0:
        return NoTermTrap(file=file, problem=f"no line in it says '{_SAYS.decode()}'")
    problem = "it says so, but sets no trap for TERM alone, or in a comment only"
    return NoTermTrap(file=f"{file}:{line_of(data, said)}", problem=problem)
