# SPDX-License-Identifier: MIT
"""`torqueckpt doctor` has nothing to say on the timer of OpenPBS's MOM, which fires."""

from __future__ import annotations

from tests.batch.test_doctor import doctor
from tests.openpbs.private import PrivateOpenPBS


def test_no_row_speaks_of_a_timer(openpbs: PrivateOpenPBS) -> None:
    _, rows = doctor(openpbs)
    assert rows["server"][0]["outcome"] == "ok"
    assert not [row for each in rows.values() for row in each if "timer" in row["what"]]
