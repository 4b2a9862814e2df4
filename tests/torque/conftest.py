# SPDX-License-Identifier: MIT
"""What only TORQUE can do; tests/batch has what OpenPBS does as well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.batch.fixtures import batch as batch
from tests.batch.fixtures import directory as directory
from tests.batch.fixtures import owner as owner
from tests.batch.fixtures import user as user
from tests.support import User
from tests.torque.private import PrivateTorque


@pytest.fixture
def torque(torque_server: PrivateTorque, owner: User) -> Iterator[PrivateTorque]:
    """The server; a test leaves nothing to the next."""
    torque_server.configure()
    yield torque_server
    torque_server.leave_nothing(owner)
