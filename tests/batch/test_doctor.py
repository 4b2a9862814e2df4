# SPDX-License-Identifier: MIT
"""`torqueckpt doctor` on a node of a real batch system: its server and its MOM."""

from __future__ import annotations

import json
from typing import Any

from tests.batch.private import PrivateBatch
from tests.support import User


def doctor(server: PrivateBatch, *words: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Its exit status, and check → rows."""
    done = server.run(server.torqueckpt, "doctor", "--json", *words, seconds=100)
    found: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(done.stdout)["rows"]:
        found.setdefault(row["check"], []).append(row)
    return done.returncode, found


def test_server_and_mom_are_found_and_a_job_of_the_node_is_proof(
    server: PrivateBatch, owner: User
) -> None:
    _, rows = doctor(server, "--job-user", owner.name)
    config = rows["MOM's configuration"][0]
    assert config["outcome"] == "ok" and str(server.home / "mom_priv") in config["what"], config
    assert rows["limits"][0]["what"].startswith("pbs_mom")
    assert rows["capabilities"][0]["what"].startswith("pbs_mom has")
    told = [row["what"] for row in rows["server"]]
    version = server.check("qstat", "-B", "-f").partition("pbs_version = ")[2].split()[0]
    assert told[0].endswith(f", {server.title} {version}")
    assert not any("is no operator" in each for each in told)
    proof = [row for check in rows.values() for row in check if row["group"] == "proof"]
    assert [row["check"] for row in proof] == ["dump and restart"] * 2
    assert [row["outcome"] for row in proof] == ["ok", "ok"]


def test_a_server_that_is_gone(server: PrivateBatch) -> None:
    server.configure(pbs_library=f"/nowhere/{server.library.name}")
    _, rows = doctor(server)
    assert [row["outcome"] for row in rows["server"]] == ["warning"]


def test_a_mom_whose_configuration_was_edited(server: PrivateBatch) -> None:
    before = server.mom_config.read_bytes()
    ours = next(li for li in before.splitlines() if b"restart" in li and b"mom-restart" in li)
    server.mom_config.write_bytes(before.replace(ours, b"#" + ours))
    try:
        status, rows = doctor(server)
    finally:
        server.mom_config.write_bytes(before)
    assert status == 111 and rows["MOM's configuration"][0]["outcome"] == "failure"
    fix = f"torqueckpt configure {server.name} --apply"
    assert rows["MOM's configuration"][0]["fix"] == fix
