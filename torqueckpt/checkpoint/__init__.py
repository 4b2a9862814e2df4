# SPDX-License-Identifier: MIT
"""Take checkpoints: from MOM's call to a whole image that every name leads to."""
