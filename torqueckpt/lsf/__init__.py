# SPDX-License-Identifier: MIT
"""Jobs of LSF, suspended to disk and resumed; LSF's own checkpoints."""
