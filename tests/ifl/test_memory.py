# SPDX-License-Identifier: MIT
"""Nothing leaks, nothing is freed twice, nobody writes past an end."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from torqueckpt.ifl.library import Library

from .conftest import COMPILER, VARIANTS, compiled
from .exercise import exercise

REPOSITORY = Path(__file__).resolve().parents[2]


def asan_runtime() -> str:
    """The path of AddressSanitizer's library, "" when the compiler has none."""
    if COMPILER is None:
        return ""
    argv = [COMPILER, "-print-file-name=libasan.so"]
    found = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    return found if os.path.isabs(found) else ""


def run(argv: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def program(library: Path, rounds: int) -> list[str]:
    return [sys.executable, "-m", "tests.ifl.exercise", str(library), str(rounds)]


def test_memory_stays_flat(library: Library) -> None:
    def round_trips(count: int) -> int:
        for _ in range(count):
            exercise(library)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = round_trips(100)
    grown_kilobytes = round_trips(400) - before
    assert grown_kilobytes < 256


THREAD_OUTLIVES_LIBRARY = """
import gc, sys, threading
from torqueckpt.ifl.call import Calls
from torqueckpt.ifl.library import Library
used, over = threading.Event(), threading.Event()
def work():
    Calls(Library(sys.argv[1])).connect("fake")
    used.set()
    over.wait()
thread = threading.Thread(target=work)
thread.start()
used.wait()
gc.collect()
over.set()
thread.join()
"""


def test_a_thread_may_end_after_its_library_was_dropped(library: Library) -> None:
    done = run([sys.executable, "-c", THREAD_OUTLIVES_LIBRARY, library.path])
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not asan_runtime(), reason="no AddressSanitizer")
@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_address_sanitizer_sees_no_misuse(variant: str, tmp_path: Path) -> None:
    library = compiled(tmp_path / "libfake.so", VARIANTS[variant], "-fsanitize=address")
    done = run(
        program(library, 5),
        LD_PRELOAD=asan_runtime(),
        ASAN_OPTIONS="detect_leaks=0",
        PYTHONMALLOC="malloc",
        FAKE_SEND_FAILS="1",
    )
    assert done.returncode == 0, done.stdout
    assert "rounds 5" in done.stdout


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="no valgrind")
@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_valgrind_sees_no_leak_and_no_misuse(variant: str, libraries: dict[str, Path]) -> None:
    argv = ["valgrind", "--leak-check=full", "--show-leak-kinds=definite,indirect"]
    done = run([*argv, *program(libraries[variant], 3)], PYTHONMALLOC="malloc", FAKE_SEND_FAILS="1")
    assert "rounds 3" in done.stdout, done.stdout
    # The interpreter has reports of its own; any with a line of our library in it is a fault.
    reports = done.stdout.split("\n==")
    assert [report for report in reports if "(fake_" in report] == []
