# SPDX-License-Identifier: MIT
"""The images that there are: list, show, verify, delete, prune."""
