# SPDX-License-Identifier: MIT
"""OpenPBS: what its pbs_mom reads and calls."""
