# SPDX-License-Identifier: MIT
"""Images on disk: owners' directories, lineages, generations; whole or not at all.

All below jobs/USER/ belongs to the user and is read and written as him: callers are inside
process.become.acting_as().  Only the root directory's links are root's.
"""
