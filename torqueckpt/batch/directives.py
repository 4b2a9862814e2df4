# SPDX-License-Identifier: MIT
"""Read the #PBS lines of a job script as qsub does: options before the script's first command.

Source: get_script() and make_argv() in the qsub of TORQUE 4.2 to 6.1 and of OpenPBS 23.06, which
have no option that has a value in one of them only.  They differ in one thing: a line with blanks
behind the backslash at its end goes on in the next one for OpenPBS, but not for TORQUE.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from torqueckpt.manifest import Directive

PREFIX = "#PBS"
# As in getopt(): a colon behind each option that has a value.
_OPTIONS = "a:A:b:c:C:d:D:e:EfF:GhIi:J:j:k:K:l:L:m:M:nN:o:p:P:q:r:R:S:t:T:u:v:VW:w:Xxz"
WITHOUT_VALUE = frozenset(re.findall(r"[A-Za-z](?!:)", _OPTIONS))
_WITH_VALUE = frozenset(_OPTIONS) - WITHOUT_VALUE - {":"}
_LONGEST = 32768  # characters of a directive: TORQUE's MAX_LINE_LEN
_BLANKS = " \t\n\v\f\r"  # C's isspace()
_PIECE = re.compile(
    r""" "([^"]*)" | '([^']*)' | \\(.?) | ([^"'\\\ \t\n\v\f\r]+) | [\ \t\n\v\f\r]+ """,
    re.DOTALL | re.VERBOSE,
)


class Line(NamedTuple):
    """A line as qsub hands it to the batch system: what its backslash joined is one.

    options: what a directive says behind its prefix, None for any other line.
    """

    text: str
    options: str | None
    in_header: bool


def read(script: str, prefix: str = PREFIX, openpbs: bool = False) -> list[Directive]:
    """The options in the order of the script.

    What qsub refuses, an open quote or an option without its value, is left out.
    """
    found: list[Directive] = []
    for line in lines(script, prefix, openpbs):
        if not line.in_header:
            break
        if line.options is not None:
            try:
                found += options(split(line.options))
            except ValueError:
                continue
    return found


def spooled(script: str, prefix: str = PREFIX, openpbs: bool = False) -> str:
    """The script as the job runs it."""
    return "".join(line.text for line in lines(script, prefix, openpbs))


def lines(script: str, prefix: str = PREFIX, openpbs: bool = False) -> Iterator[Line]:
    """The lines as they are spooled."""
    rest = (found.group() for found in re.finditer(r"[^\n]*\n|[^\n]+", script))
    in_header = True
    for first in rest:
        bare = first.lstrip(_BLANKS)
        if not (in_header and prefix and bare.startswith(prefix)):
            in_header = in_header and not _is_command(first)
            yield Line(first, None, in_header)
            continue
        pieces = [first]
        while (end := _continued(pieces[-1], openpbs)) >= 0:
            pieces[-1] = pieces[-1][:end]
            pieces.append(next(rest, ""))
        text = "".join(pieces)
        said = text.lstrip(_BLANKS)[len(prefix) :].partition("\0")[0]
        yield Line(text, said[:_LONGEST], True)


def split(text: str) -> list[str]:
    """Split into words: quotes hold all up to the next one, a backslash elsewhere one character.

    ValueError for a quote that stays open.
    """
    words: list[str] = []
    at, word = 0, list[str]()
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            raise ValueError(f"no closing {text[at]}")
        at = piece.end()
        if piece.lastindex is not None:
            word.append(piece.group(piece.lastindex))
        elif word:
            words.append("".join(word))
            word = []
    return [*words, "".join(word)] if word else words


def options(words: Iterable[str]) -> list[Directive]:
    """The options among the words, as getopt() finds them: -VN name is -V and -N name."""
    found: list[Directive] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            break
        letters = word[1:] if word.startswith("-") else ""
        while letters:
            option, letters = letters[0], letters[1:]
            if option in _WITH_VALUE:
                value = letters or next(rest, None)
                if value is not None:
                    found.append(Directive(option, value))
                break
            if option in WITHOUT_VALUE:
                found.append(Directive(option, ""))
    return found


def _continued(text: str, openpbs: bool) -> int:
    """Where the backslash stands with which a line goes on in the next; -1 without one."""
    bare = text.rstrip(_BLANKS) if openpbs else text[:-1] if text.endswith("\n") else ""
    bare = bare[:-1] if bare.endswith("\r") else bare
    return len(bare) - 1 if bare.endswith("\\") else -1


def _is_command(text: str) -> bool:
    if text.startswith((":", "#!")):
        return False
    return text.strip(_BLANKS) != "" and not text.lstrip(_BLANKS).startswith("#")
