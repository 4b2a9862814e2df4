# SPDX-License-Identifier: MIT
"""docs/security.md gives the number of a test for each of its claims: the test must be there."""

from __future__ import annotations

import re
from pathlib import Path

_TOP = Path(__file__).resolve().parents[2]
_USED = re.compile(r"\[([0-9, ]+)\]")
_LISTED = re.compile(r"([0-9]+)\. (tests/[a-z_/]+\.py)::(test_[a-z_]+)")


def test_every_claim_about_security_names_a_test_that_exists() -> None:
    claims, _, listing = (_TOP / "docs" / "security.md").read_text().partition("## The tests\n\n")
    tests = [_LISTED.fullmatch(line) for line in listing.splitlines()]
    listed = [found.groups() for found in tests if found is not None]
    assert len(listed) == len(tests)
    used = [number for each in _USED.findall(claims) for number in each.split(", ")]
    assert list(dict.fromkeys(used)) == [number for number, _, _ in listed]
    missing = [f"{f}::{t}" for _, f, t in listed if f"def {t}(" not in (_TOP / f).read_text()]
    assert missing == []
