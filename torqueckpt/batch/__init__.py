# SPDX-License-Identifier: MIT
"""Batch systems: the argv and environment of their calls, their files, and a local one built in."""
