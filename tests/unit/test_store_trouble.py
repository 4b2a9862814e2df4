# SPDX-License-Identifier: MIT
"""A store that is full, read-only or locked, and a key that cannot be believed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import LIMIT_SECONDS
from tests.unit import samples
from torqueckpt.errors import Busy, KeyMissing, StoreFull, StoreNotWritable
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.store import key
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore, Store, translated


@pytest.fixture
def small(user: Owner, place: Path) -> Iterator[Path]:
    """A file system of 1 MiB of its own; unmounted afterwards."""
    where = place / "small"
    where.mkdir()
    argv = ["/bin/mount", "-t", "tmpfs", "-o", "size=1M,mode=755", "tmpfs", str(where)]
    mounted = subprocess.run(argv, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.strip()}")
    (where / "jobs").mkdir()
    yield where
    subprocess.run(["/bin/umount", "--lazy", str(where)], check=True)


def _remount_read_only(where: Path) -> None:
    subprocess.run(["/bin/mount", "-o", "remount,ro", str(where)], check=True)


@pytest.fixture
def held(small: Path, user: Owner) -> Iterator[tuple[OwnerStore, Lineage]]:
    """A lineage with one whole generation on the small file system."""
    with privileges.acting_as(user):
        store = Store.open(small)
        owner_store = store.owner(user, make=True)
        lineage = owner_store.make_lineage(samples.LINEAGE)
        samples.generation(lineage, {"a.img": b"a" * 1000})
        yield owner_store, lineage
        for opened in (lineage.directory, owner_store.directory, store.root):
            opened.close()


def test_a_full_store_says_so_and_keeps_the_last_image(
    held: tuple[OwnerStore, Lineage], small: Path
) -> None:
    _, lineage = held
    with pytest.raises(StoreFull, match="the last image is kept"), translated(small):
        samples.generation(lineage, {"pages.img": b"x" * (2 << 20)})
    assert lineage.directory.names() == ["1"]
    generation = lineage.generation(1)
    generation.verify(generation.manifest(samples.KEY))


def test_a_record_that_no_longer_fits_leaves_the_old_one(
    held: tuple[OwnerStore, Lineage], small: Path
) -> None:
    _, lineage = held
    lineage.write_live(samples.live())
    with pytest.raises(OSError), open(lineage.path / "filler", "wb", buffering=0) as filler:
        while filler.write(b"x" * 65536):
            pass
    with pytest.raises(StoreFull), translated(small):
        for n in range(1000):
            lineage.write_live(samples.live(job=f"{n}.srv", host="h" * 100_000))
    assert lineage.live() == samples.live()


def test_a_read_only_store_says_so_and_is_still_readable(
    held: tuple[OwnerStore, Lineage], small: Path
) -> None:
    owner_store, lineage = held
    with privileges.acting_as_root():
        _remount_read_only(small)
    for change in (
        lambda: owner_store.make_lineage("13.srv@1"),
        lambda: owner_store.belongs("13.srv", lineage),
        lambda: owner_store.forget(lineage),
        lambda: owner_store.lock(0, samples.JOB).__enter__(),
    ):
        with pytest.raises(StoreNotWritable, match="Read-only file system"):
            change()
    with pytest.raises(StoreNotWritable), translated(small):
        samples.generation(lineage, {"a.img": b"a"})
    generation = lineage.generation(1)
    generation.verify(generation.manifest(samples.KEY))


def test_an_owner_cannot_be_given_a_directory_in_a_read_only_store(
    small: Path, user: Owner
) -> None:
    _remount_read_only(small)
    with pytest.raises(StoreNotWritable, match="Read-only file system"):
        store = Store.open(small)
        try:
            store.owner(user, make=True)
        finally:
            store.root.close()


def test_a_lock_that_another_holds_is_waited_for_no_longer_than_the_limit(
    lineage: Lineage, user: Owner
) -> None:
    with privileges.acting_as(user), lineage.lock(0):
        before = time.monotonic()
        with pytest.raises(Busy, match=samples.JOB), lineage.lock(0.3):
            raise AssertionError("two hold it")
        assert time.monotonic() - before >= 0.3
    with privileges.acting_as(user), lineage.lock(0):
        pass


def test_a_lock_is_had_as_soon_as_it_is_released(lineage: Lineage, user: Owner) -> None:
    with privileges.acting_as(user):
        holder = lineage.lock(0)
        holder.__enter__()
        timer = threading.Timer(0.2, lambda: holder.__exit__(None, None, None))
        timer.start()
        with lineage.lock(LIMIT_SECONDS):
            pass
        timer.join()


def test_a_lock_lasts_until_its_last_inherited_copy_is_closed(
    lineage: Lineage, user: Owner
) -> None:
    """An orphaned dump still holds it."""
    with privileges.acting_as(user):
        with lineage.lock(0) as fd:
            orphan = subprocess.Popen(["/bin/sleep", "60"], pass_fds=(fd,))
        try:
            with pytest.raises(Busy), lineage.lock(0):
                pass
        finally:
            orphan.kill()
            orphan.wait()
        with lineage.lock(LIMIT_SECONDS):
            pass


def test_only_a_descriptor_of_this_lock_that_holds_it_is_believed(
    lineage: Lineage, user: Owner, place: Path
) -> None:
    (place / "other").touch()
    with privileges.acting_as(user):
        with lineage.lock(0) as fd:
            again = os.dup(fd)
            apart = os.open(lineage.path / "lock", os.O_RDWR)
            other = os.open(place / "other", os.O_RDONLY)
            pipe = os.pipe()
            assert lineage.holds_lock(fd) and lineage.holds_lock(again)
            for foreign in (apart, other, *pipe, 99999, -1):
                assert not lineage.holds_lock(foreign)
            fcntl.flock(other, fcntl.LOCK_EX)
            assert not lineage.holds_lock(other)
        for each in (again, apart, other, *pipe):
            os.close(each)


def _key(place: Path, text: bytes, mode: int = 0o600) -> Path:
    file = place / "signature.key"
    file.write_bytes(text)
    file.chmod(mode)
    return file


def test_a_good_key_is_read_also_while_acting_as_a_user(place: Path, user: Owner) -> None:
    file = _key(place, samples.KEY.hex().encode() + b"\n")
    with privileges.acting_as(user):
        assert key.read(file) == samples.KEY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o610])
def test_a_key_that_others_can_use_is_refused(root: None, place: Path, mode: int) -> None:
    with pytest.raises(KeyMissing, match="mode 0600"):
        key.read(_key(place, samples.KEY.hex().encode(), mode))


def test_a_key_that_is_not_roots_is_refused(place: Path, user: Owner) -> None:
    file = _key(place, samples.KEY.hex().encode())
    os.chown(file, user.uid, 0)
    with pytest.raises(KeyMissing, match="must belong to root"):
        key.read(file)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "shorter than 32 bytes"),
        (b"ab" * 31, "shorter than 32 bytes"),
        (b"zz" * 32, "not hexadecimal"),
        (b"abc", "not hexadecimal"),
        (b"\xff" * 64, "not hexadecimal"),
    ],
)
def test_a_key_that_is_short_or_not_hex_is_refused(
    root: None, place: Path, text: bytes, told: str
) -> None:
    with pytest.raises(KeyMissing, match=told):
        key.read(_key(place, text))


def test_a_key_that_is_not_there_says_how_to_make_one(root: None, place: Path) -> None:
    with pytest.raises(KeyMissing, match="make install"):
        key.read(place / "signature.key")
