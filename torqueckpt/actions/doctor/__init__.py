# SPDX-License-Identifier: MIT
"""Whether a node can checkpoint and restart jobs; what is in the way, and how it is put right."""
