# SPDX-License-Identifier: MIT
"""The local batch system: pbs_mom played on one machine, for one job at a time."""
