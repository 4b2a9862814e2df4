# SPDX-License-Identifier: MIT
"""One kind of resource, and what every one of the programs begins with.

A program that this machine does not let get hold of its resource says so: `NOT_HERE`.
"""

from __future__ import annotations

from dataclasses import dataclass

RESTORED, REFUSED, WARNED, LOST = "restored", "refused", "warned", "lost"

PRELUDE = """#!/usr/bin/python3 -u
import ctypes, errno, fcntl, mmap, os, resource, select, signal, socket, struct, subprocess
import sys, threading, time

PLACE = os.environ["PBS_O_WORKDIR"]
os.chdir(PLACE)
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
NOT_HERE = {errno.ENOSYS, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL}


def failed(kind, error, trace):
    if isinstance(error, PermissionError) or getattr(error, "errno", 0) in NOT_HERE:
        print("not here:", error, flush=True)
        os._exit(0)
    sys.__excepthook__(kind, error, trace)


def pause():
    sys.excepthook = sys.__excepthook__
    print("held", flush=True)
    while not os.path.exists(PLACE + "/go"):
        time.sleep(0.02)


def call(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


sys.excepthook = failed
"""
NOT_HERE = "not here: "
# At once: an interpreter that ends takes its handlers away first, and a timer would kill it then.
END = """
print("still there", flush=True)
os._exit(7)
"""


@dataclass(frozen=True)
class Kind:
    """`words` stand in the reason, or in what is said.

    `outside` names what the test itself keeps ready for the program (tests/job/held.py).  One that
    is `dumped` is refused although CRIU would dump it: it is the restart that cannot succeed.
    `unwiped`: why it cannot come back yet once a boot has emptied /tmp and /dev/shm.
    """

    name: str
    source: str
    result: str = RESTORED
    words: str = ""
    outside: str = ""
    dumped: bool = False
    unwiped: str = ""

    def program(self) -> str:
        return PRELUDE + self.source.strip("\n") + "\n" + END
