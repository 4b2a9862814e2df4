# SPDX-License-Identifier: MIT
"""LSF: read and write its queues' configuration, and parse how sbatchd calls our programs."""
