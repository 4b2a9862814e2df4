# SPDX-License-Identifier: MIT
"""cr_restart, as BLCR has it (source: its man page): goes on from a file of cr_checkpoint's.

    cr_restart [-q] [-f] FILE

It stays as the job's parent; its exit status is the job's.
"""

from __future__ import annotations

import argparse

from torqueckpt import settings
from torqueckpt.shims import command, dumped, named


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("cr_restart", allow_abbrev=False)
    parser.add_argument("-q", "--quiet", action="store_true", help="no messages")
    for option in ("--run", "--restore-pid"):
        parser.add_argument(option, action="store_true", help="accepted: it is so in any case")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("-f", "--file", metavar="FILE", type=command.place)
    which.add_argument("place", metavar="FILE", nargs="?", type=command.place)
    asked = parser.parse_args(argv)
    place = asked.file or asked.place

    def action() -> int:
        dumped.resume(named.find(place, settings.load()), dumped.owner_of_name(place))

    return command.run("cr_restart", asked.quiet, action)
