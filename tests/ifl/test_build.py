# SPDX-License-Identifier: MIT
"""The committed module is what the declarations give."""

from __future__ import annotations

from torqueckpt.ifl.build import MODULE, generated


def test_the_committed_module_is_what_the_build_writes() -> None:
    assert MODULE.read_text() == generated(), "run: python -m torqueckpt.ifl.build"
