# SPDX-License-Identifier: MIT
"""What is to happen to a job's files at a restart: rules such as `scratch/**=snapshot`.

In a glob ** crosses directories, * and ? do not; $NAME stands for a variable of the job.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from string import Template

from torqueckpt.manifest import Rule

ROLLBACK, SNAPSHOT, APPEND, IGNORE = KINDS = ("rollback", "snapshot", "append", "ignore")
VARIABLE = "TORQUECKPT_FILES"
_MAGIC = re.compile(r"[*?[]")
_PARTS = re.compile(r"(\*\*/|\*\*|\*|\?|\[[!^]?\]?[^]]*\])")
_PATTERNS = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


class BadRule(ValueError):
    """Not GLOB=POLICY; the text says which one and why."""


def split(text: str) -> list[str]:
    """The rules in one line: commas, semicolons or blanks between them."""
    return [item for item in re.split(r"[,;\s]+", text) if item]


def of_job(environment: Mapping[str, str]) -> list[str]:
    """The rules that a job brought along.

    qsub -v TORQUECKPT_FILES=A=x,B=y makes a variable of each comma's item: B comes with value y.
    """
    if VARIABLE not in environment:
        return []
    strays = [
        f"{name}={value}"
        for name, value in environment.items()
        if value in KINDS and not re.fullmatch(r"\w+", name)
    ]
    return split(environment[VARIABLE]) + strays


def read(items: Iterable[str], directory: str, environment: Mapping[str, str]) -> list[Rule]:
    """Rules with absolute globs, relative ones below `directory`; BadRule."""
    return [_rule(item, directory, environment) for item in items]


def check(item: str) -> None:
    """BadRule when it is not GLOB=POLICY."""
    glob, equals, kind = item.rpartition("=")
    if not equals or not glob:
        raise BadRule(f"{item!r} is not GLOB=POLICY")
    if kind not in KINDS:
        raise BadRule(f"{item!r}: no policy {kind!r}; known: {' '.join(KINDS)}")
    if not glob.startswith("$") and ".." in glob.split("/"):
        raise BadRule(f"{item!r}: '..' in a glob")


def of_path(rules: Iterable[Rule], path: str) -> str:
    """The policy of the first rule that matches, "" for none."""
    return next((rule.policy for rule in rules if _pattern(rule.glob).fullmatch(path)), "")


def base(glob: str) -> str:
    """The directory below which all that an absolute glob matches lies."""
    parts = glob.split("/")
    fixed = next((n for n, part in enumerate(parts) if _MAGIC.search(part)), len(parts) - 1)
    return "/".join(parts[:fixed]) or "/"


def _rule(item: str, directory: str, environment: Mapping[str, str]) -> Rule:
    check(item)
    glob, _, kind = item.rpartition("=")
    glob = os.path.join(directory, Template(glob).safe_substitute(environment))
    where = base(glob)
    rest = glob[len(where) :].lstrip("/")
    return Rule(os.path.join(os.path.realpath(where), rest), kind, True)


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile("".join(map(_translated, _PARTS.split(glob))), re.DOTALL)


def _translated(part: str) -> str:
    if part in _PATTERNS:
        return _PATTERNS[part]
    if not part.startswith("["):
        return re.escape(part)
    inner = part[1:-1].replace("\\", "\\\\")
    return f"(?!/)[{'^' + inner[1:] if inner.startswith('!') else inner}]"
