#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hold a job or release it again.

hold_and_release.py hold|release JOB [u|o|s]
"""

import sys

import pbs


def main() -> int:
    if len(sys.argv) < 3 or sys.argv[1] not in ("hold", "release"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    call = pbs.pbs_holdjob if sys.argv[1] == "hold" else pbs.pbs_rlsjob
    hold_type = sys.argv[3] if len(sys.argv) > 3 else pbs.USER_HOLD
    connection = pbs.pbs_connect(pbs.pbs_default())
    if connection < 0:
        print("hold_and_release:", *pbs.error(), file=sys.stderr)
        return 1
    number = call(connection, sys.argv[2], hold_type, "NULL")
    if number:
        # The server's own words say more than the number's text.
        print(f"hold_and_release: {pbs.pbs_geterrmsg(connection)}", file=sys.stderr)
    else:
        wanted = pbs.new_attrl(1)
        wanted[0].name = pbs.ATTR_h
        for job in pbs.pbs_statjob(connection, sys.argv[2], wanted, "NULL"):
            print(job.name, job.attribs[0].value)
    pbs.pbs_disconnect(connection)
    return 1 if number else 0


if __name__ == "__main__":
    sys.exit(main())
