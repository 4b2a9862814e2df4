# SPDX-License-Identifier: MIT
"""Programs that daemons and sudo call: silent on stdout, one line on stderr, fast to start."""
