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


@pytest.mark.parametrize("line", ["# PBS -N a", "##PBS -N a", "#pbs -N a", "x #PBS -N a"])
def test_a_line_that_only_looks_like_a_directive_is_none(line: str) -> None:
    assert _read(line) == []


@pytest.mark.parametrize(
    "line", ["#PBS-N a", "  #PBS -N a", "\t#PBS\t-N\ta", "#PBSX -N a", "#PBS-Na"]
)
def test_blanks_before_the_mark_and_none_behind_it_are_in_order(line: str) -> None:
    assert _read(line) == [("N", "a")]


@pytest.mark.parametrize(
    ("between", "goes_on"),
    [
        ("", True),
        ("  \n\f", True),
        ("# a remark", True),
        ("  # indented", True),
        (": a no-op at the left", True),
        ("#!/bin/csh", True),
        (" : an indented one", False),
        ("cd x", False),
        ("\tcd x", False),
        (")", False),
    ],
)
def test_the_header_ends_with_the_first_line_that_qsub_takes_for_a_command(
    between: str, goes_on: bool
) -> None:
    assert _read(f"#PBS -N a\n{between}\n#PBS -q b\n") == [("N", "a"), *[("q", "b")] * goes_on]


@pytest.mark.parametrize(
    ("script", "torque", "openpbs"),
    [
        ("#PBS -l a=1,\\\nb=2\n#PBS -N x", ["a=1,b=2", "x"], ["a=1,b=2", "x"]),
        ("#PBS -l a=1 \\\n  -l b=2 \\\n  -N x\n", ["a=1", "b=2", "x"], ["a=1", "b=2", "x"]),
        # blanks behind it: one of the two goes on, the other has reached a command
        ("#PBS -l a=1 \\ \n -N x\n#PBS -N y", ["a=1"], ["a=1", "x", "y"]),
        ("#PBS -l a=1 \\ \n#PBS -N x\n", ["a=1", "x"], ["a=1", "x"]),
        ("#PBS -l a=1,\\\n#PBS b=2\n", ["a=1,#PBS"], ["a=1,#PBS"]),
        ("#PBS -l a=1\\", [], ["a=1"]),
        ("#PBS -l a=1\\\n", ["a=1"], ["a=1"]),
        ("# a remark \\\n#PBS -N x\n", ["x"], ["x"]),
        ("#PBS -l a=1,\\\r\nb=2\r\n#PBS -N x\r\n", ["a=1,b=2", "x"], ["a=1,b=2", "x"]),
    ],
)
def test_a_backslash_at_the_end_joins_the_next_line(
    script: str, torque: list[str], openpbs: list[str]
) -> None:
    assert [each.value for each in directives.read(script)][: len(torque)] == torque
    assert [each.value for each in directives.read(script, openpbs=True)] == openpbs


def test_what_is_spooled_has_the_joined_line_and_all_else_as_it_was() -> None:
    script = "#!/bin/sh\r\n#PBS -l a=1,\\\nb=2\n\x0becho \\\n  x"
    assert directives.spooled(script) == "#!/bin/sh\r\n#PBS -l a=1,b=2\n\x0becho \\\n  x"


def test_letters_without_a_value_share_a_word_with_the_next_one() -> None:
    assert _read("#PBS -VN name -hnE -zjoe") == [
        *[("V", ""), ("N", "name"), ("h", ""), ("n", ""), ("E", "")],
        *[("z", ""), ("j", "oe")],
    ]


def test_two_dashes_end_the_options_of_a_line_and_other_words_do_not() -> None:
    assert _read("#PBS a - -N x # -q b -- -j oe\n#PBS -r n") == [("N", "x"), ("q", "b"), ("r", "n")]


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("'a \\ b'", "a \\ b"),
        ('"a \\" b', "a \\"),
        ("a\\ b", "a b"),
        ("a' 'b\"'\"", "a b'"),
        ("\\'a", "'a"),
        ("''", ""),
        ("a#b", "a#b"),
        ("\u00a0a\x0b", "\u00a0a"),
    ],
)
def test_quotes_and_backslashes_are_read_as_by_qsub_not_as_by_a_shell(
    words: str, value: str
) -> None:
    assert _read(f"#PBS -A {words}")[0] == ("A", value)


@pytest.mark.parametrize(
    ("prefix", "found"),
    [("#PBS", ["p"]), ("#SITE", ["s"]), ("@@", ["t"]), ("", [])],
)
def test_a_directive_begins_with_the_mark_that_qsub_was_told(prefix: str, found: list[str]) -> None:
    script = "#PBS -N p\n#SITE-N s\n@@ -N t\n"
    assert [each.value for each in directives.read(script, prefix)] == found


def test_a_mark_that_a_directive_sets_is_not_that_of_its_own_script() -> None:
    assert _read("#PBS -C '#X'\n#X -N x\n#PBS -N p") == [("C", "#X"), ("N", "p")]


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


def test_an_option_whose_value_is_missing_is_left_out() -> None:
    assert _read("#PBS -N\n#PBS -\n#PBS relax\n") == []


@given(st.one_of(st.text(), st.lists(st.text(max_size=30).map("#PBS {}".format)).map("\n".join)))
def test_whatever_the_script_there_is_never_an_exception(script: str) -> None:
    for each in directives.read(script):
        assert isinstance(each, Directive)
        assert len(each.option) == 1
