# SPDX-License-Identifier: MIT
"""Fixtures that tests with a private TORQUE and with a private OpenPBS share; conftests import."""

from __future__ import annotations

import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ifl.batch import ordinary_user
from tests.support import User

USER = ordinary_user()


@pytest.fixture(scope="session")
def user() -> pwd.struct_passwd:
    """Who submits."""
    if USER is None:
        pytest.skip("no ordinary user to submit as")
    return USER


@pytest.fixture(scope="session")
def owner(user: pwd.struct_passwd) -> User:
    """The same, for tests of jobs."""
    return User(user.pw_name, user.pw_uid, user.pw_gid, Path(user.pw_dir))


@pytest.fixture
def directory(owner: User) -> Iterator[Path]:
    """One of the user's, for one test."""
    made = owner.directory()
    yield made
    shutil.rmtree(made)
