# SPDX-License-Identifier: MIT
"""Processes: who they are, which belong to a job, how they are signalled, supervised, become."""
