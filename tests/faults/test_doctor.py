# SPDX-License-Identifier: MIT
"""A store that takes root for nobody, is slow, or fails: the doctor says so."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.faults.test_fuse import Orders
from tests.faults.test_fuse import told as told
from tests.support import Site, User


def _rows(site: Site, *words: str) -> dict[str, list[dict[str, Any]]]:
    """Check → its rows."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(site.call(None, "doctor", "--json", *words).stdout)["rows"]:
        found.setdefault(row["check"], []).append(row)
    return found


def test_a_store_whose_server_takes_root_for_nobody(site: Site, user: User, told: Orders) -> None:
    (well,) = _rows(site)["speed"]
    assert well["outcome"] in ("ok", "warning") and "MiB/s" in well["what"]
    mine = site.store / "jobs" / user.name
    told("squash")
    (row,) = _rows(site)["speed"]
    assert row["outcome"] == "warning" and "takes root for nobody" in row["what"]
    assert f"make {site.store}/jobs/USER for each user" in row["fix"]
    row, his = _rows(site, "--job-user", user.name)["speed"]
    assert his["outcome"] == "failure" and his["what"].startswith(f"{user.name} cannot write")
    told("")
    mine.mkdir(mode=0o700)
    os.chown(mine, user.uid, user.gid)
    told("squash")
    found = _rows(site, "--job-user", user.name)
    assert "MiB/s" in found["speed"][1]["what"]
    assert [row["outcome"] for row in found["dump and restart"]] == ["ok", "ok"]


def test_a_store_that_takes_its_time(site: Site, told: Orders) -> None:
    told("slow 30")
    (row,) = _rows(site)["speed"]
    assert row["outcome"] == "warning" and row["fix"].startswith("a faster disk")


@pytest.mark.parametrize("order", ["write EIO 3", "fsync EIO 1", "statfs EIO 1"])
def test_a_store_that_fails(site: Site, told: Orders, order: str) -> None:
    told(order)
    rows = [row for check in _rows(site).values() for row in check if row["group"] == "store"]
    bad = [row for row in rows if row["outcome"] == "failure"]
    assert bad and all(row["fix"] for row in bad)
    assert any("Input/output error" in row["what"] for row in bad)
