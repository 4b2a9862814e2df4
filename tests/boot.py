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
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # which has node crashes, and a boot follows one
    from tests.support import User

_EMPTIED = ("/tmp", "/dev/shm", "/dev/mqueue", "/run/lock", "/run/user")


def boot(user: User) -> None:
    """End all that he runs and remove what does not outlive a node; others' tests go on."""
    user.kill_all()
    remove_ipc(user.uid)
    empty_temporary(user.uid)


def empty_temporary(uid: int) -> None:
    """Empty temporary directories of what is this user's."""
    for place in filter(os.path.isdir, _EMPTIED):
        for each in (Path(place, name) for name in os.listdir(place)):
            if _owner(each) != uid:
                continue
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink()


def _owner(path: Path) -> int:
    try:
        return path.lstat().st_uid
    except FileNotFoundError:  # another test's, gone meanwhile
        return -1


def remove_ipc(uid: int) -> None:
    """What killed jobs have left of System V: the next test's job would be told of it."""
    for kind, option in (("sem", "-s"), ("shm", "-m"), ("msg", "-q")):
        rows = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()
        columns = rows[0].split()
        for row in (dict(zip(columns, line.split())) for line in rows[1:]):
            if int(row["uid"]) == uid:
                subprocess.run(["/usr/bin/ipcrm", option, row[columns[1]]], check=True)
