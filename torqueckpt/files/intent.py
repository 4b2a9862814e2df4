# SPDX-License-Identifier: MIT
"""Write down what a restart is about to change, so that the next action finishes or undoes it."""

from __future__ import annotations

import os

from torqueckpt import layout, log, typed_json
from torqueckpt.errors import RecordTorn
from torqueckpt.files import leftovers, rollback, stdio
from torqueckpt.records import Intent, Live
from torqueckpt.safe_files import Directory


def write(lineage: Directory, intent: Intent) -> None:
    lineage.write_whole(layout.INTENT, typed_json.dump(intent), limit=layout.INTENT_BYTES)


def read(lineage: Directory) -> Intent | None:
    """The intent of the restart that is under way.

    None when there is none, RecordTorn when unreadable.
    """
    try:
        data = lineage.read(layout.INTENT, layout.INTENT_BYTES)
        return typed_json.from_json(Intent, typed_json.load(data))
    except FileNotFoundError:
        return None
    except (typed_json.Malformed, OSError) as torn:
        raise RecordTorn(path=lineage.path / layout.INTENT, problem=torn) from torn


def pending(lineage: Directory) -> bool:
    """Whether a restart is under way, or has died and is not undone yet."""
    return lineage.has(layout.INTENT)


def done(lineage: Directory) -> None:
    """Remove the intent: the job is restarted, nothing is to be undone any more."""
    lineage.remove(layout.INTENT)
    lineage.remove_tree(layout.EDITED)


def settle(lineage: Directory, live: Live | None) -> None:
    """Undo what a restart that died has changed; does nothing when there is none.

    The lock is held, so a restart whose intent is still here is over: either its tree was started
    (the live record names the attempt) or it failed.
    """
    intent = read(lineage)
    if intent is None:
        return
    if live is None or live.attempt != intent.attempt or live.tree is None:
        try:
            undo(lineage, intent)
        except (ValueError, OverflowError) as odd:  # a name or a size that no file can have
            raise RecordTorn(path=lineage.path / layout.INTENT, problem=odd) from odd
    done(lineage)


def undo(lineage: Directory, intent: Intent) -> None:
    """Give each file back what it held: what was added is cut off, what was cut off is put back."""
    leftovers.remove(intent.leftovers)
    rollback.undo(lineage, intent.directories, intent.files, intent.places)
    cuts = {cut.name: cut for cut in intent.cuts}
    for stream in intent.streams:
        try:
            fd = os.open(stream.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as problem:  # the batch system has taken it away: nothing left to cut
            log.info(f"{stream.path}: not cut back: {problem.strerror}")
            continue
        try:
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != (stream.device, stream.inode):
                continue
            if stream.name in cuts:
                stdio.put_back(lineage, cuts[stream.name], fd)
            elif 0 <= stream.base < status.st_size:
                os.ftruncate(fd, stream.base)
        finally:
            os.close(fd)
