# SPDX-License-Identifier: MIT
"""The tests of calls, which want a server that runs, run where the tests' own one does."""

from __future__ import annotations

import sys

from tests.support import REPOSITORY, User
from tests.torque.private import PrivateTorque


def test_the_tests_of_calls_pass_with_the_private_server(
    torque: PrivateTorque, owner: User
) -> None:
    given = (f"TORQUECKPT_TORQUE={torque.prefix}", f"TORQUECKPT_TEST_USER={owner.name}")
    files = ("tests/torque/calls.py", "tests/torque/endurance.py")
    argv = ["env", *given, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    torque.check("qmgr", "-c", "set server scheduler_iteration=600")  # it asks MOM too
    try:
        done = torque.run(*argv, directory=REPOSITORY, seconds=300)
    finally:
        torque.check("qmgr", "-c", "set server scheduler_iteration=1")
    print(done.stdout)
    assert done.returncode == 0 and "skipped" not in done.stdout.splitlines()[-1]
