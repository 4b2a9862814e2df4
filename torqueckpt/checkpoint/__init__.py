# SPDX-License-Identifier: MIT
"""Taking a checkpoint: from MOM's call to a whole image that is known."""
