# SPDX-License-Identifier: MIT
"""Read the #PBS lines of a job script (source: qsub(1)): options before its first command."""

from __future__ import annotations

import shlex

from torqueckpt.manifest import Directive

_PREFIX = "#PBS"
_WITHOUT_VALUE = frozenset("fhIVxXz")


def read(script: str) -> list[Directive]:
    """The options in the order of the script.

    A line that cannot be split into words is left out.
    """
    found: list[Directive] = []
    for line in script.splitlines():
        if line.startswith(_PREFIX) and line[len(_PREFIX) : len(_PREFIX) + 1] in (" ", "\t"):
            try:
                words = shlex.split(line[len(_PREFIX) :])
            except ValueError:  # an open quote: qsub would refuse it, a script's reader may not
                continue
            found += _options(words)
        elif line.strip() and not line.lstrip().startswith(("#", ":")):
            break
    return found


def _options(words: list[str]) -> list[Directive]:
    found: list[Directive] = []
    rest = iter(words)
    for word in rest:
        if len(word) < 2 or word[0] != "-":
            continue
        option, value = word[1], word[2:]
        if option not in _WITHOUT_VALUE and not value:
            value = next(rest, "")
        found.append(Directive(option, value))
    return found
