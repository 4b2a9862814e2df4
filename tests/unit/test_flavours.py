# SPDX-License-Identifier: MIT
"""The flavours' examples and the manual: what they name is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from torqueckpt.settings import Settings

_TOP = Path(__file__).resolve().parents[2]
_DEFAULTS = (_TOP / "conf" / "torqueckpt.toml").read_text()
_EXAMPLES = sorted(set((_TOP / "conf").glob("*.toml")) - {_TOP / "conf" / "torqueckpt.toml"})
_OPTION = re.compile(r"^([a-z_]+) = .+$", re.M)
_MANUAL = sorted((_TOP / "docs" / "man").glob("*.[158]"))


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda path: path.stem)
def test_an_example_names_options_that_there_are(example: Path) -> None:
    text = example.read_text()
    assert text.startswith("#")
    names = _OPTION.findall(text)
    assert "checkpointer" in names
    assert set(names) <= {field.name for field in fields(Settings)}
    assert all(f"\n# {name} = " in _DEFAULTS for name in names)


def test_there_is_an_example_for_each_flavour() -> None:
    assert {"altix", "blcr", "criu", "dmtcp", "openpbs"} <= {path.stem for path in _EXAMPLES}


def _settings_page() -> str:
    made = subprocess.run(
        [_TOP / "install" / "settings-page"],
        input=_DEFAULTS,
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout


def test_the_settings_page_has_every_option_once() -> None:
    found = re.findall(r"^\.B ([a-z_]+) = ", _settings_page(), re.M)
    assert sorted(found) == sorted(field.name for field in fields(Settings))


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
@pytest.mark.parametrize("page", [*_MANUAL, None], ids=str)
def test_groff_has_nothing_to_say_about_a_page(page: Path | None) -> None:
    text = _settings_page() if page is None else page.read_text()
    told = subprocess.run(
        ["groff", "-man", "-ww", "-z", "-Kutf8"], input=text, capture_output=True, text=True
    )
    assert (told.returncode, told.stderr) == (0, "")
