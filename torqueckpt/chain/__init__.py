# SPDX-License-Identifier: MIT
"""Do a job that is longer than its queue's walltime as a chain of jobs."""
