# SPDX-License-Identifier: MIT
"""`torqueckpt list` of a store with very many images."""

from __future__ import annotations

import os
import subprocess
import time

from benchmarks.many import Many
from benchmarks.place import Place
from benchmarks.rows import Row, figure


def rows(where: Place, many: Many, counts: dict[int, float], rounds: int) -> dict[str, list[Row]]:
    """Seconds that are allowed, by the number of images; the smallest number comes first."""
    found = []
    for count, target in sorted(counts.items()):
        many.grow(count)
        for words in (("list",), ("list", "--json")):
            wall, cpu = [], []
            for _ in range(rounds + 1):
                seconds, used = _once(where, words, count)
                wall.append(seconds)
                cpu.append(used)
            beside = f"CPU {sorted(cpu[1:])[rounds // 2]:.2f} s"
            note = f"wall time, everything in the page cache; {many.files} files an image"
            work = f"torqueckpt {' '.join(words)}"
            found.append(figure(work, f"{count} images", wall[1:], "s", target, note, beside))
    return {"Listing": found}


def _once(where: Place, words: tuple[str, ...], count: int) -> tuple[float, float]:
    before, spent = time.monotonic(), _of_children()
    argv = [str(where.site.program), *words]
    answer = subprocess.run(argv, capture_output=True, text=True, check=True)
    wall = time.monotonic() - before
    assert answer.stdout.count(".bench") >= count, "not all were listed"
    return wall, _of_children() - spent


def _of_children() -> float:
    used = os.times()
    return used.children_user + used.children_system
