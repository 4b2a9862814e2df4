# SPDX-License-Identifier: MIT
"""`torqueckpt configure torque` for a mom_priv without a config, and the prologue it writes."""

from __future__ import annotations

from pathlib import Path

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque


def test_an_empty_mom_priv_is_right_after_one_apply(torque: PrivateTorque) -> None:
    empty = torque.root / "empty"
    empty.mkdir()
    before = torque.run(*torque.configure_argv("--check", mom_priv=empty))
    assert (before.returncode, "are not there" in before.stdout) == (86, True)
    torque.check(*torque.configure_argv("--apply", mom_priv=empty))
    text = (empty / "config").read_text()
    assert torque.findings(empty) == ""
    assert "nothing to change" in torque.check(*torque.configure_argv("--apply", mom_priv=empty))
    assert (empty / "config").read_text() == text
    assert [path.name for path in empty.iterdir()] == ["config"]


def test_the_prologue_refuses_a_job_whose_directory_is_a_command(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    out = torque.root / "generated"
    torque.check(*torque.configure_argv("--output", str(out), "--prefix", str(torque.prefix)))
    prologue = torque.root / "home/mom_priv/prologue"
    prologue.write_bytes((out / "mom_priv/torqueckpt-prologue").read_bytes())
    prologue.chmod(0o500)
    script = owner.script(count_script(40), directory)
    try:
        done = torque.root / "done"
        job = torque.submit(owner, script, "-c", f"enabled,dir={directory}/x;touch>{done}")
        status = torque.wait_for_state(job, "C")
        assert status["exit_status"] == "-2"
        assert status["comment"].startswith("refused: its Checkpoint holds characters")
        assert not done.exists()
        other = torque.start_job(owner, script, "-c", f"enabled,dir={directory}/images")
        torque.wait_for_line(other, 1)
    finally:
        prologue.unlink()


def test_a_job_whose_server_does_not_tell_its_attributes_is_started_later(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    """The check's qstat fails at first, as when the server hangs: the job is not lost."""
    client, tries = torque.root / "client", torque.root / "tries"
    (client / "bin").mkdir(parents=True)
    qstat = client / "bin/qstat"
    qstat.write_text(
        f"#!/bin/sh\necho >>{tries}\n"
        f'[ $(wc -l <{tries}) -gt 2 ] || exit 153\nexec {torque.prefix}/bin/qstat "$@"\n'
    )
    qstat.chmod(0o755)
    out = torque.root / "generated-later"
    torque.check(*torque.configure_argv("--output", str(out), "--prefix", str(client)))
    prologue = torque.root / "home/mom_priv/prologue"
    prologue.write_bytes((out / "mom_priv/torqueckpt-prologue").read_bytes())
    prologue.chmod(0o500)
    try:
        limits = ("-l", "walltime=300,mem=200mb")
        script = owner.script(count_script(20), directory)
        job = torque.submit(owner, script, "-c", "enabled", *limits)
        assert torque.wait_for_exit(job, 120) == "7"
        assert torque.delivered(job, directory) == (lines(20), "")
        assert len(tries.read_text()) == 3
    finally:
        prologue.unlink()
