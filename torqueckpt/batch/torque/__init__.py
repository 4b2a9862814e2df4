# SPDX-License-Identifier: MIT
"""TORQUE: the argument lists of pbs_mom's calls, from 2005 to 6.1."""
