# SPDX-License-Identifier: MIT
"""How root starts its own programs, and how it holds the checkpointers that it runs for users."""
