# SPDX-License-Identifier: MIT
"""The calls, and handles, memory and threads, against a real server."""

from __future__ import annotations

from tests.ifl.server_calls import ServerCalls
from tests.ifl.server_endurance import ServerEndurance


class TestCalls(ServerCalls):
    pass


class TestEndurance(ServerEndurance):
    pass
