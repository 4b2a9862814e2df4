# SPDX-License-Identifier: MIT
"""The user has put a program of his own in criu's place: it gains nothing (docs/security.md)."""
