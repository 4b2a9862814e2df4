# SPDX-License-Identifier: MIT
"""The torqueckpt command: what people call."""
