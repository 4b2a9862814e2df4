# SPDX-License-Identifier: MIT
"""MOM takes what `torqueckpt configure openpbs` has written."""

from __future__ import annotations

from tests.openpbs.private import PrivateOpenPBS


def test_mom_takes_the_lines_and_a_second_time_changes_nothing(openpbs: PrivateOpenPBS) -> None:
    before = openpbs.mom_config.read_bytes()
    again = openpbs.check(*openpbs.configure_argv("--apply"))
    assert "nothing to change" in again
    assert openpbs.mom_config.read_bytes() == before
    openpbs.check(*openpbs.configure_argv("--check"))

    read = openpbs.mom_log()
    for action in ("checkpoint", "checkpoint_abort", "restart"):
        assert f"action;{action}: " in read
    assert "set_restart_transmogrify;true" in read
    assert f"Setting checkpoint path to {openpbs.pointers}/" in read
    for complaint in ("WARNING", "Unable to", "unrecognized", "error in line", "not set"):
        assert complaint not in read, read
