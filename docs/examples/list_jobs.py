#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""List jobs; the server is asked for a few attributes only, and for the jobs of one state.

list_jobs.py [STATE], STATE being Q, R, H…
"""

import sys

import pbs

WANTED = (pbs.ATTR_name, pbs.ATTR_owner, pbs.ATTR_state, pbs.ATTR_queue)


def main() -> int:
    connection = pbs.pbs_connect(pbs.pbs_default())
    if connection < 0:
        print("list_jobs:", *pbs.error(), file=sys.stderr)
        return 1
    wanted = pbs.new_attrl(len(WANTED))
    for attribute, name in zip(wanted, WANTED):
        attribute.name = name
    if len(sys.argv) > 1:
        criteria = pbs.new_attropl(1)
        criteria[0].name = pbs.ATTR_state
        criteria[0].value = sys.argv[1]
        criteria[0].op = pbs.EQ
        jobs = []
        for job_id in pbs.pbs_selectjob(connection, criteria, "NULL"):
            jobs += pbs.pbs_statjob(connection, job_id, wanted, "NULL")
    else:
        jobs = pbs.pbs_statjob(connection, "", wanted, "NULL")
    number, text = pbs.error()
    pbs.pbs_disconnect(connection)
    for job in jobs:
        values = {attribute.name: attribute.value for attribute in job.attribs}
        print(job.name, *(values.get(name, "-") for name in WANTED))
    if number:
        print(f"list_jobs: {number}: {text}", file=sys.stderr)
    return 1 if number else 0


if __name__ == "__main__":
    sys.exit(main())
