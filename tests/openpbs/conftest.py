# SPDX-License-Identifier: MIT
"""Tests against an installed OpenPBS; the report's header says whether they ran.

It is looked for at $TORQUECKPT_OPENPBS (a prefix), else around the pbs_server on PATH.
"""

from __future__ import annotations

import pwd

import pytest

from tests.ifl.batch import Batch, find, ordinary_user

BATCH, FOUND = find("TORQUECKPT_OPENPBS", "libpbs.so", is_openpbs=True)
USER = ordinary_user()


def pytest_report_collectionfinish() -> list[str]:
    found = FOUND if USER or BATCH is None else "DID NOT RUN: there is no ordinary user"
    return [f"torqueckpt: tests with an OpenPBS server: {found}"]


@pytest.fixture(scope="session")
def batch() -> Batch:
    if BATCH is None:
        pytest.skip(f"OpenPBS: {FOUND}")
    return BATCH


@pytest.fixture(scope="session")
def user() -> pwd.struct_passwd:
    if USER is None:
        pytest.skip("no ordinary user to submit as")
    return USER
