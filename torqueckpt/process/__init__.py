# SPDX-License-Identifier: MIT
"""Processes of this node: identity, jobs, signals, supervision, and becoming an owner."""
