# SPDX-License-Identifier: MIT
"""An owner who puts into his part of the store all that could keep root's programs from others'."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.unit import samples
from torqueckpt import manifest
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.store import journal
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import Store

HUGE = "9" * 400
LINKS = 300  # names of one manifest of 16 MiB
DEEP = 3000  # directories within each other, in a removal that was begun
EMPTY = 2000  # directories that are named as generations are
JOBS = tuple(f"{number}.srv" for number in range(60, 69))


@contextmanager
def made(store: Store, owner: Owner) -> Iterator[Path]:
    """The owner's directory, with a lineage for each of JOBS; removed in the end, deep as it is."""
    with privileges.acting_as(owner):
        owner_store = store.owner(owner, make=True)
        kinds = (_links, _more_links, _deep, _empty, _numbers, _fifos, _closed, _nested, _sparse)
        for job, spoil in zip(JOBS, kinds):
            lineage = owner_store.make_lineage(f"{job}@1700000000")
            owner_store.belongs(job, lineage)
            whole = samples.generation(lineage, {"pages-1.img": b"pages"})
            lineage.write_live(samples.live(job=job))
            spoil(lineage, json.loads(manifest.encode(whole, samples.KEY)))
        _journal(owner_store.path)
        _chains(owner_store.path)
        for number in range(500):
            os.symlink(f"{JOBS[0]}@1700000000", owner_store.path / "ids" / f"{7000 + number}.srv")
    yield owner_store.path
    while any(owner_store.path.glob("*@*")):  # one after the other, flat: rm cannot either
        _flattened(owner_store.path)
    shutil.rmtree(owner_store.path)


def _links(lineage: Lineage, whole: dict[str, object], full: bool = True) -> None:
    """18 MB on the disk, 4.8 GB to read."""
    one = lineage.path / "1" / "manifest.json"
    text = json.dumps({**whole, "x": 0})[:-2].encode()
    dear = b'"ab",' if full else b'{"a":0},'
    one.write_bytes(text + b"[" + dear * (((16 << 20) - len(text)) // len(dear) - 1) + b"0]}")
    for number in range(2, LINKS + 1):
        (lineage.path / str(number) / "image").mkdir(parents=True)
        os.link(one, lineage.path / str(number) / "manifest.json")


def _more_links(lineage: Lineage, whole: dict[str, object]) -> None:
    """What takes thirty times its size in memory."""
    _links(lineage, whole, full=False)


def _deep(lineage: Lineage, whole: dict[str, object]) -> None:
    (lineage.path / "2.partial").mkdir()
    at = os.open(lineage.path / "2.partial", os.O_RDONLY)
    for _ in range(DEEP):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def _empty(lineage: Lineage, whole: dict[str, object]) -> None:
    for number in range(2, EMPTY):
        (lineage.path / str(number)).mkdir()


def _numbers(lineage: Lineage, whole: dict[str, object]) -> None:
    text = json.dumps(whole)
    for name, key in (("1/manifest.json", "created"), ("live.json", "written")):
        known = text if "manifest" in name else (lineage.path / name).read_text()
        before = json.loads(known).get("manifest", json.loads(known))[key]
        (lineage.path / name).write_text(known.replace(f'"{key}": {before}', f'"{key}": {HUGE}'))
    (lineage.path / "index.json").write_text(f'{{"generations": [{{"generation": {HUGE}}}]}}')
    (lineage.path / "intent.json").write_text(f'{{"attempt": "x", "generation": {HUGE}}}')
    (lineage.path / "over").write_text(HUGE)


def _fifos(lineage: Lineage, whole: dict[str, object]) -> None:
    for name in ("1/manifest.json", "live.json", "index.json", "intent.json", "lock", "asked.json"):
        (lineage.path / name).unlink(missing_ok=True)
        os.mkfifo(lineage.path / name)


def _closed(lineage: Lineage, whole: dict[str, object]) -> None:
    (lineage.path / "hidden").mkdir()
    (lineage.path / "hidden" / "file").write_bytes(bytes(1 << 20))
    for name in ("hidden", "1"):
        (lineage.path / name).chmod(0)


def _nested(lineage: Lineage, whole: dict[str, object]) -> None:
    for name in ("1/manifest.json", "live.json", "first.json", "claim.json"):
        (lineage.path / name).write_text("[" * 1_000_000)


def _sparse(lineage: Lineage, whole: dict[str, object]) -> None:
    for name in ("1/manifest.json", "live.json", "index.json", "log"):
        with open(lineage.path / name, "wb") as file:
            file.truncate(1 << 42)


def _journal(path: Path) -> None:
    lines = [
        f'{{"time": {HUGE}, "event": "checkpoint", "job": "60.srv", "bytes": {HUGE}}}',
        f'{{"time": {HUGE}, "event": "restart", "job": "60.srv", "image_of": "60.srv"}}',
        '{"time": 1e400, "event": "checkpoint", "job": "61.srv", "took_ms": NaN}',
        '{"time": true, "event": "checkpoint-failed", "job": ["x"], "code": -1, "reason": {}}',
        "[" * 100_000,
        '"' + "x" * (20 << 20) + '"',
    ]
    (path / layout_journal()).write_text("\n".join(lines) + "\n")


def layout_journal() -> str:
    return journal.layout.JOURNAL


def _chains(path: Path) -> None:
    for number in range(300):
        chain = path / "chains" / f"{number + 1}.srv@1{HUGE[:9]}"
        chain.mkdir(parents=True)
        (chain / "chain.json").write_text(f'{{"first": "x", "directory": "/", "links": [{HUGE}]}}')
        (chain / "end.json").write_text(f'{{"how": "ended", "status": {HUGE}}}')


def _flattened(path: Path) -> None:
    """Remove an owner's lineages without recursion."""
    place = path / "removed"
    place.mkdir(exist_ok=True)
    todo, count = [*path.glob("*@*")], 0
    while todo:
        each = todo.pop()
        each.chmod(0o700)
        with os.scandir(each) as found:
            inner = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
        for name in inner:
            (each / name).chmod(0o700)
            (each / name).rename(place / str(count))
            todo.append(place / str(count))
            count += 1
        shutil.rmtree(each)
