# SPDX-License-Identifier: MIT
"""#PBS lines as people write them, and as nobody should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torqueckpt.batch import directives
from torqueckpt.manifest import Directive


def _read(script: str) -> list[tuple[str, str]]:
    return [(each.option, each.value) for each in directives.read(script)]


def test_options_stand_in_the_order_of_the_script() -> None:
    script = (
        "#!/bin/sh\n"
        "#PBS -N relax\n"
        "# a remark\n"
        "\n"
        "#PBS -l nodes=1:ppn=2,walltime=1:00:00 -j oe\n"
        "#PBS\t-c enabled,c=20\n"
        "./relax\n"
    )
    assert _read(script) == [
        ("N", "relax"),
        ("l", "nodes=1:ppn=2,walltime=1:00:00"),
        ("j", "oe"),
        ("c", "enabled,c=20"),
    ]


def test_a_directive_after_the_first_command_is_none() -> None:
    assert _read("#PBS -N a\necho hello\n#PBS -N b\n") == [("N", "a")]


@pytest.mark.parametrize(
    "line", ["#PBSX -N a", "#PBS-N a", "# PBS -N a", " #PBS -N a", "#pbs -N a"]
)
def test_a_line_that_only_looks_like_a_directive_is_none(line: str) -> None:
    assert _read(line) == []


def test_a_value_with_blanks_is_one_value_when_it_is_quoted() -> None:
    assert _read("#PBS -o '/my dir/out' -e \"/my dir/err\"") == [
        ("o", "/my dir/out"),
        ("e", "/my dir/err"),
    ]


def test_a_value_that_stands_close_to_its_letter_is_its_value() -> None:
    assert _read("#PBS -Nrelax -lwalltime=60") == [("N", "relax"), ("l", "walltime=60")]


def test_options_without_a_value_take_none() -> None:
    assert _read("#PBS -V -N relax -h") == [("V", ""), ("N", "relax"), ("h", "")]


def test_a_line_with_an_open_quote_is_left_out_and_the_next_one_is_read() -> None:
    assert _read("#PBS -N 'relax\n#PBS -j oe\n") == [("j", "oe")]


def test_an_option_whose_value_is_missing_has_none() -> None:
    assert _read("#PBS -N\n#PBS -\n#PBS relax\n") == [("N", "")]


@given(st.one_of(st.text(), st.lists(st.text(max_size=30).map("#PBS {}".format)).map("\n".join)))
def test_whatever_the_script_there_is_never_an_exception(script: str) -> None:
    for each in directives.read(script):
        assert isinstance(each, Directive)
        assert len(each.option) == 1
