# SPDX-License-Identifier: MIT
"""Apply --relocate OLD=NEW: the job's files lie elsewhere now."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from torqueckpt.manifest import DIRECTORY, FILE, Manifest

Moves = tuple[tuple[str, str], ...]


def moved(path: str, moves: Moves) -> str:
    """Where a path lies now, by the first OLD that is the path, or lies above it."""
    for old, new in moves:
        if path == old or path.startswith(f"{old}/"):
            return new + path[len(old) :]
    return path


def relocated(manifest: Manifest, moves: Moves, handed_over: Collection[str]) -> Manifest:
    """The manifest with its paths as they are now; those of handed-over files stay."""

    def now(path: str) -> str:
        return path if path in handed_over else moved(path, moves)

    return manifest._replace(
        files=tuple(file._replace(path=now(file.path)) for file in manifest.files),
        watched=tuple(file._replace(path=now(file.path)) for file in manifest.watched),
        places=tuple(each._replace(path=now(each.path)) for each in manifest.places),
        rules=tuple(rule._replace(glob=now(rule.glob)) for rule in manifest.rules),
        processes=tuple(each._replace(cwd=now(each.cwd)) for each in manifest.processes),
        made=tuple(
            each._replace(path=now(each.path)) if each.kind in (FILE, DIRECTORY) else each
            for each in manifest.made
        ),
    )


def parse(items: Iterable[str]) -> Moves:
    """Parse OLD=NEW; ValueError when these are not two absolute paths."""
    found = []
    for item in items:
        old, _, new = item.partition("=")
        if not old.startswith("/") or not new.startswith("/"):
            raise ValueError(f"{item}: OLD=NEW with two absolute paths was expected")
        found.append((old.rstrip("/"), new.rstrip("/")))
    return tuple(found)
