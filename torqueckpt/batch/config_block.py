# SPDX-License-Identifier: MIT
"""Put torqueckpt's marked block into a config file, with the administrator's lines as they are.

Bytes, because nobody promised an encoding, and every line that is not ours comes out as it went in:
CRLF, tabs, blanks at its end, a last line without a newline.  The file is mom_priv/config, or what
stands between Begin Queue and End Queue in LSF's lsb.queues.  What the lines mean to the MOM is in
mom_directives and in the batch systems' own mom_config.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from torqueckpt.errors import ConfigBlockDamaged

BEGIN = b"# BEGIN torqueckpt"
END = b"# END torqueckpt"
_FIRST_LINE = BEGIN + b" (torqueckpt configure writes these lines; yours go outside)"
# The newline that a last line of the administrator's lacked is ours, and this says so.
_FIRST_LINE_AFTER_CUT = _FIRST_LINE + b" (joined)"


class Split(NamedTuple):
    """A config file in three parts: before + block + after is the file."""

    before: bytes
    block: bytes
    after: bytes


def split(data: bytes, file: str, first_line: int = 1) -> Split:
    """Find the block; ConfigBlockDamaged when its end or beginning is missing, or there are two.

    first_line: the number in the file of data's first line, where data is a part of it.
    """
    begins, ends = [], []
    offset = 0
    for number, line in enumerate(data.split(b"\n"), first_line):
        text = line.strip()
        if text == BEGIN or text.startswith(BEGIN + b" "):
            begins.append((number, offset))
        elif text == END:
            ends.append((number, offset + len(line) + 1))
        offset += len(line) + 1
    if not begins and not ends:
        return Split(data, b"", b"")
    _refuse_damage([n for n, _ in begins], [n for n, _ in ends], file)
    start, stop = begins[0][1], min(ends[0][1], len(data))
    return Split(data[:start], data[start:stop], data[stop:])


def _refuse_damage(begins: list[int], ends: list[int], file: str) -> None:
    def damaged(line: int, problem: str) -> ConfigBlockDamaged:
        return ConfigBlockDamaged(file=file, line=line, problem=problem)

    if len(begins) > 1:
        raise damaged(begins[1], f"a second block begins, the first one in line {begins[0]}")
    if not begins:
        raise damaged(ends[0], "a block ends that never began")
    if not ends:
        raise damaged(begins[0], "a block begins that has no end")
    if len(ends) > 1:
        raise damaged(ends[1], f"the block has a second end, the first one in line {ends[0]}")
    if ends[0] < begins[0]:
        raise damaged(ends[0], f"the block ends before it begins in line {begins[0]}")


def merge(data: bytes, lines: Iterable[str], file: str, first_line: int = 1) -> bytes:
    """The file with a block of these lines, where the block stood, else at the end.

    At the end, because the daemon takes the last of two lines that say different things.
    """
    parts = split(data, file, first_line)
    before = parts.before
    joined = _is_joined(parts) if parts.block else bool(before) and not before.endswith(b"\n")
    if joined and not before.endswith(b"\n"):
        before += b"\n"
    first = _FIRST_LINE_AFTER_CUT if joined else _FIRST_LINE
    block = [first, *(line.encode("utf-8", "surrogateescape") for line in lines), END]
    return before + b"".join(line + b"\n" for line in block) + parts.after


def remove(data: bytes, file: str, first_line: int = 1) -> bytes:
    """The file without the block, byte by byte as it was before merge()."""
    parts = split(data, file, first_line)
    before = parts.before
    if parts.block and _is_joined(parts) and not parts.after and before.endswith(b"\n"):
        before = before[:-1]
    return before + parts.after


def _is_joined(parts: Split) -> bool:
    return parts.block.split(b"\n", 1)[0].rstrip().endswith(b"(joined)")


def block_lines(data: bytes, file: str) -> list[str]:
    """The lines between the block's marks; [] without a block."""
    inner = split(data, file).block.splitlines()[1:-1]
    return [line.decode("utf-8", "surrogateescape") for line in inner]


def ours(data: bytes, file: str, first_line: int = 1) -> range:
    """The line numbers of the block, its marks included."""
    parts = split(data, file, first_line)
    first = parts.before.count(b"\n") + first_line
    return range(first, first + parts.block.count(b"\n"))
