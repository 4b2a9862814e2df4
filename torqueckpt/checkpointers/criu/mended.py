# SPDX-License-Identifier: MIT
"""Mend in a new image what CRIU saves in a way that it could not restore, or not as it was.

Timers that had expired unread, files whose opened name is gone, sockets whose path is gone.
"""

from __future__ import annotations

import os
import re
import struct
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torqueckpt.checkpointers.criu.protobuf import Reader, content, first, raw_messages
from torqueckpt.process import other_names, sockets
from torqueckpt.process.other_names import OtherName

FILES = "files.img"
_EXTERNAL = re.compile(r"file\[([0-9a-f]+):([0-9a-f]+)\]")
_LONGEST_PATH = 107  # of a socket: sockaddr_un, less the NUL
_TIMERS = "timer(s) that had expired unread armed again"
_NAMES = "file(s) recorded under another name, the one that they were opened by being gone"
_RENAMED = "socket(s) recorded under the path that they were renamed to"
_UNLINKED = "socket(s) whose path is gone: they go on without"

_READER = Reader(
    {
        "reg_file_entry": {"name": (6, "bytes"), "ext": (9, "bool")},
        "timerfd_entry": {
            "ticks": (5, "uint64"),
            "vsec": (7, "uint64"),
            "vnsec": (8, "uint64"),
            "isec": (9, "uint64"),
            "insec": (10, "uint64"),
        },
        "file_perms_entry": {"mode": (1, "uint32"), "uid": (2, "uint32"), "gid": (3, "uint32")},
        "unix_sk_entry": {
            "ino": (2, "uint32"),
            "name": (11, "bytes"),
            "file_perms": (13, "file_perms_entry"),
            "deleted": (15, "bool"),
        },
        "file_entry": {
            "reg": (3, "reg_file_entry"),
            "tfd": (12, "timerfd_entry"),
            "usk": (16, "unix_sk_entry"),
        },
    }
)


def mend(image_dir: Path, names: Iterable[OtherName]) -> list[str]:
    """Mend files.img, before the image is sealed; gives what was done, in words.

    names: of the files that the dump was told of with --external, and took without their names.
    """
    mender = _Mender(names)
    file = image_dir / FILES
    data = content(file)
    written = data[: first(file.name, data)]
    for raw in raw_messages(file.name, data):
        entry = _READER.message(file.name, "file_entry", raw)
        if mender.mends(entry):
            raw = entry.SerializeToString()  # with the fields that are not declared here
        written += struct.pack("<I", len(raw)) + raw
    if mender.done:
        file.write_bytes(written)
    return [f"{count} {what}" for what, count in mender.done.items()]


class _Mender:
    def __init__(self, names: Iterable[OtherName]) -> None:
        self._names: dict[tuple[int, ...], str] = {
            (each.mount, each.inode): each.path for each in names
        }
        self._sockets: dict[str, sockets.Unix] | None = None
        self.done: Counter[str] = Counter()

    def mends(self, entry: Any) -> bool:
        """Whether this entry was changed."""
        what = self._timer(entry.tfd) or self._file(entry.reg) or self._socket(entry.usk)
        self.done.update([what] if what else [])
        return what != ""

    def _timer(self, timer: Any) -> str:
        """Arm a periodic timerfd again that had expired unread.

        The kernel tells such a timer as not running until it is read, so CRIU saves it as one that
        is off: the program would read what has expired and then wait for ever (contracts/criu.md).
        It is given its period as the time to go.
        """
        if not timer.ticks or timer.vsec or timer.vnsec or not (timer.isec or timer.insec):
            return ""
        timer.vsec, timer.vnsec = timer.isec, timer.insec
        return _TIMERS

    def _file(self, file: Any) -> str:
        """Give a file its other name, as if it had been opened by that."""
        if not file.ext:
            return ""
        found = _EXTERNAL.fullmatch(os.fsdecode(file.name))
        numbers = (int(found.group(1), 16), int(found.group(2), 16)) if found is not None else ()
        if numbers not in self._names:
            raise ValueError(f"{FILES} has a file that the dump was not told of")
        file.name = os.fsencode(self._names[numbers])
        file.ClearField("ext")
        return _NAMES

    def _socket(self, socket: Any) -> str:
        """Give a renamed socket its new path; an unlinked one goes on without.

        What CRIU has written as owner and rights of a path that is gone is not the socket's.
        """
        if not socket.deleted or not socket.name or socket.name.startswith(b"\0"):
            return ""
        path = self._path_now(socket)
        if not path:
            socket.ClearField("file_perms")
            return _UNLINKED
        status = os.lstat(path)
        rights = socket.file_perms
        rights.mode, rights.uid, rights.gid = status.st_mode, status.st_uid, status.st_gid
        socket.name = os.fsencode(path) + (b"\0" if socket.name.endswith(b"\0") else b"")
        socket.ClearField("deleted")
        return _RENAMED

    def _path_now(self, socket: Any) -> str:
        if self._sockets is None:
            self._sockets = sockets.unix()
        live = self._sockets.get(str(socket.ino))
        old = os.fsdecode(socket.name.rstrip(b"\0"))
        if live is None or live.place is None or not old.startswith("/"):
            return ""
        path = other_names.path_of_socket(old, live.place[1])
        return path if len(os.fsencode(path)) <= _LONGEST_PATH else ""
