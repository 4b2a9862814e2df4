# SPDX-License-Identifier: MIT
"""What a job asked for, kept beside its images: its server forgets it soon after its end."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from torqueckpt import log, manifest
from torqueckpt.manifest import Directive
from torqueckpt.store.lineage import Lineage

_NAME = "asked.json"


@dataclass(frozen=True)
class Remembered:
    job: str
    directives: tuple[Directive, ...]


def keep(lineage: Lineage, job: str, directives: Iterable[Directive]) -> None:
    found = Remembered(job, tuple(directives))
    lineage.directory.write_whole(_NAME, json.dumps(asdict(found)).encode())


def read(lineage: Lineage) -> list[Directive]:
    """Empty when nobody has kept it."""
    try:
        data = manifest.load(lineage.directory.read(_NAME))
        return list(manifest.from_json(Remembered, data).directives)
    except FileNotFoundError:
        return []
    except (OSError, manifest.Malformed) as torn:
        log.warning(f"{lineage.path}/{_NAME}: {torn}")
        return []
