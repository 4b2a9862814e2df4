# SPDX-License-Identifier: MIT
"""A sbatchd for each test, with users and programs of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lsf.sbatchd import Sbatchd
from tests.support import Site, User


@pytest.fixture
def lsf(site: Site, user: User) -> Iterator[Sbatchd]:
    made = Sbatchd(site, user, user.directory())
    yield made
    made.end()
