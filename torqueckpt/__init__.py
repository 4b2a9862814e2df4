# SPDX-License-Identifier: MIT
"""Checkpoint/restart for batch jobs on TORQUE/PBS and LSF."""

__version__ = "0.1.0"
