# SPDX-License-Identifier: MIT
"""The job's files at a checkpoint and at a restart; all of it done as the owner."""
