# SPDX-License-Identifier: MIT
"""`torqueckpt doctor` on a node of a real TORQUE: its server, its timer, its MOM."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

from tests.support import User
from tests.torque.private import PrivateTorque


def _doctor(torque: PrivateTorque, *words: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Its exit status, and check → rows."""
    done = torque.run(torque.torqueckpt, "doctor", "--json", *words, seconds=100)
    found: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(done.stdout)["rows"]:
        found.setdefault(row["check"], []).append(row)
    return done.returncode, found


def test_server_and_mom_are_found_and_a_job_of_the_node_is_proof(
    torque: PrivateTorque, owner: User
) -> None:
    _, rows = _doctor(torque, "--job-user", owner.name)
    (config,) = rows["MOM's configuration"]
    assert config["outcome"] == "ok" and str(torque.mom_priv) in config["what"]
    assert rows["limits"][0]["what"].startswith("pbs_mom")
    assert rows["capabilities"][0]["what"].startswith("pbs_mom has")
    told = [row["what"] for row in rows["server"]]
    version = torque.check("qstat", "-B", "-f").partition("pbs_version = ")[2].split()[0]
    assert told[0].endswith(f", TORQUE {version}")
    assert not any("is no operator" in each for each in told)
    assert [row["outcome"] for row in rows["dump and restart"]] == ["ok", "ok"]


def test_a_timer_that_never_fires_wants_the_periodic_service(torque: PrivateTorque) -> None:
    fires = torque.forgets_a_second_end  # 4.2.10
    _, rows = _doctor(torque)
    (timer,) = [row for row in rows["server"] if "timer" in row["what"]]
    if fires:
        assert timer["outcome"] == "ok"
        return
    assert timer["outcome"] == "failure" and "never fires" in timer["what"]
    assert timer["fix"] == "systemctl enable --now torqueckpt-periodic"
    figures = torque.root / "torqueckpt.prom"
    torque.configure(metrics_textfile=str(figures))
    argv = torque.argv(torque.torqueckpt, "periodic")
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        try:
            torque.wait(lambda: "periodic" in torque.run("ps", "ax").stdout, "the service")
            served = [row for row in _doctor(torque)[1]["server"] if "periodic" in row["what"]]
            assert [row["outcome"] for row in served] == ["ok"]
            torque.wait(figures.exists, "the service's figures for Prometheus")
            assert "torqueckpt_store_free_bytes" in figures.read_text()
        finally:
            for pid in torque.run("pgrep", "-f", "torqueckpt periodic").stdout.split():
                torque.kill(int(pid), signal.SIGTERM)


def test_a_server_that_is_gone(torque: PrivateTorque) -> None:
    torque.configure(pbs_library="/nowhere/libtorque.so")
    _, rows = _doctor(torque)
    assert [row["outcome"] for row in rows["server"]] == ["warning"]


def test_a_mom_whose_configuration_was_edited(torque: PrivateTorque) -> None:
    config = torque.inside(torque.mom_priv / "config")
    before = config.read_bytes()
    config.write_bytes(before.replace(b"$restart_script", b"#$restart_script"))
    try:
        status, rows = _doctor(torque)
    finally:
        config.write_bytes(before)
    assert status == 111 and rows["MOM's configuration"][0]["outcome"] == "failure"
    assert rows["MOM's configuration"][0]["fix"] == "torqueckpt configure torque --apply"
