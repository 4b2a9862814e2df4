# SPDX-License-Identifier: MIT
"""One kind of resource, and what every one of the programs begins with."""

from __future__ import annotations

from dataclasses import dataclass

RESTORED, REFUSED, SAID = "restored", "refused", "said"

PRELUDE = """#!/usr/bin/python3 -u
import ctypes, errno, fcntl, mmap, os, resource, select, signal, socket, struct, subprocess
import sys, threading, time

PLACE = os.environ["PBS_O_WORKDIR"]
os.chdir(PLACE)
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p


def pause():
    print("held", flush=True)
    while not os.path.exists(PLACE + "/go"):
        time.sleep(0.02)


def call(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


"""
END = """
print("still there")
sys.exit(7)
"""


@dataclass(frozen=True)
class Kind:
    """`words` stand in the reason, or in what is said.

    `outside` names what the test itself keeps ready for the program (tests/job/held.py).  One that
    is `dumped` is refused although CRIU would dump it: it is the restart that cannot succeed.
    """

    name: str
    source: str
    result: str = RESTORED
    words: str = ""
    outside: str = ""
    dumped: bool = False

    def program(self) -> str:
        return PRELUDE + self.source.strip("\n") + "\n" + END
