# SPDX-License-Identifier: MIT
"""Our lines in lsb.queues: a marked block in the queue's own section, or a section that we make.

What we write is what every daemon reads alike: no `#`, no backslash, a line for each keyword.
"""

from __future__ import annotations

from torqueckpt.batch import config_block
from torqueckpt.batch.lsf import queues
from torqueckpt.batch.lsf.queues import Queue
from torqueckpt.errors import QueuesNotRead
from torqueckpt.render import render

_MADE = "# torqueckpt made this queue; what you write into it outside of the marks stays"
_JOINED = " (joined)"  # the newline that the line above lacked is ours


def named(data: bytes, name: str, file: str) -> list[Queue]:
    """The sections of a queue; more than one where the branches of an #if each have one."""
    return [queue for queue in queues.parse(data, file) if queue.name == name]


def merge(data: bytes, name: str, lines: list[str], file: str) -> bytes:
    """The file with our block in every section of the queue, or with a new section at its end."""
    found = named(data, name, file)
    for queue in reversed(found):
        block = config_block.merge(_inside(data, queue), lines, file, queue.begin + 1)
        data = _replaced(data, queue, block)
    if not found:
        joined = bool(data) and not data.endswith(b"\n")
        made = _MADE + (_JOINED if joined else "")
        section = render("lsf/queue.j2", {"made": made, "name": name}).encode()
        data = merge(data + b"\n" * joined + section, name, lines, file)
    for queue in named(data, name, file):
        inside = {f"{k.name} = {k.value}" for k in queue.keywords}
        lost = [line for line in lines if _read(line) not in inside]
        if lost:
            problem = f"{lost[0]!r} would not be read as a line of the queue {name}"
            raise QueuesNotRead(file=f"{file}:{queue.begin}", problem=problem, remedy="mend it")
    return data


def remove(data: bytes, name: str, file: str) -> bytes:
    """Without our block; a section that we made goes where nobody has written into it."""
    for queue in reversed(named(data, name, file)):
        inside = config_block.remove(_inside(data, queue), file, queue.begin + 1)
        data = _replaced(data, queue, inside)
        start, stop = queue.outer[0], queue.inner[0] + len(inside) + queue.outer[1] - queue.inner[1]
        for joined in ("", _JOINED):
            values = {"made": _MADE + joined, "name": name}
            if data[start:stop] == render("lsf/queue.j2", values).encode():
                cut = start - 1 if joined and stop == len(data) else start
                data = data[:cut] + data[stop:]
                break
    return data


def ours(data: bytes, queue: Queue, file: str) -> range:
    """The numbers of the section's lines that are ours, marks included."""
    return config_block.ours(_inside(data, queue), file, queue.begin + 1)


def _read(line: str) -> str:
    name, _, value = line.partition(" = ")
    return f"{name.upper()} = {' '.join(value.split())}"


def _inside(data: bytes, queue: Queue) -> bytes:
    return data[queue.inner[0] : queue.inner[1]]


def _replaced(data: bytes, queue: Queue, inside: bytes) -> bytes:
    return data[: queue.inner[0]] + inside + data[queue.inner[1] :]
