# SPDX-License-Identifier: MIT
"""What an evil criu may do: what any user may (the same program, started by himself, tells that),
and what is listed here, with the reason.  Everything else must be refused."""

from __future__ import annotations

import errno
import re
import signal
from typing import NamedTuple

VERSION = "--version"
SIGNALLED, EXITED = 1000, 2000  # as criu.c has them


class Try(NamedTuple):
    """What was tried; result: an errno (0: it worked), SIGNALLED + signal, EXITED + status."""

    verb: str
    what: str
    result: int
    more: str

    def told(self) -> str:
        if self.result >= EXITED:
            result = f"ended with {self.result - EXITED}"
        elif self.result >= SIGNALLED:
            result = f"killed by signal {self.result - SIGNALLED}"
        else:
            result = errno.errorcode.get(self.result, str(self.result)) if self.result else "WORKED"
        return f"{self.verb}: {self.what}: {result} {self.more}".rstrip()


_NOT_LET = (errno.EPERM, errno.EACCES, errno.ENOSYS, SIGNALLED + signal.SIGSYS)

_OWN = r"his(, closed|, with capabilities)?"
_ALLOWED = (
    # Nothing of a user's is read for that, so this criu is the installed one.
    (r"asked for its version", (0,)),
    # checkpoint_restore is for these (capabilities(7)); none reaches another's process or file.
    (r"pid: (a chosen|the next) one", (0,)),
    (r"ipc: the next (shm|sem|msg)", (0, errno.EINVAL)),
    (r"its own mapped files", (0,)),
    # So nothing may be concluded from /proc/PID/exe.
    (r"another exe", (errno.EBUSY,)),
    # Taken away from itself alone, and given by no exec.
    (r"ambient: raise 40|capset: (inheritable|permitted) 40", (0,)),
    # Supervisor and guard of a restored job are the owner's: he may signal and slow them down.
    (rf"(signal|limits|nice|cpus|scheduling|io priority): {_OWN}", (0,)),
    # timeout(1) or setpriv(1) above it: the same program, the same rights.
    (r"[a-z _']+: his, with capabilities", (0,)),
    (r"(all was tried|before|after)", None),  # no tries
    # The descriptors that it is given are looked at one by one below.
    (r"descriptor: .*", None),
    # Nothing of its caller's; a path of root's would be EACCES.
    (r"environment: .*", (errno.ENOENT,)),
    # No directory of his that criu would read its offsets from.
    (r"runtime directory: his to write", (errno.ENOENT, errno.EROFS)),
    (r"key: root's, in the session's keyring", (errno.ENOKEY, errno.EKEYREVOKED)),
    # Under no_new_privs sudo and its like refuse, and say so by a status of their own.
    (r"program: .*", tuple(range(EXITED + 1, EXITED + 256))),
)
_DESCRIPTORS = (
    (r"device (r|rw) 0 /dev/null", "its stdin"),
    (r"pipe w [0-9]+ pipe:.*", "stdout, stderr; at-freeze's; the guard's, that waits for its end"),
    (r"pipe r [0-9]+ pipe:.*", "at-freeze's answer, or the verifier's"),
    (r"file (r|w|rw) {uid} .*", "his own file: the lineage's lock, the job's output and script"),
)


def gained(tries: list[Try], ordinary: list[Try], uid: int) -> list[str]:
    """What it got that it may not have; in words, one for each."""
    of_anybody: dict[str, set[int]] = {}
    for each in (one for one in ordinary if one.verb != VERSION):
        of_anybody.setdefault(each.what, set()).add(each.result)
    told = [each.told() for each in tries if not _may(each, of_anybody, uid)]
    return list(dict.fromkeys(re.sub(r" [0-9]+: ", " N: ", each) for each in told))


def _may(each: Try, of_anybody: dict[str, set[int]], uid: int) -> bool:
    if each.what.startswith("descriptor: "):
        seen = f"{each.what.partition(': ')[2]} {each.more}"
        patterns = (pattern.format(uid=uid) for pattern, _ in _DESCRIPTORS)
        return any(re.fullmatch(pattern, seen) for pattern in patterns)
    if each.result in _NOT_LET or each.result in of_anybody.get(each.what, ()):
        return True
    return any(
        re.fullmatch(what, each.what) and (results is None or each.result in results)
        for what, results in _ALLOWED
    )


def free_to_all(ordinary: list[Try]) -> list[str]:
    """What any user gets by himself though it must be refused: it would show nothing here."""
    free = r"securebits: exec|trace: his.*"
    names = r"(securebits|bounding set|capset|ambient|set[a-z]+|pid|read|write|enter|trace): .*"
    return [
        each.told()
        for each in ordinary
        if each.result == 0 and re.fullmatch(names, each.what) and not re.fullmatch(free, each.what)
    ]
