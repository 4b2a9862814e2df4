# SPDX-License-Identifier: MIT
"""`import pbs`, as programs written for pbs_python do; ImportError without a PBS library."""

import sys

from torqueckpt.compat import pbs

sys.modules[__name__] = pbs
