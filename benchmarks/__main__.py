# SPDX-License-Identifier: MIT
"""`make bench` and `make bench-quick`: measure, write RESULTS.md, say what misses its target."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import (
    checkpoints,
    compression,
    exec_pid,
    listing,
    phases,
    report,
    restarts,
    service,
)
from benchmarks.bare import CRIU
from benchmarks.checkpoints import Size
from benchmarks.dmtcp import tools
from benchmarks.many import Many
from benchmarks.place import Place, adopt, place
from benchmarks.rows import Row
from tests.support import INSTALLED

Tables = dict[str, list[Row]]

_SIZES = {
    **{Size(16): 15, Size(256): 11, Size(1024): 9, Size(4096): 5},
    **{Size(1, 10): 11, Size(1, 100): 9, Size(1, 500): 5},
}
_LARGE = {Size(12288): 3}
_QUICK_SIZES = {Size(16): 3, Size(256): 3, Size(1024): 2, Size(1, 100): 2}
_RESTARTS = {Size(16): 11, Size(256): 9, Size(1024): 7, Size(4096): 5}
_PACKED = {Size(256): 7, Size(1024): 5}
_QUICK_PACKED = {Size(16): 2}
_QUICK_RESTARTS = {Size(16): 3, Size(256): 3}


def main(argv: list[str]) -> int:
    asked = _arguments(argv)
    if os.getuid() != 0 or not CRIU.exists():
        print("bench: needs root and an installation, as `make bench` makes one", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of all that cleans up
    began, tables = time.monotonic(), Tables()
    adopt()
    with place() as where:
        for name, part in _parts(asked.quick).items():
            if not asked.only or name in asked.only:
                print(f"bench: {name}", file=sys.stderr, flush=True)
                for title, rows in part(where).items():
                    tables.setdefault(title, []).extend(rows)
                facts = {**_facts(), "taken": _taken(began)}
                command = "make bench-quick" if asked.quick else "make bench"
                asked.output.write_text(report.page(command, facts, tables))  # a run may be ended
    print(report.summary(row for rows in tables.values() for row in rows))
    return 0


def _parts(quick: bool) -> dict[str, Callable[[Place], Tables]]:
    parts: dict[str, Callable[[Place], Tables]] = {
        "checkpoint": lambda at: checkpoints.rows(at, _QUICK_SIZES if quick else _SIZES),
        "restart": lambda at: restarts.rows(at, _QUICK_RESTARTS if quick else _RESTARTS),
        "compression": lambda at: compression.rows(at, _QUICK_PACKED if quick else _PACKED),
        "phases": lambda at: phases.rows(at, 3 if quick else 9),
        "exec-pid": lambda at: exec_pid.rows(at, 2000 if quick else 10_000, 3 if quick else 9),
        "store": lambda at: _store(at, quick),
    }
    if not quick:
        parts["large"] = lambda at: checkpoints.rows(at, _LARGE)
    return parts


def _store(where: Place, quick: bool) -> Tables:
    """What depends on the number of images and jobs."""
    counts = {10_000: 0.3} if quick else {10_000: 0.3, 100_000: 2.0}
    with _many(where) as many:
        listed = listing.rows(where, many, counts, 1 if quick else 3)
        return {**listed, **service.rows(where, many, 10_000, 5 if quick else 20)}


@contextmanager
def _many(where: Place) -> Iterator[Many]:
    made = Many(where)
    try:
        yield made
    finally:
        made.remove()


def _facts() -> dict[str, str]:
    def said(*words: str | Path) -> str:
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()

    programs = tools()
    version = said(programs / "dmtcp_command", "--version") if programs else "none"
    return {
        **report.machine(),
        "torqueckpt": said(INSTALLED.parent.parent / "bin" / "torqueckpt", "--version"),
        "CRIU": said(CRIU, "--version").replace("\n", ", "),
        "DMTCP": version.splitlines()[0],
        "Python of the programs": said(INSTALLED / "venv" / "bin" / "python", "--version"),
    }


def _taken(began: float) -> str:
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return f"{today}, in {(time.monotonic() - began) / 60:.0f} min"


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="in less than two minutes")
    parser.add_argument("--only", action="append", metavar="PART", help="|".join(_parts(False)))
    parser.add_argument("--output", type=Path, metavar="FILE")
    asked = parser.parse_args(argv)
    if asked.output is None:
        name = "RESULTS-quick.md" if asked.quick else "RESULTS.md"
        asked.output = Path(__file__).with_name(name)
    return asked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
