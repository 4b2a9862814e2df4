# SPDX-License-Identifier: MIT
"""What the unit tests share: an ordinary user, a place that he can reach, a store of his."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import accounts
from tests.unit import real, samples
from torqueckpt import safe_files
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore, Store


@pytest.fixture(scope="session")
def root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: it changes user ids (`make test` runs as root)")


@pytest.fixture(scope="session")
def ordinary_user(root: None) -> Iterator[Owner]:
    """Nobody else's tests run anything as this user: they end all that theirs have left."""
    with accounts.users(accounts.new_name("u")) as (made,):
        yield privileges.owner(made.name)


@pytest.fixture
def user(ordinary_user: Owner) -> Owner:
    """An ordinary user; the test runs as root."""
    return ordinary_user


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory that everybody may pass through, unlike pytest's own; gone afterwards."""
    made = Path(tempfile.mkdtemp(prefix="torqueckpt-unit-")).resolve()
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a program in a session of its own; its whole session is killed afterwards."""
    with ExitStack() as stack:

        def start(*argv: str, **options: object) -> subprocess.Popen[bytes]:
            made = real.start(argv, **options)
            stack.callback(real.end, made)
            return made

        yield start


@pytest.fixture
def store(user: Owner, place: Path) -> Store:
    (place / "store" / "jobs").mkdir(parents=True)
    return Store.open(place / "store")


@pytest.fixture
def owner_store(store: Store, user: Owner) -> OwnerStore:
    """The user's directory; what is done in it is done inside privileges.acting_as(user)."""
    with privileges.acting_as(user):
        return store.owner(user, make=True)


@pytest.fixture
def lineage(owner_store: OwnerStore, user: Owner) -> Lineage:
    with privileges.acting_as(user):
        lineage = owner_store.make_lineage(samples.LINEAGE)
        owner_store.belongs(samples.JOB, lineage)
        return lineage


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[safe_files.Directory]:
    with safe_files.Directory.open(tmp_path.resolve()) as opened:
        yield opened
