# SPDX-License-Identifier: MIT
"""`torqueckpt doctor` on the timer of TORQUE's MOM, which fires in some versions alone."""

from __future__ import annotations

import signal
import subprocess

from tests.batch.test_doctor import doctor
from tests.torque.private import PrivateTorque


def test_a_timer_that_never_fires_wants_the_periodic_service(torque: PrivateTorque) -> None:
    fires = torque.forgets_a_second_end  # 4.2.10
    _, rows = doctor(torque)
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
            served = [row for row in doctor(torque)[1]["server"] if "periodic" in row["what"]]
            assert [row["outcome"] for row in served] == ["ok"]
            torque.wait(figures.exists, "the service's figures for Prometheus")
            assert "torqueckpt_store_free_bytes" in figures.read_text()
        finally:
            for pid in torque.run("pgrep", "-f", "torqueckpt periodic").stdout.split():
                torque.kill(int(pid), signal.SIGTERM)
