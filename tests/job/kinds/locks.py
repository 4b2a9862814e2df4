# SPDX-License-Identifier: MIT
"""File locks: another process must still find the file locked."""

from __future__ import annotations

from tests.job.kinds.kind import Kind

_SETLK_OFD = """
def ofd(file, command=37, kind=fcntl.F_WRLCK):
    return fcntl.fcntl(file, command, struct.pack("hhqqi4x", kind, 0, 0, 0, 0))
"""
_REFUSED_TO_OTHERS = """
def refused(attempt):
    child = os.fork()
    if child == 0:
        try:
            attempt(open("data", "rb+"))
            os._exit(1)
        except OSError:
            os._exit(0)
    return os.waitpid(child, 0)[1] == 0


"""

KINDS = (
    Kind(
        "flock",
        _REFUSED_TO_OTHERS
        + """
file = open("data", "wb")
fcntl.flock(file, fcntl.LOCK_EX)
pause()
assert refused(lambda other: fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB))
fcntl.flock(file, fcntl.LOCK_UN)
assert not refused(lambda other: fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB))
""",
    ),
    Kind(
        "fcntl lock",
        _REFUSED_TO_OTHERS
        + """
file = open("data", "wb")
fcntl.lockf(file, fcntl.LOCK_EX, 10, 5)
pause()
assert refused(lambda other: fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 7))
assert not refused(lambda other: fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 20))
""",
    ),
    Kind(
        "open file description lock",
        _REFUSED_TO_OTHERS
        + _SETLK_OFD
        + """
file = open("data", "wb")
ofd(file)
pause()
assert refused(ofd)
ofd(file, kind=fcntl.F_UNLCK)
assert not refused(ofd)
""",
    ),
    Kind(
        "lease",
        """
file = open("data", "wb+")
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
pause()
assert fcntl.fcntl(file, fcntl.F_GETLEASE) == fcntl.F_WRLCK
""",
    ),
)
