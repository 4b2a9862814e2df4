# SPDX-License-Identifier: MIT
"""cr_checkpoint, as BLCR has it (source: its man page): dumps a process with all below it.

    cr_checkpoint [-q] [--tree] [-f FILE] [--run|--term|--kill|--stop] PID

FILE, context.PID in the working directory when it is not given, becomes a small file that stands
for the image; the image lies in the store.  With --term, as with --kill, nothing of the tree runs
on after the dump.
"""

from __future__ import annotations

import argparse
import sys

from torqueckpt import log, settings
from torqueckpt.errors import TorqueCkptError
from torqueckpt.process import proc, signals
from torqueckpt.shims import command, dump, images

_REFUSED = 52  # what sites saw of BLCR where a process could not be dumped


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("cr_checkpoint", allow_abbrev=False)
    parser.add_argument("-q", "--quiet", action="store_true", help="no messages")
    for options in (("-v", "--verbose"), ("-T", "--tree"), ("--atomic",), ("--clobber",)):
        parser.add_argument(*options, action="store_true", help="accepted: it is so in any case")
    parser.add_argument("-f", "--file", dest="place", metavar="FILE", type=command.place)
    after = parser.add_mutually_exclusive_group()
    after.add_argument("--run", dest="end", action="store_false", help="it runs on (default)")
    for option in ("--term", "--kill"):
        after.add_argument(option, dest="end", action="store_true", help="it is ended")
    after.add_argument("--stop", action="store_true", help="it is left stopped")
    parser.add_argument("--version", action="version", version=command.BLCR)
    parser.add_argument("pid", metavar="PID", type=command.process_id)
    parser.set_defaults(end=False)
    asked = parser.parse_args(argv)
    place = asked.place or command.place(f"context.{asked.pid}")

    def action() -> int:
        chosen = settings.load()
        owner = dump.owner_of(asked.pid)
        try:
            image = dump.dump(asked.pid, asked.end, place, chosen)
        except TorqueCkptError as failure:
            log.error(str(failure))
            if not asked.quiet:
                print(f"cr_checkpoint: {log.one_line(str(failure))}", file=sys.stderr)
            return _REFUSED
        images.as_file(place, image, owner)
        if asked.stop and (root := proc.stat(asked.pid)) is not None:
            signals.stop_tree(root.id)
        return 0

    return command.run("cr_checkpoint", asked.quiet, action)
