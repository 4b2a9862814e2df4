# SPDX-License-Identifier: MIT
"""Tests against an installed OpenPBS; the report's header says whether they ran.

It is looked for at $TORQUECKPT_OPENPBS (a prefix), else around the pbs_server on PATH.  Those of
calls take a server that runs, those of jobs start one in namespaces of their own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ifl.batch import Batch, find
from tests.openpbs.private import PrivateOpenPBS
from tests.private_batch import installed
from tests.private_fixtures import USER
from tests.private_fixtures import directory as directory
from tests.private_fixtures import owner as owner
from tests.private_fixtures import user as user
from tests.support import User

BATCH, FOUND = find("TORQUECKPT_OPENPBS", "libpbs.so", is_openpbs=True)
INSTALLED = installed("TORQUECKPT_OPENPBS", "libpbs.so", USER is not None)


def report() -> list[str]:
    """For the header of the tests' report."""
    found = FOUND if USER or BATCH is None else "DID NOT RUN: there is no ordinary user"
    calls = f"torqueckpt: tests of calls with an OpenPBS server that runs: {found}"
    return [calls, INSTALLED.report("OpenPBS")]


@pytest.fixture(scope="session")
def batch() -> Batch:
    if BATCH is None:
        pytest.skip(f"OpenPBS: {FOUND}")
    return BATCH


@pytest.fixture(scope="session")
def server() -> Iterator[PrivateOpenPBS]:
    if INSTALLED.reason:
        pytest.skip(f"OpenPBS: {INSTALLED.reason}")
    made = PrivateOpenPBS(INSTALLED.prefix, INSTALLED.library)
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def openpbs(server: PrivateOpenPBS, owner: User) -> Iterator[PrivateOpenPBS]:
    """The server, for tests of jobs: each leaves nothing to the next."""
    server.configure()
    yield server
    server.leave_nothing(owner)
