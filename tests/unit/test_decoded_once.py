# SPDX-License-Identifier: MIT
"""A checkpoint reads the manifest of the image before it once, and no other that it knows."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit import samples
from torqueckpt import layout, manifest
from torqueckpt.checkpoint import checkpoint
from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.base import Checkpointer, Dump, Restore
from torqueckpt.identity import Owner
from torqueckpt.settings import Settings
from torqueckpt.store import access
from torqueckpt.store.store import Store


class Pretender(Checkpointer):
    """Writes a file and says that it is the image."""

    name = "pretender"
    has_freeze_hook = False

    def __init__(self, settings: Settings) -> None:
        self.program = Path("/bin/sh")

    def version_argv(self) -> list[str]:
        return []

    def dump_argv(self, dump: Dump) -> list[str]:
        return ["/bin/sh", "-c", 'echo memory >"$0/memory"', str(dump.image_dir)]

    def restore_argv(self, restore: Restore) -> list[str]:
        raise NotImplementedError(self.name)

    def incomplete(self, dump: Dump) -> str:
        return ""

    def reason(self, work_dir: Path, verb: str) -> str:
        return ""


@pytest.fixture
def settings(store: Store, place: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setitem(registry._TABLE, "pretender", f"{__name__}:Pretender")
    (place / "key").write_text(samples.KEY.hex())
    (place / "key").chmod(0o600)
    return Settings(
        store=store.root.path,
        checkpointer="pretender",
        signature_key=place / "key",
        depth=3,
        reserve_mib=0,
        repeat_window_seconds=-2,  # each call is a new one
    )


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Which generations' manifests were decoded, in their order."""
    numbers: list[int] = []
    decode = manifest.decode

    def counting(data: bytes) -> manifest.Manifest:
        found = decode(data)
        numbers.append(found.generation)
        return found

    monkeypatch.setattr(manifest, "decode", counting)
    return numbers


def test_a_checkpoint_decodes_the_newest_manifest_once(
    user: Owner,
    settings: Settings,
    started: Callable[..., subprocess.Popen[bytes]],
    decoded: list[int],
) -> None:
    null, who = subprocess.DEVNULL, {"user": user.uid, "group": user.gid, "extra_groups": []}
    job = started("/bin/sleep", "600", stdout=null, stderr=null, **who)
    # From the fourth on one goes, and copies of files are held against the three that stay: the new
    # one and the one before it are known.
    expected = [[], [1], [2], [3, 2], [4, 3]]
    for number, wanted in enumerate(expected, 1):
        decoded.clear()
        image = checkpoint.checkpoint_process(job.pid, samples.JOB, False, user.name, settings)
        assert image.generation == number and decoded == wanted
        with access.lineage_of(samples.JOB, user, settings) as (_, lineage):
            lineage.directory.make(layout.COPIES).close()
    assert os.geteuid() == 0
    with access.lineage_of(samples.JOB, user, settings) as (_, lineage):
        assert lineage.numbers() == [3, 4, 5]
