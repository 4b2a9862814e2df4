# SPDX-License-Identifier: MIT
"""The modules that programs written for pbs_python import: pbs and PBSQuery.

toplevel/ holds the two files that are installed under those names.
"""
