# SPDX-License-Identifier: MIT
"""Other checkpointers' commands on top of CRIU and the store, for the scripts that call them.

What stood behind them, kernel modules for Altix and of BLCR, exists for no kernel of today.
"""
