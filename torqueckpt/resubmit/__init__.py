# SPDX-License-Identifier: MIT
"""Write the resume script, and submit it with all that the old job had asked for."""
