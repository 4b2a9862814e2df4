# SPDX-License-Identifier: MIT
"""Check whether a node is fit for checkpoints, and say what fixes it."""
