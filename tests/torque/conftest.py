# SPDX-License-Identifier: MIT
"""Tests against an installed TORQUE; the report's header says whether they ran.

It is looked for at $TORQUECKPT_TORQUE (a prefix), else around the pbs_server on PATH, and started
in namespaces of the tests' own: nothing of it needs to run.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ifl.batch import Batch, find
from tests.private_batch import installed
from tests.private_fixtures import USER
from tests.private_fixtures import directory as directory
from tests.private_fixtures import owner as owner
from tests.private_fixtures import user as user
from tests.support import User
from tests.torque.private import PrivateTorque

INSTALLED = installed("TORQUECKPT_TORQUE", "libtorque.so", USER is not None)


def report() -> str:
    """For the header of the tests' report."""
    return INSTALLED.report("TORQUE")


@pytest.fixture(scope="session")
def server() -> Iterator[PrivateTorque]:
    if INSTALLED.reason:
        pytest.skip(f"TORQUE: {INSTALLED.reason}")
    made = PrivateTorque(INSTALLED.prefix, INSTALLED.library)
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def torque(server: PrivateTorque, owner: User) -> Iterator[PrivateTorque]:
    """The server, for tests of jobs: each leaves nothing to the next."""
    server.configure()
    yield server
    server.leave_nothing(owner)


@pytest.fixture(scope="session")
def batch() -> Batch:
    """A server that runs already, for calls.py and endurance.py (test_calls.py runs them)."""
    found, told = find("TORQUECKPT_TORQUE", "libtorque.so", is_openpbs=False)
    if found is None:
        pytest.skip(f"TORQUE: {told}")
    return found
