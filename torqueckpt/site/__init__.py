# SPDX-License-Identifier: MIT
"""Configuring a site's batch systems: what is generated, compared and put in place."""
