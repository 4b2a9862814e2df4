# SPDX-License-Identifier: MIT
"""What a job asked for, kept beside its images: its server forgets it soon after its end."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from torqueckpt import log, typed_json
from torqueckpt.manifest import Directive
from torqueckpt.store.lineage import Lineage

_NAME = "asked.json"


class Remembered(NamedTuple):
    job: str
    directives: tuple[Directive, ...]


def keep(lineage: Lineage, job: str, directives: Iterable[Directive]) -> None:
    found = Remembered(job, tuple(directives))
    lineage.directory.write_whole(_NAME, json.dumps(typed_json.plain(found)).encode())


def read(lineage: Lineage) -> list[Directive]:
    """Empty when nobody has kept it."""
    try:
        data = typed_json.load(lineage.directory.read(_NAME))
        return list(typed_json.from_json(Remembered, data).directives)
    except FileNotFoundError:
        return []
    except (OSError, typed_json.Malformed) as torn:
        log.warning(f"{lineage.path}/{_NAME}: {torn}")
        return []
