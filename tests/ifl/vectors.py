# SPDX-License-Identifier: MIT
"""The parse cases of data/pbsquery_vectors.txt, read."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"


@dataclass
class Vector:
    """One object's raw attributes, and what must come of them in either structure."""

    kind: str
    raw: list[tuple[str, Any, str]]
    stored: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, list[tuple[str, tuple[Any, ...], str]]] = field(default_factory=dict)


def vectors() -> list[Vector]:
    read: list[Vector] = []
    structure = ""
    for line in (DATA / "pbsquery_vectors.txt").read_text().splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "RAW":
            kind, _, raw = rest.strip().partition(" ")
            read.append(Vector(kind, ast.literal_eval(raw)))
        elif word in ("NEW", "OLD"):
            structure = word
            read[-1].stored[word] = json.loads(rest)
        elif word and not word.startswith("#"):
            arguments, _, answer = rest.partition(" -> ")
            asked = (word, ast.literal_eval(arguments), answer)
            read[-1].answers.setdefault(structure, []).append(asked)
    return read
