# SPDX-License-Identifier: MIT
"""Fixtures of the tests with a real TORQUE or OpenPBS; the report's header says whether they ran.

The systems are looked for at $TORQUECKPT_TORQUE and $TORQUECKPT_OPENPBS (prefixes), else around the
pbs_server on PATH.  Each is started, when the first test asks for it, in namespaces of the tests'
own: nothing of it needs to run.  tests/conftest.py has the two servers, so that the tests of all
directories share them; the other fixtures are imported where they are used.
"""

from __future__ import annotations

import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch.private import Installed, PrivateBatch, installed
from tests.ifl.batch import Batch, find, ordinary_user
from tests.openpbs.private import PrivateOpenPBS
from tests.support import User
from tests.torque.private import PrivateTorque

USER = ordinary_user()
TORQUE = installed("TORQUECKPT_TORQUE", "libtorque.so", USER is not None)
OPENPBS = installed("TORQUECKPT_OPENPBS", "libpbs.so", USER is not None)


def report() -> list[str]:
    """For the header of the tests' report."""
    return [TORQUE.report("TORQUE"), OPENPBS.report("OpenPBS")]


def _started(
    kind: type[PrivateTorque] | type[PrivateOpenPBS], found: Installed
) -> Iterator[PrivateBatch]:
    if found.reason:
        pytest.skip(f"{kind.title}: {found.reason}")
    made = kind(found.prefix, found.library)
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="session")
def torque_server() -> Iterator[PrivateBatch]:
    yield from _started(PrivateTorque, TORQUE)


@pytest.fixture(scope="session")
def openpbs_server() -> Iterator[PrivateBatch]:
    yield from _started(PrivateOpenPBS, OPENPBS)


@pytest.fixture(scope="session")
def batch() -> Batch:
    """A server that runs already, for the files of calls (tests/batch/test_calls.py runs them)."""
    torque, of_torque = find("TORQUECKPT_TORQUE", "libtorque.so", is_openpbs=False)
    openpbs, of_openpbs = find("TORQUECKPT_OPENPBS", "libpbs.so", is_openpbs=True)
    found = torque or openpbs
    if found is None:
        pytest.skip(f"TORQUE: {of_torque}; OpenPBS: {of_openpbs}")
    return found


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
