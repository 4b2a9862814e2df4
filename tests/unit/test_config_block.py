# SPDX-License-Identifier: MIT
"""Our block goes into an administrator's file and out again; not one byte of his changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.mom_configs import OPENPBS, TORQUE
from torqueckpt.batch import config_block
from torqueckpt.errors import ConfigBlockDamaged

_LINES = ["$checkpoint_script /usr/local/sbin/mom-checkpoint", "$checkpoint_interval 10"]
_OTHERS = ["$checkpoint_script /opt/x/sbin/mom-checkpoint", "$loglevel 3", "$usecp *:/ /"]
_FILES = {**TORQUE, **{f"openpbs {name}": data for name, data in OPENPBS.items()}}

_bits = st.sampled_from(
    [
        b"$pbsserver head",
        b"# BEGIN torqueckp",
        b" # END torqueckptx",
        b"#END torqueckpt",
        b"\r",
        b"\t",
        b"\xfc\x00",
        b"name value",
        b"\n",
        b"\n\n",
    ]
)
_files = st.one_of(st.binary(max_size=200), st.lists(_bits, max_size=12).map(b"".join)).filter(
    lambda data: b"# BEGIN torqueckpt" not in data and b"# END torqueckpt" not in data
)


def _merge(data: bytes, lines: list[str] = _LINES) -> bytes:
    return config_block.merge(data, lines, "config")


def _remove(data: bytes) -> bytes:
    return config_block.remove(data, "config")


def test_there_are_thirty_files_to_try() -> None:
    assert len(TORQUE) >= 30 and len(set(_FILES.values())) == len(_FILES)


@pytest.mark.parametrize("name", _FILES)
def test_merging_twice_is_merging_once_and_taking_out_gives_the_file_back(name: str) -> None:
    data = _FILES[name]
    merged = _merge(data)
    assert merged.startswith(data)
    assert _merge(merged) == merged
    assert config_block.block_lines(merged, "config") == _LINES
    assert _remove(merged) == data


@given(_files)
def test_any_bytes_survive(data: bytes) -> None:
    merged = _merge(data)
    assert merged.startswith(data) and _merge(merged) == merged
    assert _remove(merged) == data
    changed = _merge(merged, _OTHERS)
    assert config_block.block_lines(changed, "config") == _OTHERS
    assert _remove(changed) == data and _merge(changed) == merged


@given(_files, _files)
def test_lines_that_were_added_behind_the_block_stay_there(before: bytes, after: bytes) -> None:
    merged = _merge(before) + after
    assert _merge(merged) == merged
    assert _merge(merged, _OTHERS).endswith(after)
    left = _remove(merged)
    assert left.startswith(before) and left.endswith(after)
    assert len(left) - len(before) - len(after) <= 1  # the newline that parts the two


def test_a_block_stays_where_it_was_put() -> None:
    moved = b"$loglevel 1\n" + _merge(b"") + b"$logevent 255\n"
    changed = _merge(moved, _OTHERS)
    assert changed.startswith(b"$loglevel 1\n# BEGIN") and changed.endswith(b"\n$logevent 255\n")


def test_a_block_whose_lines_became_crlf_is_still_ours() -> None:
    data = _merge(b"$pbsserver head\n").replace(b"\n", b"\r\n")
    again = _merge(data)
    assert again.startswith(b"$pbsserver head\r\n# BEGIN")
    assert config_block.block_lines(again, "config") == _LINES


@pytest.mark.parametrize(
    ("data", "line", "told"),
    [
        (b"# BEGIN torqueckpt\n$x 1\n", 1, "no end"),
        (b"a\n# BEGIN torqueckpt (more)\n# BEGIN torqueckpt\n# END torqueckpt\n", 3, "second"),
        (b"a\nb\n# END torqueckpt\n", 3, "never began"),
        (b"# BEGIN torqueckpt\n# END torqueckpt\n# END torqueckpt", 3, "second end"),
        (b"# END torqueckpt\n# BEGIN torqueckpt\n", 1, "before it begins"),
        (_merge(b"a\n") + _merge(b""), 6, "second block"),
    ],
)
def test_a_damaged_block_is_an_error_and_not_guessed_at(data: bytes, line: int, told: str) -> None:
    for work in (_merge, _remove):
        with pytest.raises(ConfigBlockDamaged, match=told) as refused:
            work(data)
        assert str(refused.value).startswith(f"config:{line}: ")


def test_the_numbers_of_our_lines() -> None:
    merged = _merge(b"a\nb\n")
    assert list(config_block.ours(merged, "config")) == [3, 4, 5, 6]
    assert list(config_block.ours(b"a\n", "config")) == []
