# SPDX-License-Identifier: MIT
"""The checkpointers: CRIU, DMTCP, BLCR, SGI's chkpnt; command lines, texts and images of each."""

from __future__ import annotations
