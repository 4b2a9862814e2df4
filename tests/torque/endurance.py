# SPDX-License-Identifier: MIT
"""Handles, memory and threads, against a real TORQUE server."""

from __future__ import annotations

from tests.ifl.server_endurance import ServerEndurance


class TestTORQUE(ServerEndurance):
    pass
