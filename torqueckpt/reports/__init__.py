# SPDX-License-Identifier: MIT
"""Report what happened to jobs, in tables, pages and metrics; say how often to checkpoint."""
