# SPDX-License-Identifier: MIT
"""What TORQUE and OpenPBS both do: each test runs with a server of each that is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.batch.fixtures import batch as batch
from tests.batch.fixtures import directory as directory
from tests.batch.fixtures import owner as owner
from tests.batch.fixtures import user as user
from tests.batch.private import PrivateBatch
from tests.support import User


@pytest.fixture(params=["torque", "openpbs"])
def server(request: pytest.FixtureRequest, owner: User) -> Iterator[PrivateBatch]:
    """The one, then the other; a test leaves nothing to the next."""
    started: PrivateBatch = request.getfixturevalue(f"{request.param}_server")
    started.configure()
    yield started
    started.leave_nothing(owner)
