# SPDX-License-Identifier: MIT
"""Whatever an owner writes into his own records and images' manifests: an error of ours at most, no
file outside of his lineage touched."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import samples
from torqueckpt import identity, manifest
from torqueckpt.batch import pointer
from torqueckpt.errors import TorqueCkptError
from torqueckpt.files import intent
from torqueckpt.identity import Owner
from torqueckpt.images import catalogue
from torqueckpt.records import Claim, Cut, FileChange, Intent, LiveStream
from torqueckpt.request import RestartRequest
from torqueckpt.restart import claiming, detached, output
from torqueckpt.resubmit import resume_script
from torqueckpt.safe_files import Directory
from torqueckpt.settings import Settings
from torqueckpt.store import claim, index, journal
from torqueckpt.store.filesystem import translated
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore
from torqueckpt.typed_json import plain

_NUMBERS = st.sampled_from([-(1 << 127), -1, 0, 1, 7, 1 << 31, (1 << 63) - 1, 1 << 63, 1 << 127])
_NAMES = st.sampled_from(
    ["", ".", "..", "../out", "/etc", "a/b", "a\0b", "\udcff", "x" * 300, "there", "stdout", "1.0"]
)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), _NUMBERS, st.floats(), _NAMES, st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


class Place:
    """A lineage in an owner's directory, and beside it what must stay as it is."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.outside = top / "out"
        self.outside.write_bytes(b"somebody else's")
        self.home = top / "jobs"
        (self.home / samples.LINEAGE).mkdir(parents=True)
        self.owner_store = OwnerStore(Directory.open(self.home))
        found = self.owner_store.lineage_of(samples.LINEAGE)
        assert found is not None
        self.lineage: Lineage = found
        self.there = self.home / samples.LINEAGE / "there"
        self.again()
        self.manifest = samples.generation(self.lineage, {"pages-1.img": b"memory"})

    def again(self) -> None:
        """As a restart finds it that was killed: a stream that was filled, tails, copies."""
        self.there.write_bytes(b"0123456789")
        for name in ("tails", "copies", "output", "kept"):
            (self.lineage.path / name).mkdir(exist_ok=True)
            (self.lineage.path / name / "there").write_bytes(b"tail")

    def is_whole(self) -> bool:
        left = {"out", "jobs"} == set(os.listdir(self.top))
        return left and self.outside.read_bytes() == b"somebody else's"

    @property
    def path(self) -> Path:
        return self.lineage.path


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    top = Path(tempfile.mkdtemp(prefix="torqueckpt-fuzz-")).resolve()
    yield Place(top)
    shutil.rmtree(top)


def _read_all(place: Place) -> dict[str, Callable[[], object]]:
    generation = place.lineage.generation(1)
    request = RestartRequest(samples.JOB, samples.JOB, force=True)  # else a server is asked
    owner_store = place.owner_store
    return {
        "live.json": lambda: claiming.refuse_if_running(
            owner_store, place.lineage.live(), request, Settings()
        ),
        "claim.json": lambda: (
            claiming.blocks(owner_store, _claim(place), request, Settings()),
            str(claiming.refusal(request, _claim(place))),
            claiming.refuse_without(place.lineage, samples.JOB),
        ),
        "first.json": place.lineage.first_leader,
        "intent.json": lambda: intent.read(place.lineage.directory),
        "asked.json": lambda: resume_script.read(place.lineage),
        "ckpt.1": lambda: pointer.read(place.path, "ckpt.1"),
        "index.json": lambda: (
            list(catalogue._rows(place.lineage, _OWNER, index.read(place.lineage))),
            index.current(place.lineage, index.read(place.lineage)),
        ),
        "1/manifest.json": lambda: (
            catalogue._defect(place.lineage, 1),
            place.lineage.generation(1).looks_whole(generation.manifest()),
        ),
        "../journal": lambda: (
            journal.last(place.owner_store, "job", samples.JOB),
            journal.of_checkpoint(place.owner_store, samples.JOB),
            list(journal.since(place.owner_store, 0)),
        ),
    }


def _claim(place: Place) -> Claim:
    return claim.read(place.lineage.directory) or _CLAIM


_OWNER = Owner("ann", 1000, 1000, ())
_CLAIM = Claim("node1", samples.live().keeper.boot_id, 4321, samples.JOB, 1700000600)
_LINE = plain(index.Line(1, samples.JOB, 4242, 1700000600, "node1", "criu", 7000, 6, 1, 1, 1))
_SAMPLES: dict[str, Any] = {
    "claim.json": plain(_CLAIM),
    "live.json": plain(samples.live()),
    "first.json": plain(samples.live().keeper),
    "intent.json": plain(Intent("a", samples.JOB, 1, samples.live().streams)),
    "asked.json": plain(resume_script.Remembered(samples.JOB, samples.job().directives)),
    "ckpt.1": plain(identity.ImageRef(samples.LINEAGE, 1)),
    "1/manifest.json": json.loads(manifest.encode(samples.a_manifest(), samples.KEY)),
    "index.json": {"generations": [_LINE, _LINE]},
    "../journal": {"time": 1, "event": "checkpoint", "job": samples.JOB, "queue": "batch"},
}


