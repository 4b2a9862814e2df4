# SPDX-License-Identifier: MIT
"""The example of a checkpointer of a site's own: found by its entry point, and does as it says."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.base import Dump, Restore
from torqueckpt.errors import CheckpointerMissing, CheckpointerTooOld
from torqueckpt.settings import Settings

_EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "own_checkpointer"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What pip makes of the example: its module and its metadata, on the path."""
    described = configparser.ConfigParser()
    described.read(_EXAMPLE / "setup.cfg")
    points = described["options.entry_points"]
    text = "".join(f"[{group}]{points[group]}\n" for group in points)
    metadata = tmp_path / "own_checkpointer-1.0.dist-info"
    metadata.mkdir()
    (metadata / "entry_points.txt").write_text(text)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: own-checkpointer\nVersion: 1\n"
    )
    module = tmp_path / "own_checkpointer.py"
    module.write_text((_EXAMPLE / "own_checkpointer.py").read_text())
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def program(path: Path, version: str) -> Path:
    path.write_text(f"#!/bin/sh\necho own-checkpointer {version}\n")
    path.chmod(0o755)
    return path


def test_it_is_found_by_its_name_and_builds_its_command_lines(installed: Path) -> None:
    own = registry.load("own", Settings(checkpointer="own"))
    image = installed / "image"
    image.mkdir()
    dump = Dump(42, image, installed, stopped=False, established_tcp=False)
    assert own.dump_argv(dump)[1:] == ["42", str(image)]
    assert own.incomplete(dump) == "save left no memory file"
    (image / "memory").touch()
    assert own.incomplete(dump) == ""
    restore = Restore(image, installed, established_tcp=False, inherited=())
    assert own.restore_argv(restore)[1:] == [str(image)]


@pytest.mark.parametrize(("version", "fits"), [("1.2.7", True), ("1.1", False)])
def test_a_version_that_is_too_old_is_refused(installed: Path, version: str, fits: bool) -> None:
    own = registry.load("own", Settings())
    own.program = program(installed / "save", version)
    own.version_argv = lambda: [str(own.program), "--version"]  # type: ignore[method-assign]
    if fits:
        assert registry.usable_version(own) == version
        return
    with pytest.raises(CheckpointerTooOld):
        registry.usable_version(own)


def test_a_name_that_nobody_has_is_said() -> None:
    with pytest.raises(CheckpointerMissing, match="cryo"):
        registry.load("cryo", Settings())
