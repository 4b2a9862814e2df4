# SPDX-License-Identifier: MIT
"""Whatever is written can be read again, however much of it there is; else it is not written."""

from __future__ import annotations

import ast
import errno
import os
import socket
from collections import defaultdict
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest

from tests.unit import samples
from torqueckpt import layout, manifest, typed_json
from torqueckpt.batch.local import control
from torqueckpt.batch.lsf import starter_socket
from torqueckpt.batch.lsf.starter_socket import Answer, Request
from torqueckpt.checkpoint import describe
from torqueckpt.files import intent
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.process.worker import OwnerWorker, WorkerFailed
from torqueckpt.records import FileChange, Intent
from torqueckpt.safe_files import SMALL, Directory
from torqueckpt.store import index, journal
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore
from torqueckpt.typed_json import Malformed

_PACKAGE = Path(layout.__file__).parent
_MANY = 80_000  # of what a job can hold; files with names of a usual length


def test_who_writes_a_file_keeps_to_the_limit_of_those_who_read_it() -> None:
    limits: dict[str, set[str]] = defaultdict(set)
    for path in _PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                _add(limits, node, node.func.attr)
    assert {name: sorted(found) for name, found in limits.items() if len(found) > 1} == {}
    assert limits["MANIFEST"] == {"layout.MANIFEST_BYTES"} and len(limits) > 10


def _add(limits: dict[str, set[str]], call: ast.Call, verb: str) -> None:
    """Note a file's limit where it is read or written by its name in layout.py."""
    if verb not in ("read", "write_whole") or not call.args:
        return
    name = ast.unparse(call.args[0])
    if name.startswith("layout."):
        given = [each.value for each in call.keywords if each.arg == "limit"]
        given += call.args[1:2] if verb == "read" else []
        limits[name[len("layout.") :]].add(ast.unparse(given[0]) if given else "SMALL")


def test_more_than_is_read_is_not_written_and_what_was_there_stays(directory: Directory) -> None:
    for limit, data in ((SMALL, bytes(SMALL)), (9, b"123456789")):
        directory.write_whole("file", data, limit=limit)
        assert directory.read("file", limit) == data
        with pytest.raises(OSError, match=f"file would have {limit + 1} bytes") as refused:
            directory.write_whole("file", data + b"x", limit=limit)
        assert refused.value.errno == errno.EFBIG
        assert directory.read("file", limit) == data
        assert directory.names() == ["file"]


def test_a_record_of_more_values_than_are_read_is_not_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = typed_json.dump(samples.live())
    values = sum(map(data.count, (b",", b"[", b"{")))
    monkeypatch.setattr(typed_json, "MOST", values)
    assert typed_json.load(typed_json.dump(samples.live())) is not None
    monkeypatch.setattr(typed_json, "MOST", values - 1)
    with pytest.raises(OSError, match="values"):
        typed_json.dump(samples.live())
    with pytest.raises(Malformed, match=f"about {values} values, and more than {values - 1}"):
        typed_json.load(data)


def test_a_manifest_of_very_many_descriptors_comes_back(lineage: Lineage, user: Owner) -> None:
    opened = samples.open_file("/scratch/ann/a-simulation/of-some-length/traj")
    files = tuple(opened._replace(fd=n, offset=n) for n in range(_MANY))
    with privileges.acting_as(user):
        made = samples.generation(lineage, {"memory": b"x"})._replace(files=files)
        generation = lineage.generation(1)
        generation.write_manifest(made, samples.KEY)
        assert generation.manifest(samples.KEY) == made
        assert generation.manifest_signed_or_not(samples.KEY) == (made, True)
        size = (generation.path / layout.MANIFEST).stat().st_size
        assert size * 135_000 / _MANY < layout.MANIFEST_BYTES / 2


