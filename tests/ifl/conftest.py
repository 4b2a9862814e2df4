# SPDX-License-Identifier: MIT
"""PBS libraries without a server, compiled for the tests; the header says when they cannot be."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from torqueckpt.ifl.library import VARIABLE, Library

SOURCES = [str(Path(__file__).parent / name) for name in ("fake_pbs.c", "fake_mom.c")]
COMPILER = shutil.which("cc") or shutil.which("gcc")
VARIANTS = {"torque6": "-DTORQUE6", "torque2": "-DTORQUE2", "openpbs": "-DOPENPBS"}


def report() -> str:
    """For the header of the tests' report."""
    if COMPILER:
        return "torqueckpt.ifl: tests with a compiled PBS library of our own: run"
    return "torqueckpt.ifl: tests with a compiled PBS library DID NOT RUN: no C compiler"


def compiled(target: Path, *options: str) -> Path:
    """The library, compiled; skips the test without a compiler."""
    if COMPILER is None:
        pytest.skip("no C compiler")
    options = ("-g", "-O1", "-pthread", "-shared", "-fPIC", *options)
    subprocess.run([COMPILER, *options, "-o", str(target), *SOURCES], check=True)
    return target


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("fake")
    return {name: compiled(folder / f"lib{name}.so", option) for name, option in VARIANTS.items()}


@pytest.fixture(params=sorted(VARIANTS))
def library(request: pytest.FixtureRequest, libraries: dict[str, Path]) -> Library:
    """Each variant in turn."""
    return Library(str(libraries[request.param]))


@pytest.fixture
def torque(libraries: dict[str, Path]) -> Library:
    return Library(str(libraries["torque6"]))


@pytest.fixture
def import_pbs(
    libraries: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], ModuleType]]:
    """Import module pbs afresh on one of the variants."""

    def load(variant: str) -> ModuleType:
        monkeypatch.setenv(VARIABLE, str(libraries[variant]))
        _forget()
        return importlib.import_module("torqueckpt.compat.pbs")

    yield load
    _forget()


def _forget() -> None:
    """Drop what is bound to a library; the rest of compat is without one."""
    for name in ("pbs", "binding", "questions", "requests", "resmom", "logfile"):
        sys.modules.pop(f"torqueckpt.compat.{name}", None)
