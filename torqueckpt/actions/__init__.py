# SPDX-License-Identifier: MIT
"""What is done for a job, each a story of a screen: checkpoint, restart, resume job, catalogue."""
