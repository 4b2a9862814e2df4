# SPDX-License-Identifier: MIT
"""chkpnt, as SGI Altix had it: dumps a process with all below it into a directory; it runs on.

    chkpnt [-q] -p PID -od DIR

DIR becomes a link to the image; one that is there already gets a small file that says which it is.
"""

from __future__ import annotations

import argparse

from torqueckpt import settings
from torqueckpt.shims import command, dump, images


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("chkpnt", allow_abbrev=False)
    parser.add_argument("-q", dest="quiet", action="store_true", help="say nothing")
    parser.add_argument("-p", dest="pid", metavar="PID", type=command.process_id, required=True)
    parser.add_argument("-od", dest="place", metavar="DIR", type=command.place, required=True)
    asked = parser.parse_args(argv)

    def action() -> int:
        chosen = settings.load()
        owner = dump.owner_of(asked.pid)
        image = dump.dump(asked.pid, False, asked.place, chosen)
        images.as_directory(asked.place, dump.image_path(image, owner.name, chosen), image, owner)
        if not asked.quiet:
            print(f"chkpnt: process {asked.pid}: {asked.place}")
        return 0

    return command.run("chkpnt", asked.quiet, action)
