# SPDX-License-Identifier: MIT
"""LSF: its queues' configuration, and what sbatchd tells the programs that it calls."""
