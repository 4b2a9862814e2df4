# SPDX-License-Identifier: MIT
"""Whether a node is fit for checkpoints, and what mends it."""
