# SPDX-License-Identifier: MIT
"""A call as another user: `python -m tests.ifl.as_user USER LIBRARY METHOD ARGUMENTS [TIMES]`.

A process of its own, since a PBS library remembers who it was first used by.  It starts as root, so
that the user need not be able to read this tree; ARGUMENTS is a JSON list; prints JSON.
"""

from __future__ import annotations

import json
import os
import pwd
import sys

from torqueckpt.ifl.connection import Connection
from torqueckpt.ifl.errors import PbsError
from torqueckpt.ifl.library import Library


def main() -> None:
    name, path, method, arguments, *times = sys.argv[1:]
    library = Library(path)
    user = pwd.getpwnam(name)
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    with Connection(library=library, timeout_seconds=60) as pbs:
        try:
            for _ in range(int(times[0]) if times else 1):
                answer = {"result": getattr(pbs, method)(*json.loads(arguments))}
        except PbsError as refusal:
            answer = {"error": [refusal.call, refusal.text, refusal.number]}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
