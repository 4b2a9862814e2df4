# SPDX-License-Identifier: MIT
"""One image restored again and again on a busy machine (TORQUECKPT_LONG=1: 1000 times each)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.batch.private import LONG
from tests.job.restores import KINDS
from tests.support import REPOSITORY, User

_TIMES = 1000 if LONG else 25


@pytest.mark.parametrize("kind", KINDS)
def test_each_restore_of_a_tree_of_ten_succeeds_whatever_it_does_first(
    user: User, kind: str
) -> None:
    words = [sys.executable, "-m", "tests.job.restores", user.name, kind, str(_TIMES)]
    told = subprocess.run(
        words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert told.returncode == 0
    assert json.loads(told.stdout) == {"restored": _TIMES}
