# SPDX-License-Identifier: MIT
"""What happened to jobs, in tables, pages and metrics; how often to checkpoint."""
