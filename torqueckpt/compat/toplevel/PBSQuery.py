# SPDX-License-Identifier: MIT
"""`from PBSQuery import PBSQuery, PBSError`, as programs written for pbs_python do."""

import sys

from torqueckpt.compat import query

sys.modules[__name__] = query
