# SPDX-License-Identifier: MIT
"""Rules that say what happens to a job's files at a restart, such as `scratch/**=snapshot`.

In a glob ** crosses directories, * and ? do not; $NAME stands for a variable of the job.  What a
variable holds is no pattern, nor a directory's name: array jobs have brackets in theirs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from torqueckpt.manifest import Rule

ROLLBACK, SNAPSHOT, APPEND, IGNORE = KINDS = ("rollback", "snapshot", "append", "ignore")
VARIABLE = "TORQUECKPT_FILES"
_MAGIC = re.compile(r"([*?[])")
_QUOTED = re.compile(r"\[([*?[])\]")
_PARTS = re.compile(r"(\*\*/|\*\*|\*|\?|\[[!^]?\]?[^]]*\])")
_PATTERNS = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


class BadRule(ValueError):
    """A rule that is not GLOB=POLICY; the text says which and why."""


def split(text: str) -> list[str]:
    """Split a line into rules, at commas, semicolons or blanks."""
    return [item for item in re.split(r"[,;\s]+", text) if item]


def of_job(environment: Mapping[str, str]) -> list[str]:
    """The rules in a job's environment.

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
    """Make rules absolute, relative globs being below `directory`; BadRule."""
    return [_rule(item, directory, environment) for item in items]


def check(item: str) -> None:
    """Raise BadRule when the text is not GLOB=POLICY."""
    glob, equals, kind = item.rpartition("=")
    if not equals or not glob:
        raise BadRule(f"{item!r} is not GLOB=POLICY")
    if "\0" in glob:
        raise BadRule(f"{item!r}: a null byte, which no file's name has")
    if kind not in KINDS:
        raise BadRule(f"{item!r}: no policy {kind!r}; known: {' '.join(KINDS)}")
    if not glob.startswith("$") and ".." in glob.split("/"):
        raise BadRule(f"{item!r}: '..' in a glob")
    _check_brackets(item, glob)


def of_path(rules: Iterable[Rule], path: str) -> str:
    """The policy of the first rule that matches a path; "" for none."""
    return next((rule.policy for rule in rules if _pattern(rule.glob).fullmatch(path)), "")


def base(glob: str) -> str:
    """The directory that all matches of an absolute glob lie in."""
    return _parts(glob)[0]


def below_base(glob: str) -> str:
    """The part of an absolute glob that follows its base."""
    return _parts(glob)[1]


def _parts(glob: str) -> tuple[str, str]:
    parts = glob.split("/")
    magic = (n for n, part in enumerate(parts) if _MAGIC.search(_QUOTED.sub("", part)))
    fixed = next(magic, len(parts) - 1)
    return _QUOTED.sub(r"\1", "/".join(parts[:fixed])) or "/", "/".join(parts[fixed:])


def quoted(text: str) -> str:
    """A glob that matches this text alone: an array job's id has brackets."""
    return _MAGIC.sub(r"[\1]", text)


def _rule(item: str, directory: str, environment: Mapping[str, str]) -> Rule:
    check(item)
    from string import Template  # slow to import, and few jobs have rules

    glob, _, kind = item.rpartition("=")
    known = {name: quoted(value) for name, value in environment.items()}
    where, rest = _parts(os.path.join(quoted(directory), Template(glob).safe_substitute(known)))
    glob = os.path.join(quoted(os.path.realpath(where)), rest)
    _check_brackets(item, glob)
    return Rule(glob, kind, True)


def _check_brackets(item: str, glob: str) -> None:
    try:
        _pattern(glob)
    except re.error as wrong:
        raise BadRule(f"{item!r}: {wrong.msg}") from wrong


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile("".join(map(_translated, _PARTS.split(glob))), re.DOTALL)


def _translated(part: str) -> str:
    if part in _PATTERNS:
        return _PATTERNS[part]
    if not part.startswith("["):
        return re.escape(part)
    inner = re.sub(r"([\\[])", r"\\\1", part[1:-1])
    return f"(?!/)[{'^' + inner[1:] if inner.startswith('!') else inner}]"
