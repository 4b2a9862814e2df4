# SPDX-License-Identifier: MIT
"""`torqueckpt doctor` on a node of a real OpenPBS."""

from __future__ import annotations

import json

from tests.openpbs.private import PrivateOpenPBS
from tests.support import User


def test_server_and_mom_are_found_and_a_job_of_the_node_is_proof(
    openpbs: PrivateOpenPBS, owner: User
) -> None:
    words = ("doctor", "--json", "--job-user", owner.name)
    rows = json.loads(openpbs.run(openpbs.torqueckpt, *words, seconds=100).stdout)["rows"]
    told = {row["check"]: row for row in reversed(rows)}  # the first of each check
    assert told["MOM's configuration"]["outcome"] == "ok", told["MOM's configuration"]
    assert str(openpbs.home / "mom_priv") in told["MOM's configuration"]["what"]
    assert ", OpenPBS " in told["server"]["what"]
    assert not [row for row in rows if "timer" in row["what"]]  # OpenPBS's fires
    assert [row["outcome"] for row in rows if row["group"] == "proof"] == ["ok", "ok"]