def test_all_files_of_the_largest_manifest_fit_an_intent_as_they_are_brought_back(
    directory: Directory,
) -> None:
    watched = samples.a_manifest().watched[0]._replace(path="/s/f", size=0, blocks=())
    changes = [
        FileChange(
            *(watched.path, True, watched.device, watched.inode, 1 << 62, watched.mode),
            *(watched.mtime_ns, True, 1 << 62, "", watched.mtime_ns, f"{'f' * 16}.{n}"),
        )
        for n in range(_MANY)
    ]
    plan = Intent("f" * 16, "13.srv", 3, (), (), tuple(changes))
    intent.write(directory, plan)
    assert intent.read(directory) == plan
    each = len(manifest.encode(samples.a_manifest(watched=(watched,) * 101), samples.KEY))
    each -= len(manifest.encode(samples.a_manifest(watched=(watched,)), samples.KEY))
    a_change = (directory.path / layout.INTENT).stat().st_size / _MANY
    assert a_change / (each / 100) < layout.INTENT_BYTES / layout.MANIFEST_BYTES


def test_an_index_larger_than_is_read_leaves_the_old_one(
    lineage: Lineage, user: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with privileges.acting_as(user):
        samples.generation(lineage, {"memory": b"x"})
        one = index.current(lineage, {})
        index.write(lineage, one)
        monkeypatch.setattr(layout, "INDEX_BYTES", 1000)
        index.write(lineage, {n: one[1]._replace(generation=n) for n in range(1, 100)})
        assert index.read(lineage) == one


def test_an_index_of_as_many_images_as_it_has_at_most_is_read(lineage: Lineage) -> None:
    numbers = [1 << 62] * 5
    long = index.Line(
        999_999_999, "1" * 180, 4_194_304, 1 << 40, "h" * 64, "checkpointer", *numbers
    )
    data = typed_json.dump(index._Index((long,) * index._MOST))
    assert len(data) < layout.INDEX_BYTES


def test_the_last_line_of_the_journal_is_found_however_much_there_was_to_tell(
    owner_store: OwnerStore, user: Owner
) -> None:
    names = [f"/scratch/ann/file-{n} is missing" for n in range(_MANY * 3)]
    with privileges.acting_as(user):
        journal.note(owner_store, journal.RESTART_FAILED, "12.srv", reason="; ".join(names))
        found = journal.last(owner_store, "job", "12.srv")
        assert str(found["reason"]).startswith("/scratch/ann/file-0 is missing; ")
        journal.note(owner_store, "restart", "12.srv", tails={name: "tail" for name in names})
        found = journal.last(owner_store, "job", "12.srv")
        assert isinstance(found["tails"], dict) and found["tails"][names[99]] == "tail"
        assert found["tails"]["…"] == f"and {len(names) - 100} more"


@pytest.mark.parametrize("character", ["x", "é", "\udce9", "\U0001f600"])
def test_an_answer_comes_through_however_long_its_reason(place: Path, character: str) -> None:
    ours, theirs = socket.socketpair()
    answering = Thread(
        target=lambda: starter_socket.reply(theirs, Answer("running", character * 200_000), False)
    )
    answering.start()
    answer = starter_socket.request(ours, Request("suspend"))
    ours.close()
    answering.join()
    theirs.close()
    assert answer.state == "running" and answer.reason.startswith(character * 1000)
    listener = control.listen(place / "sock")
    listener.setblocking(True)

    def mom() -> None:
        caller = control.accept(listener, os.getuid())
        assert caller is not None
        caller.answer(43, character * 200_000)

    playing = Thread(target=mom)
    playing.start()
    told = control.ask(place / "sock", "hold", "12.srv")
    playing.join()
    listener.close()
    assert told.exit_code == 43 and told.message.startswith(character * 1000)


def test_options_are_read_of_a_job_script_that_has_a_program_at_its_end(
    lineage: Lineage, user: Owner
) -> None:
    text = b"#!/bin/sh\n#PBS -N large\n" + bytes(SMALL)
    with privileges.acting_as(user), lineage.directory.make(layout.KEPT) as kept:
        kept.write_whole("12.srv.SC", text, limit=layout.SCRIPT_BYTES)
        assert describe._script(lineage, {"/spool/12.srv.SC": "12.srv.SC"}).encode() == text


class Many(NamedTuple):
    numbers: tuple[int, ...]


def test_a_worker_that_finds_too_much_says_so(user: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_json, "MOST", 1000)
    worker = OwnerWorker(user, lambda: Many(tuple(range(2000))))
    with pytest.raises(WorkerFailed, match="about 20[0-9]{2} values, and more than 1000"):
        worker.result(Many)
