# SPDX-License-Identifier: MIT
"""MOM takes what `torqueckpt configure` has written."""

from __future__ import annotations

from tests.batch.private import PrivateBatch


def test_a_second_time_changes_nothing_and_mom_has_taken_every_line(server: PrivateBatch) -> None:
    before = server.mom_config.read_bytes()
    again = server.check(*server.configure_argv("--apply"))
    assert "nothing to change" in again
    assert server.mom_config.read_bytes() == before
    assert server.findings() == ""

    read_before = len(server.mom_log())
    server.kill_mom()
    server.start_mom()
    server.wait_until_free()
    told = server.mom_log()[read_before:].lower()
    for taken in server.config_in_log():
        assert taken.lower() in told, told
    for complaint in server.config_errors:
        assert complaint.lower() not in told, told
