# SPDX-License-Identifier: MIT
"""A new image that a restart could not read is refused: the older one stays, the job runs on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit import pretender, samples
from torqueckpt import layout, typed_json
from torqueckpt.checkpoint import checkpoint, describe, proof
from torqueckpt.checkpointers.base import Checkpointer, ImageFacts
from torqueckpt.errors import NotReadBack
from torqueckpt.files.record import Look
from torqueckpt.identity import Owner
from torqueckpt.manifest import Ceiling, Manifest, Process
from torqueckpt.process import proc
from torqueckpt.safe_files import Directory
from torqueckpt.settings import Settings
from torqueckpt.store import access
from torqueckpt.store.generation import Generation
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import Store

Job = Callable[[bool], None]


@pytest.fixture
def settings(store: Store, place: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return pretender.settings(store, place, monkeypatch)._replace(depth=1)


@pytest.fixture
def refused(
    user: Owner, settings: Settings, place: Path, started: Callable[..., subprocess.Popen[bytes]]
) -> Callable[[str], None]:
    """Have a job, which has one image, checkpointed twice more, the second time to end it.

    Neither is given a new image, both say why, the one that there was stays, and the job runs.
    """
    (place / "12.srv.OU").touch(mode=0o666)
    with (place / "12.srv.OU").open("r+b") as output:
        who = {"user": user.uid, "group": user.gid, "extra_groups": []}
        job = started("/bin/sleep", "600", stdout=output, stderr=output, **who)
        output.write(b"line 1\n")

    def take(end: bool = False) -> None:
        checkpoint.checkpoint_process(job.pid, samples.JOB, end, user.name, settings)

    take()
    link = settings.store / f"{job.pid}.{samples.JOB}"
    to = os.readlink(link)

    def refuse(why: str) -> None:
        for end in (False, True):
            with pytest.raises(NotReadBack, match=why) as told:
                take(end)
            assert told.value.exit_code == 59
            assert os.readlink(link) == to
            now = proc.stat(job.pid)
            assert now is not None and now.state in "SR"
            with access.lineage_of(samples.JOB, user, settings) as (_, lineage):
                assert lineage.numbers() == [1]
                assert not any(name.endswith(".partial") for name in lineage.directory.names())
                good = lineage.generation(1)
                good.verify(good.manifest(samples.KEY))

    return refuse


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Generation], None]], None]:
    """Have something done to a new image between its seal and its manifest."""

    def before_manifest(spoiled: Callable[[Generation], None]) -> None:
        write = Generation.write_manifest

        def spoil_and_write(generation: Generation, data: Manifest, key: bytes) -> None:
            spoiled(generation)
            write(generation, data, key)

        monkeypatch.setattr(Generation, "write_manifest", spoil_and_write)

    return before_manifest


def test_a_manifest_larger_than_is_read(
    refused: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "MANIFEST_BYTES", 4000)
    manifest_of = describe.manifest_of
    many = (Process(1, 1, "one of many", "/"),) * 100
    monkeypatch.setattr(
        describe, "manifest_of", lambda *given: manifest_of(*given)._replace(processes=many)
    )
    refused(r"manifest\.json would have [0-9]{4} bytes, and more than 4000 are not read")


def test_a_manifest_of_more_values_than_are_read(
    refused: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest_of = describe.manifest_of
    many = (Process(1, 1, "one of many", "/"),) * 1000
    monkeypatch.setattr(
        describe, "manifest_of", lambda *given: manifest_of(*given)._replace(processes=many)
    )
    monkeypatch.setattr(typed_json, "MOST", 3000)
    refused("too large: about 6[0-9]{3} values, and more than 3000 are not read")


def _asks_for_all(checkpointer: Checkpointer, data: bytes, ceiling: Ceiling | None) -> bytes:
    raise ValueError("asks for capabilities (all)")


def test_a_file_for_which_no_restart_would_take_the_image(
    refused: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    of_rights = pretender.Pretender
    monkeypatch.setattr(of_rights, "decides_rights", lambda self, name: name == "memory")
    monkeypatch.setattr(of_rights, "checked_rights", _asks_for_all)
    refused(r"memory asks for capabilities \(all\)")


def test_a_file_that_decides_on_rights_and_is_larger_than_is_read(
    refused: Callable[[str], None],
    spoil: Callable[[Callable[[Generation], None]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pretender.Pretender, "decides_rights", lambda self, name: True)
    spoil(lambda generation: os.truncate(generation.image_dir / "memory", 1 << 40))
    refused("memory: larger than [0-9]+ bytes")


def _in_image(name: str) -> Callable[[Generation], None]:
    return lambda generation: (generation.image_dir / name).write_bytes(b"other")


def _cut_output(generation: Generation) -> None:
    os.truncate(generation.path.parent / layout.OUTPUT / "stdout", 3)


def _remove_output(generation: Generation) -> None:
    (generation.path.parent / layout.OUTPUT / "stdout").unlink()


def _other_live(generation: Generation) -> None:
    lineage = Lineage(Directory.open(generation.path.parent))
    live = lineage.live()
    assert live is not None
    lineage.write_live(live._replace(written=live.written + 1))


@pytest.mark.parametrize(
    ("spoiled", "why"),
    [
        (_in_image("memory"), "memory is no file of its size"),
        (_in_image("more"), "a file that does not belong to it"),
        (_cut_output, "output/stdout has not the 7 bytes"),
        (_remove_output, "No such file"),
        (_other_live, "live record is not what was written"),
    ],
)
def test_what_does_not_lie_on_the_disk_as_it_was_written(
    refused: Callable[[str], None],
    spoil: Callable[[Callable[[Generation], None]], None],
    spoiled: Callable[[Generation], None],
    why: str,
) -> None:
    spoil(spoiled)
    refused(why)


@pytest.mark.parametrize("disk", [lambda data: data[:-9], lambda data: data.replace(b"1", b"2", 1)])
def test_a_manifest_that_the_disk_gives_back_otherwise(
    refused: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    disk: Callable[[bytes], bytes],
) -> None:
    write = Generation.write_manifest

    def write_otherwise(generation: Generation, data: Manifest, key: bytes) -> None:
        write(generation, data, key)
        file = generation.path / layout.MANIFEST
        file.write_bytes(disk(file.read_bytes()))

    monkeypatch.setattr(Generation, "write_manifest", write_otherwise)
    refused("not a manifest of ours|wrong signature")


@pytest.mark.parametrize("end", [False, True])
def test_what_goes_with_the_job_keeps_it_from_a_hold_and_is_a_doubt_of_other_images(
    end: bool,
) -> None:
    asked: Any = SimpleNamespace(request=SimpleNamespace(end=end), job=samples.JOB)
    facts = ImageFacts((), (), 0)
    told = ("/scratch/12.srv/large: 101 bytes, not copied, go with the job",)
    manifest, lost = proof.judged(asked, samples.a_manifest(), facts, Look(goes=told))
    assert manifest.doubts == told
    assert lost == (told if end else ())
