# SPDX-License-Identifier: MIT
"""Work of a node's own: periodic checkpoints, draining, and commands on many nodes."""
