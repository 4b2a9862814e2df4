#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ask a node's pbs_mom for its values; needs root, and the MOM to know this host.

mom_values.py NODE [NAME…]
"""

import sys

import pbs


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    number = pbs.openrm(sys.argv[1], 0)
    if number < 0:
        print(f"mom_values: cannot reach the pbs_mom on {sys.argv[1]}", file=sys.stderr)
        return 1
    for name, value in pbs.get_mom_values(number, sys.argv[2:]).items():
        print(f"{name} = {value}")
    pbs.closerm(number)
    return 0


if __name__ == "__main__":
    sys.exit(main())
