# SPDX-License-Identifier: MIT
"""Check a queue of LSF whose jobs are to be suspended to disk.

Sources: contracts/lsf.md, lsb.queues(5).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from torqueckpt.batch.lsf.lsf_conf import Site
from torqueckpt.batch.lsf.queues import Keyword, Queue, together
from torqueckpt.batch.mom_config import in_file
from torqueckpt.findings import Finding

_OURS = "torqueckpt's"
_APPLY = "`torqueckpt configure lsf --apply`"


def keywords(admins: list[Keyword], block: list[tuple[str, str]], file: str) -> Iterator[Finding]:
    """Check keywords.  admins: the section's outside of our block; block: ours, as they will be."""
    wanted = dict(block)
    before: list[Keyword] = []
    for each in admins:
        mine = wanted.get(each.name)
        if mine is not None and mine == each.value:
            reason = f"{each.name} occurs twice: {_OURS} says the same"
            yield in_file(file, each.line, reason, "keep one of the two")
        elif mine is not None:
            reason = f"{each.name} = {each.value} contradicts {_OURS} {each.name} = {mine}"
            yield in_file(file, each.line, reason, "take it out", stops=True)
        for other in before:
            if other.name == each.name and together(other.branch, each.branch):
                how = "says the same" if other.value == each.value else "the later one counts"
                reason = f"{each.name} occurs twice: line {other.line}, {how}"
                yield in_file(file, each.line, reason, "keep one of the two")
                break
        before.append(each)
        yield from _against_suspending(each, file)


def _against_suspending(each: Keyword, file: str) -> Iterator[Finding]:
    if each.name == "PRE_POST_EXEC_USER":
        yield _post_exec_user(file, each.line, each.value)
    elif each.name == "TERMINATE_WHEN":
        reason = f"TERMINATE_WHEN = {each.value}: jobs are killed then, and not suspended"
        yield in_file(file, each.line, reason, "take it out")


def post_exec_user(user: str) -> Iterator[Finding]:
    """Check LSB_PRE_POST_EXEC_USER of lsf.sudoers, "" for none."""
    if user:
        yield _post_exec_user("/etc/lsf.sudoers", 0, user)


def _post_exec_user(file: str, line: int, user: str) -> Finding:
    reason = f"POST_EXEC would run as {user} and remove what a job's user names"
    return in_file(file, line, reason, "take it out: POST_EXEC is the job's user's", stops=True)


def starter_line(present: Keyword | None, file: str) -> Iterator[Finding]:
    """Check for the older form of our JOB_STARTER."""
    if present is not None and present.value.endswith("'%USRCMD'"):
        reason = "JOB_STARTER: LSF puts commands between its apostrophes, and their own are lost"
        yield in_file(file, present.line, reason, f"{_APPLY}, then badmin reconfig")


def twice(found: list[Queue], file: str) -> Iterator[Finding]:
    """Find two sections of one queue that hold at one time.

    LSF takes the first and ignores the rest.
    """
    for number, queue in enumerate(found):
        for other in found[:number]:
            if together(queue.branch, other.branch):
                reason = f"the queue {queue.name} has a section in line {other.begin} already"
                yield in_file(file, queue.begin, reason, "keep one of the two")
                break


def checkpoint_directory(value: str, file: str, line: int) -> Iterator[Finding]:
    """Check CHKPNT = DIR [PERIOD]: where the job's user cannot write, a job never starts."""
    directory = Path(value.split()[0])
    remedy = f"install -d -m 1777 {directory}"
    try:
        status = os.stat(directory)
    except OSError as problem:
        reason = f"CHKPNT: {directory}: {problem.strerror}; no job of the queue would start"
        yield in_file(file, line, reason, remedy, stops=True)
        return
    if not stat.S_ISDIR(status.st_mode):
        reason = f"CHKPNT: {directory} is no directory; no job of the queue would start"
        yield in_file(file, line, reason, remedy, stops=True)
        return
    for each in (directory, *Path(os.path.realpath(directory)).parents):
        needed, what = (0o003, "write in") if each == directory else (0o001, "pass")
        if os.stat(each).st_mode & needed != needed:
            reason = f"CHKPNT: users cannot {what} {each}; no job of theirs would start"
            yield in_file(file, line, reason, remedy, stops=True)
    if status.st_mode & 0o002 and not status.st_mode & stat.S_ISVTX:
        reason = f"CHKPNT: in {directory} users can take away each other's directories"
        yield in_file(file, line, reason, f"chmod +t {directory}")


def method(
    value: str, name: str, links: Mapping[str, Path], site: Site, file: str, line: int
) -> Iterator[Finding]:
    """Check which echkpnt and erestart LSF calls by itself: CHKPNT in the queue names none.

    value: CHKPNT's, DIR [PERIOD]; name: METHOD; links: the names of these programs → our own.
    """
    if name not in site.in_conf("LSB_ECHKPNT_METHOD").split():
        calls = "bchkpnt, bmig and brestart" + (", and every so often," if " " in value else "")
        reason = f"CHKPNT: {calls} call LSF's own echkpnt and erestart, not torqueckpt's, and fail"
        yield in_file(file, line, reason, f"LSB_ECHKPNT_METHOD={name} in lsf.conf")
    elsewhere = site.in_conf("LSB_ECHKPNT_METHOD_DIR")
    for each, target in links.items() if elsewhere else ():
        place = Path(elsewhere, each)
        if os.path.realpath(place) != os.path.realpath(target):
            reason = f"CHKPNT: LSF looks for {each} in {elsewhere}: LSB_ECHKPNT_METHOD_DIR"
            yield in_file(file, line, reason, f"ln -s {target} {place}")


def link(serverdir: Path | None, name: str, target: Path, file: str) -> Iterator[Finding]:
    """Check that LSF_SERVERDIR/echkpnt.METHOD leads to our program."""
    if serverdir is None:
        reason = f"LSF_SERVERDIR is not known: {name} belongs there, a link to {target}"
        yield in_file(file, 0, reason, "name it with `torqueckpt configure lsf --serverdir DIR`")
        return
    place = serverdir / name
    if os.path.realpath(place) == os.path.realpath(target):
        return
    if os.path.lexists(place):
        remedy = "take another with `torqueckpt configure lsf --method NAME`"
        yield in_file(str(place), 0, "is there and not torqueckpt's", remedy, stops=True)
    else:
        yield in_file(str(place), 0, "is missing", f"{_APPLY} makes it, or ln -s {target} {place}")
