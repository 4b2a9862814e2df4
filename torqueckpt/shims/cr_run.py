# SPDX-License-Identifier: MIT
"""cr_run, as BLCR has it: starts a program so that it can be checkpointed.

    cr_run PROGRAM [ARGUMENT…]

BLCR's loads a library into it.  CRIU needs none: the program is started as it is.
"""

from __future__ import annotations

import argparse
import os
import sys


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("cr_run", allow_abbrev=False)
    parser.add_argument("--omit", action="store_true", help="accepted")
    parser.add_argument("--run", action="store_true", help="accepted")
    parser.add_argument("program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    asked = parser.parse_args(argv)
    try:
        os.execvp(asked.program, [asked.program, *asked.arguments])
    except OSError as problem:
        print(f"cr_run: {asked.program}: {problem.strerror}", file=sys.stderr)
        return 127