@st.composite
def _edited(draw: st.DrawFn, whole: Any) -> bytes:
    """A record's bytes after one edit: of a value, of the text, or with garbage in its place."""
    if draw(st.booleans()):
        at, value = json.loads(json.dumps(whole)), draw(_VALUES)
        edited = at
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            each = draw(st.sampled_from(keys))
            if not isinstance(at[each], (dict, list)) or draw(st.integers(0, 3)) == 0:
                at[each] = value
                break
            at = at[each]
        return json.dumps(edited).encode()
    data = bytearray(json.dumps(whole).encode())
    start = draw(st.integers(0, len(data)))
    data[start : start + draw(st.integers(0, 9))] = draw(st.binary(max_size=9))
    return bytes(data[: draw(st.sampled_from([start, len(data)]))])


@pytest.mark.parametrize("name", _SAMPLES)
def test_whatever_the_owner_writes_into_a_record_is_a_record_or_an_error_of_ours(
    place: Place, name: str
) -> None:
    read = _read_all(place)[name]
    file = place.path / name
    before = file.read_bytes() if file.exists() else None

    @given(_edited(_SAMPLES[name]))
    def survives(data: bytes) -> None:
        file.write_bytes(data)
        with suppress(TorqueCkptError):
            read()

    try:
        survives()
    finally:
        file.unlink()
        if before is not None:
            file.write_bytes(before)


def _stream(place: Place) -> st.SearchStrategy[LiveStream]:
    status = place.there.stat()
    paths = st.sampled_from([str(place.there), str(place.path), "/dev/null", "", "x", "\0"])
    devices = st.one_of(st.just(status.st_dev), _NUMBERS)
    inodes = st.one_of(st.just(status.st_ino), _NUMBERS)
    return st.builds(LiveStream, _NAMES, paths, devices, inodes, _NUMBERS, _NAMES)


def _change(place: Place) -> st.SearchStrategy[FileChange]:
    status = place.there.stat()
    inside = [str(place.there), str(place.path / "new"), str(place.path), "/dev/null", "", "\0"]
    return st.builds(
        FileChange,
        path=st.sampled_from(inside),
        device=st.one_of(st.just(status.st_dev), _NUMBERS),
        inode=st.one_of(st.just(status.st_ino), _NUMBERS),
        size=_NUMBERS,
        keep=_NUMBERS,
        mode=_NUMBERS,
        mtime_ns=_NUMBERS,
        wanted_mtime_ns=_NUMBERS,
        copy=_NAMES,
        tail=_NAMES,
    )


def _intents(place: Place) -> st.SearchStrategy[Intent]:
    return st.builds(
        Intent,
        generation=st.sampled_from([1, 2]),
        streams=st.lists(_stream(place), max_size=2).map(tuple),
        cuts=st.lists(st.builds(Cut, _NAMES, _NUMBERS, _NAMES), max_size=2).map(tuple),
        files=st.lists(_change(place), max_size=2).map(tuple),
        directories=st.just(()),
        edited=st.lists(_NAMES, max_size=2).map(tuple),
    )


def test_an_intent_that_the_owner_has_made_up_is_undone_or_an_error_of_ours(place: Place) -> None:
    @given(_intents(place))
    def survives(made_up: Intent) -> None:
        place.again()
        with suppress(TorqueCkptError), translated(place.path):
            intent.write(place.lineage.directory, made_up)
            intent.settle(place.lineage.directory, None)
        assert place.is_whole()

    survives()
    (place.path / "intent.json").unlink(missing_ok=True)


def test_a_plan_that_the_owner_has_made_up_hands_nothing_over_from_outside(place: Place) -> None:
    manifest = place.manifest._replace(kept=())

    @given(_intents(place))
    def survives(made_up: Intent) -> None:
        place.again()
        with suppress(TorqueCkptError), translated(place.path):
            intent.write(place.lineage.directory, made_up)
            plan = detached.intended(place.lineage, manifest)
            with output.descriptors(place.lineage, manifest, plan) as given_to:
                for fd, _ in given_to:
                    assert os.fstat(fd).st_ino == place.there.stat().st_ino
        assert place.is_whole()

    survives()
    (place.path / "intent.json").unlink(missing_ok=True)


@given(st.text(min_size=1, max_size=40))
def test_an_id_leads_to_a_lineage_of_his_own_or_nowhere(target: str) -> None:
    with tempfile.TemporaryDirectory() as top:
        home = Path(top).resolve() / "jobs"
        (home / "ids").mkdir(parents=True)
        (home / samples.LINEAGE).mkdir()
        with suppress(OSError, ValueError):
            os.symlink(target, home / "ids" / samples.JOB)
        with OwnerStore(Directory.open(home)).directory as directory:
            found = OwnerStore(directory).lineage_of(samples.JOB)
        assert found is None or found.path.parent == home
