# SPDX-License-Identifier: MIT
"""A node's own work: periodic checkpoints, draining, and commands on many nodes."""
