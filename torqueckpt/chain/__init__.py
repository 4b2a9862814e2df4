# SPDX-License-Identifier: MIT
"""A job longer than its queue's walltime, done as a chain of jobs."""
