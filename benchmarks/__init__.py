# SPDX-License-Identifier: MIT
"""Measurements of the installed programs beside the bare checkpointer; see docs/performance.md."""
