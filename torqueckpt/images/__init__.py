# SPDX-License-Identifier: MIT
"""Work on images that there are: list, show, verify, delete, prune."""
