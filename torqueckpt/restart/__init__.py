# SPDX-License-Identifier: MIT
"""Bringing a job back from an image: in a new job, or in place."""
