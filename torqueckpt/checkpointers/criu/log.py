# SPDX-License-Identifier: MIT
"""Find in CRIU's log why it failed, in words that a job's owner can act on."""

from __future__ import annotations

import os
import re
from pathlib import Path

_ERROR = re.compile(r"Error +\([^)]*\): *(.*)")
_TAIL = 64 * 1024
_LONGEST = 5000  # a path, and words around it
_READING = (
    os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
)  # its owner may put a link there
TAKEN = "is taken by another process on this node"  # a number; it may be free soon
NO_OTHER_NAME = "no other name of the file was found"  # one that has just come by it may have one
ADDRESS_TAKEN = "Address already in use"  # as the log has it

_CONNECTED = "it has an established TCP connection"
_OUTSIDE = "a UNIX socket is connected to a process outside"
_WAITS, _HALF = "connection waits to be accepted", "half open or half closed"
# In what a frozen tree was met, and a moment later it may not be so; the last is tcp_repair.py's.
_OF_A_MOMENT = re.compile(
    "|".join((_CONNECTED, _OUTSIDE, _WAITS, _HALF, "checkpoint again", "its TCP connections:"))
)

# The first of these that an error line holds decides; the rest are consequences of it.
_KNOWN = (
    (r"Can't fork for (\d+): File exists", f"pid {{0}} {TAKEN}"),
    (
        r"Unexpected (\d+) task interruption",  # each dump takes one such signal away
        "its process {0}, which is stopped, was to be stopped once more: checkpoint again",
    ),
    (r"Unable to create a thread: -17", f"the number of one of its threads {TAKEN}"),  # EEXIST
    (r"Pid (\d+) do not match expected (\d+)", f"pid {{1}} {TAKEN}"),
    (
        r"File (\S.*) has bad size (\d+) \(expect (\d+)\)",
        "file /{0} has {1} bytes, the image needs {2}",
    ),
    (r"Can't open file (\S.*) on restore: (.*)", "file /{0} cannot be opened: {1}"),
    (r"Can't open (?:path )?(\S+): No such file", "file {0} is missing"),
    (
        r"Unable to detach (\d+): No such process",
        "the job itself ended its process {0} as soon as it was back, before CRIU had let go of"
        " that: install a C compiler and run make install again, or try again",
    ),
    (
        r"Can't create link remap for (\S.*)\. Use ",
        f"{{0}} is open or mapped, that name is gone, and {NO_OTHER_NAME}",
    ),
    (r"Can't setgroups", "the supplementary groups are not those of the image"),
    (r"Can't bind inet socket: Address already in use", "its TCP port is in use on this node"),
    (r"(?:SysV|sysvipc|System V).*", "it uses SysV shared memory, which CRIU does not save"),
    (r"Can't dump half of stream unix connection|External socket is used", _OUTSIDE),
    (r"Connected TCP socket", _CONNECTED),
    (r"In-flight connection \(l\)", f"a TCP {_WAITS}"),
    (r"In-flight connection|in-flight socket", f"a UNIX {_WAITS}"),
    (
        r"Can't turn TCP repair mode ON|Unknown inet socket \S+ state",
        f"a TCP connection is {_HALF}, or CRIU may not save it",
    ),
    (
        r"session leader of (\d+)\(\d+\) is outside",
        "the session of pid {0} is led from outside of this container: start the job with setsid",
    ),
    (r"Unable to open \S*ptmx with specified index (\d+)", f"terminal /dev/pts/{{0}} {TAKEN}"),
    (
        r"Can't read data from tty .*No buffer space",
        "too much waits unread in a terminal that a program of the job made: checkpoint again",
    ),
    (r"tty.*(?:slave|master).*", "it has a terminal open"),
    (
        r"Control messages in queue",
        "a message with its sender's credentials waits in a UNIX socket: checkpoint again",
    ),
    (
        r"Can't open \d+/fd/\d+ on procfs: Permission denied",
        "a file that it has open may not be read by its user any more",
    ),
    (r"corked dgram", "a UDP socket is corked: checkpoint again"),
    (r"packetized mode", "a pipe is one of packets (O_DIRECT), which CRIU does not save"),
    (
        r"Can't make (?:FS|VM|SIGHAND) id for (\d+)",
        "pid {0} shares with another process what CRIU saves of threads alone (clone)",
    ),
    (r"Zombies with threads", "a process's first thread has ended while others go on"),
    (
        r"Can't stat path: Permission denied",
        "its user may not reach a file that it has open: look at the modes of directories",
    ),
    (r"Dump eventpoll", "an epoll watches what its process has closed and another one still has"),
    (r"netlink: The socket has data", "a netlink socket has data to read: checkpoint again"),
    (r"file owner pid: No such", "a descriptor's signals go to a process outside (F_SETOWN)"),
    (r"io_uring", "it uses io_uring, which CRIU does not save"),
    (r"fsnotify: Unable to open (/\S.*): (.*)", "{0}, which it watches, cannot be opened: {1}"),
    (r"inotify|fsnotify", "it watches a file with inotify whose path was not found"),
    (r"seccomp", "it runs under a seccomp filter, which needs root's criu"),
    (r"mqueue", "it has a POSIX message queue open, which CRIU does not save"),
    (r"No space left on device", "no space left on the device"),
)


def reason(log: Path) -> str:
    """The known cause in one line when there is one, else the log's first error; "" for none."""
    try:
        with open(os.open(log, _READING), "rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - _TAIL, 0))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return reason_in(text)


def is_of_a_moment(reason: str) -> bool:
    """Whether a dump that failed for this reason may succeed at once."""
    return _OF_A_MOMENT.search(reason) is not None


def reason_in(text: str) -> str:
    # The log is its owner's: in one endless line the patterns would search for many seconds.
    lines = [line[:_LONGEST] for line in text.splitlines()]
    errors = [found.group(1).strip() for found in map(_ERROR.search, lines) if found]
    for line in errors:
        for pattern, words in _KNOWN:
            found = re.search(pattern, line)
            if found:
                return words.format(*found.groups())
    return errors[0] if errors else ""
