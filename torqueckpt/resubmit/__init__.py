# SPDX-License-Identifier: MIT
"""The resume script, and its submission with all that the old job had asked for."""
