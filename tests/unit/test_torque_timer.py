# SPDX-License-Identifier: MIT
"""Releases of TORQUE whose MOM never takes a periodic checkpoint are known."""

from __future__ import annotations

import pytest

from torqueckpt.batch.torque import mom_config


@pytest.mark.parametrize(
    ("version", "works"),
    [
        ("2.5.13", True),
        ("4.1.7", True),
        ("4.2.0", True),
        ("4.2.10", True),
        ("4.2.10.h1", True),
        ("4.2.10.h2", False),
        ("5.0.2", True),
        ("5.0.3", False),
        ("5.1.1", True),
        ("5.1.2-1449853264_b0c0e9d", False),
        ("6.0.0", False),
        ("6.1.3.h5", False),
        ("6.1-dev", False),
        ("master", False),
        ("3.0.6", None),
        ("7.0.0", None),
        ("", None),
    ],
)
def test_the_timer_of_a_release(version: str, works: bool | None) -> None:
    assert mom_config.works(version) is works
