# SPDX-License-Identifier: MIT
"""An evil criu for each test, in a site of its own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evil.evil_criu import EvilCriu
from tests.support import Site, User


@pytest.fixture(scope="session")
def evil_program() -> Iterator[Path]:
    """tests/evil/criu.c, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    with tempfile.TemporaryDirectory(prefix="tckpt-evil-", dir="/var/tmp") as place:
        program = Path(place) / "criu"
        source = Path(__file__).with_name("criu.c")
        subprocess.run([compiler, "-O1", "-Wall", "-o", program, source], check=True)
        yield program


@pytest.fixture
def evil(site: Site, user: User, other_user: User, evil_program: Path) -> Iterator[EvilCriu]:
    made = EvilCriu(site, user, other_user, evil_program)
    yield made
    made.remove()
