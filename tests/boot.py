# SPDX-License-Identifier: MIT
"""What a boot does to a user: his processes end, and what lay in temporary places is gone.

So do systemd-tmpfiles (`D /tmp`) and logind (RemoveIPC) without one.  /var/tmp survives, as homes
do: tests have their sites and stores there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support import User

_EMPTIED = ("/tmp", "/dev/shm", "/dev/mqueue", "/run/lock", "/run/user")


def boot(user: User) -> None:
    """End all that he runs and empty these places of what is his; others' tests go on."""
    user.kill_all()
    remove_ipc(user)
    for place in filter(os.path.isdir, _EMPTIED):
        with os.scandir(place) as entries:
            his = [each for each in entries if each.stat(follow_symlinks=False).st_uid == user.uid]
        for each in his:
            if each.is_dir(follow_symlinks=False):
                shutil.rmtree(each.path)
            else:
                os.unlink(each.path)


def remove_ipc(user: User) -> None:
    """What killed jobs have left of System V: the next test's job would be told of it."""
    for kind, option in (("sem", "-s"), ("shm", "-m"), ("msg", "-q")):
        rows = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()
        columns = rows[0].split()
        for row in (dict(zip(columns, line.split())) for line in rows[1:]):
            if int(row["uid"]) == user.uid:
                subprocess.run(["/usr/bin/ipcrm", option, row[columns[1]]], check=True)
