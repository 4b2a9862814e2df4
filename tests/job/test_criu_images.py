# SPDX-License-Identifier: MIT
"""Reading CRIU's images: real ones in full, broken ones with nothing but a ValueError."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import INSTALLED, User
from tests.unit import real
from tests.unit.test_fuzz_images import broken, grants, let_through
from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.base import Dump
from torqueckpt.checkpointers.criu import details, images, mended, rights
from torqueckpt.process import ceiling, privileges, proc, tree
from torqueckpt.run import run
from torqueckpt.settings import Settings

_CRIU = INSTALLED / "criu" / "criu"
_PROGRAM = """\
import ctypes, os, sys, time
where = sys.argv[1]
out = os.open(where + '/out', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(out, b'0123456789')
data = os.open(where + '/caf\\udce9', os.O_RDWR | os.O_CREAT)
os.write(data, b'x' * 100); os.lseek(data, 40, 0)
gone = os.open(where + '/gone', os.O_RDWR | os.O_CREAT)
os.write(gone, b'y' * 7); os.unlink(where + '/gone')
if os.fork() == 0:
    ctypes.CDLL(None).prctl(15, b'na\\xefve', 0, 0, 0)
    os.open(where + '/ready', os.O_WRONLY | os.O_CREAT)
time.sleep(60)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory that everybody may pass through, unlike pytest's own; gone afterwards."""
    made = Path(tempfile.mkdtemp(prefix="tckpt-images-")).resolve()
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def image(user: User, place: Path) -> Iterator[tuple[Dump, int]]:
    """A small real image, dumped as the user; and the pid of its root."""
    owner = privileges.owner(user.name)
    for name in ("files", "image", "work"):
        (place / name).mkdir()
        os.chown(place / name, user.uid, user.gid)
    argv = ["/usr/bin/python3", "-I", "-c", _PROGRAM, str(place / "files")]
    process = real.start(
        privileges.as_owner_argv(owner, (), argv),
        cwd="/",  # the tests' own may be closed to the user
        **dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL),
    )
    try:
        real.until((place / "files" / "ready").exists, "the program's files")
        backend = registry.load("criu", Settings(criu_path=_CRIU))
        dump = Dump(process.pid, place / "image", place / "work", False, False)
        finished = run(
            privileges.as_owner_argv(owner, backend.capabilities(False), backend.dump_argv(dump)),
            timeout_seconds=60,
            environment={"XDG_RUNTIME_DIR": str(dump.work_dir)},
        )
        assert finished.ok, backend.reason(dump.work_dir, "dump")
        assert backend.incomplete(dump) == ""
        assert proc.stat(process.pid) is not None
        yield dump, process.pid
    finally:
        real.end(process)


def test_a_real_image_tells_processes_and_open_files_as_of_the_freeze(
    image: tuple[Dump, int],
) -> None:
    dump, root = image
    where = str(dump.image_dir.parent / "files")
    facts = images.read(dump.image_dir, dump.work_dir)
    names = {(each.pid == root, each.ppid == root, each.name) for each in facts.processes}
    assert len(facts.processes) == 2
    assert {name for top, _, name in names if not top} == {"na\udcefve"}
    assert facts.frozen_us > 0
    mine = {file.path: file for file in facts.files if file.pid == root}
    out, data = mine[f"{where}/out"], mine[f"{where}/caf\udce9"]
    assert (out.size, out.offset, out.deleted) == (10, 10, False)
    assert out.flags & (os.O_APPEND | os.O_WRONLY) == os.O_APPEND | os.O_WRONLY
    assert (data.size, data.offset, data.deleted) == (100, 40, False)
    gone = [file for file in mine.values() if "gone" in file.path]
    assert [file.deleted for file in gone] == [True]
    both = {(file.pid == root, file.fd) for file in facts.files if file.path == f"{where}/out"}
    assert both == {(True, out.fd), (False, out.fd)}


def test_a_real_image_whose_files_are_torn_or_flipped_gives_facts_or_a_value_error(
    image: tuple[Dump, int], tmp_path: Path
) -> None:
    dump, _ = image
    files = ["files.img", "pstree.img", *(p.name for p in dump.image_dir.glob("[cfi]*-*.img"))]
    for name in files:
        whole = (dump.image_dir / name).read_bytes()
        step = max(len(whole) // 40, 1)
        for at in range(0, len(whole), step):
            broken = bytearray(whole)
            broken[at] ^= 0xFF
            for data in (whole[:at], bytes(broken)):
                (dump.image_dir / name).write_bytes(data)
                try:
                    images.read(dump.image_dir, dump.work_dir)
                except ValueError:
                    continue
        (dump.image_dir / name).write_bytes(whole)
    images.read(dump.image_dir, dump.work_dir)


def test_an_image_without_its_statistics_is_a_value_error(image: tuple[Dump, int]) -> None:
    dump, _ = image
    (dump.work_dir / "stats-dump").unlink()
    with pytest.raises(ValueError, match="stats-dump"):
        images.read(dump.image_dir, dump.work_dir)


@pytest.fixture
def dumped(image: tuple[Dump, int]) -> Iterator[tuple[Path, dict[str, bytes]]]:
    """A copy of a real image, and what is in its files."""
    dump, _ = image
    place = Path(tempfile.mkdtemp(prefix="torqueckpt-fuzz-"))
    for directory in (dump.image_dir, dump.work_dir):
        for each in directory.iterdir():
            if each.is_file() and not each.name.startswith("pages-"):
                shutil.copy(each, place)
    yield place, {each.name: each.read_bytes() for each in place.iterdir()}
    shutil.rmtree(place)


def test_a_real_image_after_edits_gives_facts_or_a_value_error(
    dumped: tuple[Path, dict[str, bytes]],
) -> None:
    place, whole = dumped
    root = int(min(name[5:-4] for name in whole if name.startswith("core-")))
    assert details.read(place, root, True).memory
    names = sorted(name for name in whole if name.endswith(".img") or name == "stats-dump")

    @given(st.data())
    def survives(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(names))
        (place / name).write_bytes(data.draw(broken(whole[name])))
        try:
            for read in (
                lambda: images.read(place, place),
                lambda: details.read(place, root, True),
                lambda: images.edited(place, lambda path: path + "x", {"/x": -1, "/y": 1 << 40}),
                lambda: mended.mend(place, ()),
            ):
                with suppress(ValueError):
                    read()
        finally:
            for each in (name, images.FILES):
                (place / each).write_bytes(whole[each])

    survives()
    assert images.read(place, place).processes


def test_no_edit_of_a_real_core_image_is_let_through_that_grants_a_right(
    dumped: tuple[Path, dict[str, bytes]], image: tuple[Dump, int]
) -> None:
    _, whole = dumped
    root = proc.stat(image[1])
    assert root is not None
    most = ceiling.of_tree(tree.below(root), root.pid)
    assert most is not None
    cores = [data for name, data in sorted(whole.items()) if rights.decides(name)]
    assert cores and all(let_through(core, most) for core in cores)

    @given(st.sampled_from(cores).flatmap(broken))
    def holds(core: bytes) -> None:
        assert not (let_through(core, most) and grants(core[12:], most))

    holds()
