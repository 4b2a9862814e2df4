# SPDX-License-Identifier: MIT
"""The calls, against a real OpenPBS server."""

from __future__ import annotations

from tests.ifl.server_calls import ServerCalls


class TestOpenPBS(ServerCalls):
    pass
