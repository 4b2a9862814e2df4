# SPDX-License-Identifier: MIT
"""What only OpenPBS can do; tests/batch has what TORQUE does as well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.batch.fixtures import directory as directory
from tests.batch.fixtures import owner as owner
from tests.batch.fixtures import user as user
from tests.openpbs.private import PrivateOpenPBS
from tests.support import User


@pytest.fixture
def openpbs(openpbs_server: PrivateOpenPBS, owner: User) -> Iterator[PrivateOpenPBS]:
    """The server; a test leaves nothing to the next."""
    openpbs_server.configure()
    yield openpbs_server
    openpbs_server.leave_nothing(owner)
