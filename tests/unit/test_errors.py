# SPDX-License-Identifier: MIT
"""Exit codes and messages are part of the interface: unique, complete, and in the manual."""

from __future__ import annotations

import inspect
import re
import string
from pathlib import Path

import pytest

from torqueckpt import errors
from torqueckpt.errors import OWN_FAILURE, TorqueCkptError
from torqueckpt.ifl import errors as of_bindings

_ALL = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, TorqueCkptError)
]
_TABLE = Path(__file__).resolve().parents[2] / "docs" / "exit-codes.md"
_ROW = re.compile(r"\| ([0-9]+) \| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|")


def _details(error: type[TorqueCkptError]) -> list[str]:
    parsed = string.Formatter().parse(error.message)
    return [name for _, name, _, _ in parsed if name is not None]


def test_two_errors_never_share_an_exit_code() -> None:
    others = [error for _, error in inspect.getmembers(of_bindings, inspect.isclass)]
    of_others = {error.exit_code for error in others if issubclass(error, TorqueCkptError)}
    codes = [*(error.exit_code for error in _ALL), *(of_others - {TorqueCkptError.exit_code})]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("error", _ALL)
def test_no_exit_code_is_taken_for_success_our_own_failure_or_a_signal(
    error: type[TorqueCkptError],
) -> None:
    assert 0 < error.exit_code < OWN_FAILURE == 125


@pytest.mark.parametrize("error", _ALL)
def test_a_message_holds_all_its_details_and_braces_in_them_do_no_harm(
    error: type[TorqueCkptError],
) -> None:
    names = _details(error)
    told = str(error(**{name: f"<{name}>{{x}}%s" for name in names}))
    assert all(f"<{name}>{{x}}%s" in told for name in names)
    assert "\n" not in told


@pytest.mark.parametrize("error", [error for error in _ALL if _details(error)])
def test_a_message_without_one_of_its_details_cannot_be_raised(
    error: type[TorqueCkptError],
) -> None:
    with pytest.raises(KeyError):
        error()


def test_the_manual_lists_every_error_with_its_code_and_no_other() -> None:
    rows = [
        match.groups() for match in map(_ROW.fullmatch, _TABLE.read_text().splitlines()) if match
    ]
    listed = {name: int(code) for code, name, *_ in rows}
    assert listed == {error.__name__: error.exit_code for error in _ALL}
    assert [int(code) for code, *_ in rows] == sorted(listed.values())


def test_a_message_in_the_manual_is_the_one_of_the_module() -> None:
    for _, name, message, *_ in (
        row.groups() for row in map(_ROW.fullmatch, _TABLE.read_text().splitlines()) if row
    ):
        error = getattr(errors, name)
        values = {each: f"*{each}*" for each in _details(error)}
        expected = string.Formatter().vformat(re.sub(r"![rs]", "", error.message), (), values)
        assert message == expected, name


def test_every_row_of_the_manual_says_where_it_comes_from_and_what_to_do() -> None:
    for line in _TABLE.read_text().splitlines():
        row = _ROW.fullmatch(line)
        if row:
            cause, remedy = row.group(4), row.group(5)
            assert len(cause.split()) >= 3 and len(remedy.split()) >= 3, line
            assert cause != remedy and " | " not in remedy, line
