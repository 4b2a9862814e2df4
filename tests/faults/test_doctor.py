# SPDX-License-Identifier: MIT
"""A store that takes root for nobody, is slow, or fails: the doctor says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults.test_fuse import Orders
from tests.faults.test_fuse import told as told
from tests.support import Site


def _of_the_store(site: Site) -> dict[str, dict[str, Any]]:
    rows = json.loads(site.call(None, "doctor", "--json").stdout)["rows"]
    return {row["check"]: row for row in rows if row["group"] == "store"}


def test_a_store_whose_server_takes_root_for_nobody(site: Site, told: Orders) -> None:
    well = _of_the_store(site)
    assert well["speed"]["outcome"] in ("ok", "warning") and "squash" not in str(well)
    told("create EACCES 1")
    row = _of_the_store(site)["speed"]
    assert row["outcome"] == "warning" and "takes root for nobody" in row["what"]
    assert f"make {site.store}/jobs/USER for each user" in row["fix"]


def test_a_store_that_takes_its_time(site: Site, told: Orders) -> None:
    told("slow 30")
    row = _of_the_store(site)["speed"]
    assert row["outcome"] == "warning" and row["fix"].startswith("a faster disk")


@pytest.mark.parametrize("order", ["write EIO 3", "fsync EIO 1", "statfs EIO 1"])
def test_a_store_that_fails(site: Site, told: Orders, order: str) -> None:
    told(order)
    bad = [row for row in _of_the_store(site).values() if row["outcome"] == "failure"]
    assert bad and all(row["fix"] for row in bad)
    assert any("Input/output error" in row["what"] for row in bad)
