# SPDX-License-Identifier: MIT
"""resume, as SGI Altix had it: goes on from a directory of chkpnt's and stays as the job.

    resume [-d] [-r] [-p] [-cwd DIR] -od DIR

-drp is what was documented, as one; here these three change nothing: pids and parents come back in
any case.  Its exit status is the job's.
"""

from __future__ import annotations

import argparse
import os

from torqueckpt import settings
from torqueckpt.shims import command, dump, images


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("resume", allow_abbrev=False)
    for option in ("-d", "-r", "-p"):
        parser.add_argument(option, action="store_true", help="accepted")
    parser.add_argument("-cwd", dest="directory", metavar="DIR", type=command.place)
    parser.add_argument("-od", dest="place", metavar="DIR", type=command.place, required=True)
    asked = parser.parse_args(argv)

    def action() -> int:
        found = images.find(asked.place, settings.load())
        if asked.directory is not None:
            os.chdir(asked.directory)
        dump.resume(found, dump.owner_of_name(asked.place))

    return command.run("resume", False, action)
