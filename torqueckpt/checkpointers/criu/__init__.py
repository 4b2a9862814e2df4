# SPDX-License-Identifier: MIT
"""CRIU: command lines, log, image files, and what it cannot dump."""
