# SPDX-License-Identifier: MIT
"""A checkpoint reads the image before it and its own new one once, and no other that it knows."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit import pretender, samples
from torqueckpt import layout, manifest
from torqueckpt.checkpoint import checkpoint
from torqueckpt.identity import Owner
from torqueckpt.settings import Settings
from torqueckpt.store import access
from torqueckpt.store.store import Store


@pytest.fixture
def settings(store: Store, place: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return pretender.settings(store, place, monkeypatch)._replace(depth=3)


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


def test_a_checkpoint_decodes_the_image_before_it_and_its_own_once_each(
    user: Owner,
    settings: Settings,
    started: Callable[..., subprocess.Popen[bytes]],
    decoded: list[int],
) -> None:
    null, who = subprocess.DEVNULL, {"user": user.uid, "group": user.gid, "extra_groups": []}
    job = started("/bin/sleep", "600", stdout=null, stderr=null, **who)
    # The new one is read back.  From the fourth on one goes, and copies of files are held against
    # the three that stay: the new one and the one before it are known.
    expected = [[1], [1, 2], [2, 3], [3, 4, 2], [4, 5, 3]]
    for number, wanted in enumerate(expected, 1):
        decoded.clear()
        image = checkpoint.checkpoint_process(job.pid, samples.JOB, False, user.name, settings)
        assert image.generation == number and decoded == wanted
        with access.lineage_of(samples.JOB, user, settings) as (_, lineage):
            lineage.directory.make(layout.COPIES).close()
    assert os.geteuid() == 0
    with access.lineage_of(samples.JOB, user, settings) as (_, lineage):
        assert lineage.numbers() == [3, 4, 5]
