# SPDX-License-Identifier: MIT
"""Draws the package's floors (docs/design.md) from its imports and tells which of them climb.

python tests/unit/floors.py [PACKAGE]    the rooms, with modules and lines of each
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FLOORS = (
    {
        "errors",
        "identity",
        "request",
        "manifest",
        "typed_json",
        "budget",
        "records",
        "findings",
        "paths",
        "layout",
        "safe_files",
        "log",
        "file_rules",
    },
    {"process", "settings", "render", "run", "compression"},
    {"store", "checkpointers", "files", "ifl", "rights"},
    {"batch"},
    {"checkpoint", "restart", "images"},
    {"resubmit", "chain", "lsf", "reports", "site"},
    {"node", "doctor"},
    {"hooks", "cli", "shims", "compat"},
)
_WORDS = 0  # the floor whose modules may import one another
_SIDEWAYS = {("chain", "resubmit")}  # the one step to a sibling: links are submitted anew
_APART = ("torque", "openpbs", "lsf", "local")  # inside batch/
_ONLY_IN = {"psutil": "process", "jinja2": "render", "cffi": "ifl"}

Imports = dict[str, set[str]]


def imports(top: Path) -> Imports:
    """Module → what it imports, anywhere in it, for the package in the directory `top`."""
    files = {_name(file, top): file for file in sorted(top.rglob("*.py"))}
    return {
        module: set(_imported(ast.parse(file.read_bytes()), module, set(files)))
        for module, file in files.items()
    }


def problems(found: Imports) -> list[str]:
    """One line for each import that climbs, goes to a sibling, or is another floor's library."""
    told = []
    for module, targets in found.items():
        unit = _unit(module)
        if unit is None:
            continue
        if _floor(unit) is None:
            told.append(f"{module} belongs to no floor")
            continue
        for target in sorted(targets):
            told += [f"{module} imports {target}: {why}" for why in _wrong(module, target)]
    return told + [f"a circle: {' > '.join(each)}" for each in circles(found)]


def circles(found: Imports) -> Iterator[list[str]]:
    """Modules that import each other in a circle, each circle told once."""
    for start in sorted(found):
        way = _way(start, start, found, set())
        if way and start == min(way):
            yield [start, *way]


def _wrong(module: str, target: str) -> Iterator[str]:
    unit, other = _unit(module), _unit(target)
    library = target.partition(".")[0]
    if library in _ONLY_IN and unit != _ONLY_IN[library]:
        yield f"only {_ONLY_IN[library]} may"
    if unit is None or other is None:
        return
    here, there = _floor(unit), _floor(other)
    if here is None or there is None:
        return
    if there > here:
        yield f"it climbs from floor {here} to {there}"
    elif there == here and unit != other and here != _WORDS and (unit, other) not in _SIDEWAYS:
        yield f"{unit} and {other} are siblings"
    elif unit == other == "batch":
        subs = [name.split(".")[2] for name in (module, target) if name.count(".") > 1]
        if len(subs) == 2 and subs[0] != subs[1] and set(subs) <= set(_APART):
            yield "one batch system imports another"


def _floor(unit: str) -> int | None:
    return next((n for n, floor in enumerate(FLOORS) if unit in floor), None)


def _unit(module: str) -> str | None:
    """The module or package right below torqueckpt; None for the package itself and for others'."""
    parts = module.split(".")
    return parts[1] if parts[0] == "torqueckpt" and len(parts) > 1 else None


def _name(file: Path, top: Path) -> str:
    parts = [top.name, *file.relative_to(top).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(tree: ast.AST, module: str, known: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                origin = ".".join([*module.split(".")[: -node.level], *filter(None, [node.module])])
            names = {f"{origin}.{alias.name}" for alias in node.names}
            yield from (name if name in known else origin for name in names)


def _way(at: str, goal: str, found: Imports, seen: set[str]) -> list[str]:
    for target in sorted(found.get(at, set()) - seen):
        if target == goal:
            return [goal]
        rest = _way(target, goal, found, seen | {target})
        if rest:
            return [target, *rest]
    return []


def rooms(top: Path) -> Iterator[str]:
    """A line for each package below `top`, the largest first; an __init__.py is no module here."""
    files = {
        file: len(file.read_bytes().splitlines())
        for file in top.rglob("*.py")
        if file.name != "__init__.py"
    }
    places: dict[Path, list[Path]] = {}
    for file in files:
        places.setdefault(file.parent, []).append(file)
    yield f"{'room':<28} modules  lines  biggest"
    for place, inside in sorted(places.items(), key=lambda item: -len(item[1])):
        biggest = max(inside, key=lambda file: files[file])
        name = f"{place.relative_to(top.parent)}/"
        lines = sum(files[file] for file in inside)
        yield f"{name:<28} {len(inside):>7} {lines:>6}  {biggest.stem} {files[biggest]}"
    yield f"{'all':<28} {len(files):>7} {sum(files.values()):>6}"


if __name__ == "__main__":
    print("\n".join(rooms(Path(sys.argv[1] if sys.argv[1:] else "torqueckpt").resolve())))
