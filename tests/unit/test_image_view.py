# SPDX-License-Identifier: MIT
"""The image as a restore sees it, whatever its owner does to his own meanwhile."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from tests.unit import samples
from torqueckpt.checkpointers import registry
from torqueckpt.errors import ImageDamaged
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.restart import image_view
from torqueckpt.settings import Settings
from torqueckpt.store.lineage import Lineage

_CORE = struct.pack("<III", 0x54564319, 0x55053847, 2) + b"\x08\x01"
_FILES = {"core-1.img": _CORE, "creds-1.img": b"old", "files.img": b"names", "pages-1.img": b"x"}


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = place / "run"
    made.mkdir()
    monkeypatch.setattr(image_view, "_PLACE", made)
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
        with image_view.image(criu, generation, manifest, user, edited) as seen:
            assert sorted(os.listdir(seen)) == ["core-1.img", "files.img", "pages-1.img"]
            (generation.image_dir / "core-1.img").write_bytes(b"changed behind the check")
            assert (seen / "core-1.img").read_bytes() == _CORE
            assert os.readlink(seen / "files.img") == str(edited["files.img"])
            for touch in (
                lambda: (seen / "core-1.img").write_bytes(b""),
                lambda: (seen / "core-1.img").unlink(),
                lambda: (seen / "core-3.img").write_bytes(b""),
                lambda: seen.rename(seen.parent / "moved"),
            ):
                with pytest.raises(PermissionError):
                    touch()
            status = seen.stat()
            assert (status.st_uid, status.st_mode & 0o777) == (0, 0o750)
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
            sight = image_view.image(criu, lineage.generation(1), manifest, user, {})
            with pytest.raises(ImageDamaged), sight:
                pytest.fail("it was let through")
    assert os.listdir(run) == []
