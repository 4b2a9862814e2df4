# SPDX-License-Identifier: MIT
"""The tests of calls, which want a server that runs, run where the tests' own one does."""

from __future__ import annotations

import sys

from tests.batch.private import PrivateBatch
from tests.support import REPOSITORY, User


def test_the_tests_of_calls_pass_with_the_private_server(server: PrivateBatch, owner: User) -> None:
    variable = f"TORQUECKPT_{server.name.upper()}={server.prefix}"
    argv = ["env", variable, f"TORQUECKPT_TEST_USER={owner.name}", sys.executable]
    argv += ["-m", "pytest", "-q", "-p", "no:cacheprovider", *server.call_tests]
    with server.quiet_scheduler():
        done = server.run(*argv, directory=REPOSITORY, seconds=300)
    print(done.stdout)
    assert done.returncode == 0 and "skipped" not in done.stdout.splitlines()[-1]
