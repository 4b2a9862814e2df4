# SPDX-License-Identifier: MIT
"""The flavours' examples: what they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from torqueckpt.settings import Settings

_TOP = Path(__file__).resolve().parents[2]
_DEFAULTS = (_TOP / "conf" / "torqueckpt.toml").read_text()
_EXAMPLES = sorted(set((_TOP / "conf").glob("*.toml")) - {_TOP / "conf" / "torqueckpt.toml"})
_OPTION = re.compile(r"^([a-z_]+) = .+$", re.M)


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda path: path.stem)
def test_an_example_names_options_that_there_are(example: Path) -> None:
    text = example.read_text()
    assert text.startswith("#")
    names = _OPTION.findall(text)
    assert "checkpointer" in names
    assert set(names) <= set(Settings._fields)
    assert all(f"\n# {name} = " in _DEFAULTS for name in names)


def test_there_is_an_example_for_each_flavour() -> None:
    assert {"altix", "blcr", "criu", "dmtcp", "openpbs"} <= {path.stem for path in _EXAMPLES}
