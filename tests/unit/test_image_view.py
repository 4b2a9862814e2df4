# SPDX-License-Identifier: MIT
"""The image as a restore sees it, whatever its owner does to his own meanwhile."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from tests import accounts
from tests.unit import core_images, samples
from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.criu import rights
from torqueckpt.doctor import kernel
from torqueckpt.doctor.checks import Node
from torqueckpt.errors import ImageDamaged, RestoreFailed
from torqueckpt.findings import FAILURE, OK
from torqueckpt.identity import Owner
from torqueckpt.manifest import UNLIMITED
from torqueckpt.process import privileges
from torqueckpt.restart import image_view
from torqueckpt.rights import run_directory
from torqueckpt.settings import Settings
from torqueckpt.store.lineage import Lineage

_CORE = core_images.image(core_images.of_process())
_HARD = (UNLIMITED,) * 16
_NODE = Node(Settings(), None, None, Owner("nobody", 65534, 65534, ()))
_FILES = {"core-1.img": _CORE, "creds-1.img": b"old", "files.img": b"names", "pages-1.img": b"x"}


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = place / "run"
    made.mkdir()
    monkeypatch.setattr(run_directory, "PLACE", made)
    return made


def test_what_decides_on_rights_is_roots_and_only_what_was_signed_is_there(
    lineage: Lineage, user: Owner, run: Path
) -> None:
    criu = registry.load("criu", Settings())
    with privileges.acting_as(user):
        manifest = samples.generation(lineage, _FILES)
        generation = lineage.generation(1)
        for planted in ("core-2.img", "seccomp.img"):
            (generation.image_dir / planted).write_bytes(_CORE)
        edited = {"files.img": lineage.path / "edited" / "files.img"}
        with image_view.image(criu, generation, manifest, user, edited, _HARD) as seen:
            assert sorted(os.listdir(seen)) == ["core-1.img", "files.img", "pages-1.img"]
            (generation.image_dir / "core-1.img").write_bytes(b"changed behind the check")
            assert (seen / "core-1.img").read_bytes() == rights.checked(_CORE, None)
            assert os.readlink(seen / "files.img") == str(edited["files.img"])
            for touch in (
                lambda: (seen / "core-1.img").write_bytes(b""),
                lambda: (seen / "core-1.img").unlink(),
                lambda: (seen / "core-3.img").write_bytes(b""),
                lambda: seen.rename(seen.parent / "moved"),
            ):
                with pytest.raises(PermissionError):
                    touch()
            assert (seen.stat().st_uid, seen.stat().st_gid) == (0, 0)
    assert os.listdir(run) == []


def test_an_image_that_asks_for_more_than_was_signed_is_refused_before_its_restore_too(
    lineage: Lineage, user: Owner, run: Path
) -> None:
    criu = registry.load("criu", Settings())
    with privileges.acting_as(user):
        manifest = samples.generation(lineage, _FILES)._replace(ceiling=core_images.CEILING)
        generation = lineage.generation(1)
        image_view.refuse_excessive(criu, generation, manifest)
        core = core_images.edited_file(_CORE, (core_images.THREAD,), {3: 0})
        (generation.image_dir / "core-1.img").write_bytes(core)
        told = "core-1.img asks for nice 0, its job had 6"
        with pytest.raises(ImageDamaged, match=told):
            image_view.refuse_excessive(criu, generation, manifest)
        sight = image_view.image(criu, generation, manifest, user, {}, _HARD)
        with pytest.raises(ImageDamaged, match=told), sight:
            pytest.fail("it was let through")


def test_a_core_image_that_was_compressed_by_somebody_else_is_refused(
    lineage: Lineage, user: Owner, run: Path
) -> None:
    """It would be unpacked for CRIU, and nobody had looked into it."""
    criu = registry.load("criu", Settings())
    with privileges.acting_as(user):
        manifest = samples.generation(lineage, {**_FILES, "core-2.img.zst": b"packed"})
        sight = image_view.image(criu, lineage.generation(1), manifest, user, {}, _HARD)
        with pytest.raises(ImageDamaged, match="core-2.img.zst"), sight:
            pytest.fail("it was let through")


def test_nobody_else_reads_the_copies_whatever_his_groups(
    lineage: Lineage, user: Owner, run: Path
) -> None:
    criu = registry.load("criu", Settings())
    with accounts.users(accounts.new_name("o")) as (other,), privileges.acting_as(user):
        manifest = samples.generation(lineage, _FILES)
        with image_view.image(criu, lineage.generation(1), manifest, user, {}, _HARD) as seen:

            def reads(uid: int, gid: int, path: Path) -> bool:
                words = ("setpriv", "--reuid", str(uid), "--regid", str(gid), "--clear-groups")
                look = "ls" if path.is_dir() else "cat"
                with privileges.acting_as_root():
                    return not subprocess.run([*words, look, path], capture_output=True).returncode

            for path in (seen, seen / "core-1.img"):
                assert reads(user.uid, user.gid, path)
                assert not reads(other.uid, user.gid, path)
                assert not reads(other.uid, other.gid, path)


def test_where_files_have_no_access_lists_nothing_is_shown_to_anybody(
    lineage: Lineage, user: Owner, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    criu = registry.load("criu", Settings())
    assert image_view.keeps_access_lists()
    assert [each.severity for each in kernel.access_lists(_NODE)] == [OK]
    monkeypatch.setattr(os, "setxattr", refuse)
    assert not image_view.keeps_access_lists()
    assert [each.severity for each in kernel.access_lists(_NODE)] == [FAILURE]
    with privileges.acting_as(user):
        manifest = samples.generation(lineage, _FILES)
        sight = image_view.image(criu, lineage.generation(1), manifest, user, {}, _HARD)
        with pytest.raises(RestoreFailed, match="access lists"), sight:
            pytest.fail("it was let through")
    assert os.listdir(run) == []


def test_a_core_image_that_became_a_link_or_a_fifo_is_refused_at_once(
    lineage: Lineage, user: Owner, run: Path
) -> None:
    criu = registry.load("criu", Settings())
    with privileges.acting_as(user):
        manifest = samples.generation(lineage, _FILES)
        core = lineage.generation(1).image_dir / "core-1.img"
        for plant in (lambda: core.symlink_to("/etc/shadow"), lambda: os.mkfifo(core)):
            core.unlink()
            plant()
            sight = image_view.image(criu, lineage.generation(1), manifest, user, {}, _HARD)
            with pytest.raises(ImageDamaged), sight:
                pytest.fail("it was let through")
    assert os.listdir(run) == []
