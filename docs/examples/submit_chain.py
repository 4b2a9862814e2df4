#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Submit scripts one after the other, each to start when the one before ended well.

submit_chain.py SCRIPT…
"""

import os
import sys

import pbs


def submit(connection, script, after):
    attributes = pbs.new_attropl(5)
    attributes[0].name, attributes[0].value = pbs.ATTR_N, os.path.basename(script)
    attributes[1].name, attributes[1].resource = pbs.ATTR_l, "walltime"
    attributes[1].value = "00:10:00"
    variables = f"PBS_O_WORKDIR={os.getcwd()},PBS_O_HOME={os.environ['HOME']}"
    attributes[2].name, attributes[2].value = pbs.ATTR_v, variables
    host = os.uname().nodename
    for attribute, name, ending in (
        (attributes[3], pbs.ATTR_o, "out"),
        (attributes[4], pbs.ATTR_e, "err"),
    ):
        attribute.name, attribute.value = name, f"{host}:{os.path.abspath(script)}.{ending}"
    if after:
        depend = pbs.new_attropl(1)
        depend[0].name, depend[0].value = pbs.ATTR_depend, f"afterok:{after}"
        attributes += depend
    return pbs.pbs_submit(connection, attributes, script, "NULL", "NULL")


def main() -> int:
    connection = pbs.pbs_connect(pbs.pbs_default())
    if connection < 0:
        print("submit_chain:", *pbs.error(), file=sys.stderr)
        return 1
    job = None
    for script in sys.argv[1:]:
        job = submit(connection, script, job)
        if job is None:
            print("submit_chain:", *pbs.error(), file=sys.stderr)
            return 1
        print(job)
    pbs.pbs_disconnect(connection)
    return 0


if __name__ == "__main__":
    sys.exit(main())
