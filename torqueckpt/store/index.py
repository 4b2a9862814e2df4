# SPDX-License-Identifier: MIT
"""A lineage's index: what a listing shows of each generation, so that one read serves for all.

It is unsigned and its owner's, so nothing is decided by it.  A line counts as long as manifest and
image directory are those that it was made of; else the manifest is read.
"""

from __future__ import annotations

from typing import NamedTuple

from torqueckpt import layout, log
from torqueckpt.budget import Budget, Limits, OverBudget
from torqueckpt.manifest import Manifest
from torqueckpt.store.lineage import Lineage
from torqueckpt.typed_json import Malformed, dump, from_json, load

_READ = Limits(500_000, 128 * 1024 * 1024, 10)  # manifests that the index has not
_TOLD = 500  # characters of doubts
_MOST = 1000  # generations: of older ones, where there are more, the manifests are read


class Line(NamedTuple):
    """One generation that was whole; bytes are the image's, created is seconds of the epoch."""

    generation: int
    job: str
    exec_pid: int
    created: int
    host: str
    checkpointer: str
    frozen_us: int
    bytes: int
    manifest_size: int
    manifest_mtime_ns: int
    image_mtime_ns: int
    doubts: str = ""  # why it would not come back, as Manifest.doubts

    @property
    def link(self) -> str:
        """The job's name in the store's root while this was its newest image."""
        return f"{self.exec_pid}.{self.job}"


class _Index(NamedTuple):
    generations: tuple[Line, ...]


def read(lineage: Lineage) -> dict[int, Line]:
    """The lines by generation, also of some that are gone.

    None where the file is missing, torn or too large.
    """
    try:
        data = lineage.directory.read(layout.INDEX, layout.INDEX_BYTES)
        return {line.generation: line for line in from_json(_Index, load(data)).generations}
    except (OSError, Malformed):
        return {}


def counts(lineage: Lineage, line: Line) -> bool:
    """Whether its manifest is as it was, and no file of its image has come or gone since."""
    try:
        known = (line.manifest_size, line.manifest_mtime_ns, line.image_mtime_ns)
        return known == _traces(lineage, line.generation)
    except OSError:
        return False


def current(
    lineage: Lineage, before: dict[int, Line], made: Manifest | None = None
) -> dict[int, Line]:
    """The lines of all whole generations that there are.

    Those of `before` that count, others from their manifests; not those of older ones that are more
    to read than a hook waits for.  made: that of the newest one, which need not be read again.
    """
    found = {}
    with Budget(str(lineage.path), _READ).part(log.warning):
        for number in reversed(lineage.numbers()[-_MOST:]):
            line = before.get(number)
            if line is None or not counts(lineage, line):
                line = _read_anew(lineage, number, made)
            if line is not None:
                found[number] = line
    return dict(sorted(found.items()))


def _read_anew(lineage: Lineage, number: int, made: Manifest | None) -> Line | None:
    """The line of an image by its manifest; None when it is not whole."""
    try:
        generation = lineage.generation(number)
        traces = _traces(lineage, number)
        known = made is not None and made.generation == number
        manifest = made if made is not None and known else generation.manifest()
        return _line(manifest, number, traces) if generation.looks_whole(manifest) else None
    except OverBudget:
        raise
    except Exception:  # torn, or made up: a listing says so, and no checkpoint fails for it
        return None


def write(lineage: Lineage, lines: dict[int, Line]) -> None:
    """Nothing depends on it: where it cannot be written, listings take longer."""
    try:
        data = dump(_Index(tuple(lines.values())))
        lineage.directory.write_whole(
            layout.INDEX, data, through_crashes=False, limit=layout.INDEX_BYTES
        )
    except OSError as problem:
        log.warning(f"{lineage.path}/{layout.INDEX}: not written: {problem.strerror}")


def renew(lineage: Lineage) -> None:
    """Write what is missing in it or does not count any more; the lineage's lock is held."""
    before = read(lineage)
    now = current(lineage, before)
    if now != before:
        write(lineage, now)


def _traces(lineage: Lineage, number: int) -> tuple[int, int, int]:
    """What its line knows it again by: the manifest's size and times of change."""
    manifest, image = lineage.directory.stats(str(number), layout.MANIFEST, layout.IMAGE)
    return manifest.st_size, manifest.st_mtime_ns, image.st_mtime_ns


def _line(manifest: Manifest, number: int, traces: tuple[int, int, int]) -> Line:
    return Line(
        generation=number,
        job=manifest.job.id,
        exec_pid=manifest.exec_pid,
        created=manifest.created,
        host=manifest.host,
        checkpointer=manifest.checkpointer,
        frozen_us=manifest.frozen_us,
        bytes=manifest.bytes,
        manifest_size=traces[0],
        manifest_mtime_ns=traces[1],
        image_mtime_ns=traces[2],
        doubts="; ".join(manifest.doubts)[:_TOLD],
    )
