# SPDX-License-Identifier: MIT
"""docs/security.md names a test for each of its claims: the test must be there."""

from __future__ import annotations

import re
from pathlib import Path

_TOP = Path(__file__).resolve().parents[2]
_NAMED = re.compile(r"\[(tests/[\w/]+\.py)::(test_\w+)\]")


def test_every_claim_about_security_names_a_test_that_exists() -> None:
    page = (_TOP / "docs" / "security.md").read_text()
    named = _NAMED.findall(page)
    assert len(named) > 40 and len(named) == page.count("::test_")
    missing = [f"{f}::{t}" for f, t in named if f"def {t}(" not in (_TOP / f).read_text()]
    assert missing == []
