# SPDX-License-Identifier: MIT
"""Configure a site's batch systems: what is generated, compared and put in place."""
