# SPDX-License-Identifier: MIT
"""Rules for a job's files: which glob means which file, and slips told in one phrase."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from torqueckpt import file_rules
from torqueckpt.file_rules import BadRule
from torqueckpt.manifest import Rule


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("/d/*.log", "/d/a.log", True),
        ("/d/*.log", "/d/e/a.log", False),
        ("/d/**", "/d/e/f/a", True),
        ("/d/**", "/d", False),
        ("/d/**/a", "/d/a", True),
        ("/d/**/a", "/d/x/y/a", True),
        ("/d/**/a", "/d/xa", False),
        ("/d/?", "/d/a", True),
        ("/d/?", "/d/ab", False),
        ("/d/[ab]1", "/d/b1", True),
        ("/d/[!ab]1", "/d/b1", False),
        ("/d/[!ab]1", "/d//1", False),
        ("/d/a.c", "/d/abc", False),
        ("/d/a+(b)", "/d/a+(b)", True),
        ("/d/*", "/d/new\nline", True),
    ],
)
def test_which_file_a_glob_means(glob: str, path: str, matches: bool) -> None:
    assert (file_rules.of_path([Rule(glob, "ignore", True)], path) == "ignore") is matches


def test_the_first_rule_that_matches_decides() -> None:
    rules = [Rule("/d/keep*", "ignore", True), Rule("/d/**", "snapshot", True)]
    assert file_rules.of_path(rules, "/d/keep1") == "ignore"
    assert file_rules.of_path(rules, "/d/other") == "snapshot"
    assert file_rules.of_path(rules, "/e") == ""


def test_relative_globs_and_variables_and_links_before_the_glob(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    environment = {"TMPDIR": "/scratch/12.srv"}
    items = ["link/*.log=append", "$TMPDIR/**=snapshot", "${NOBODY}x=ignore"]
    found = file_rules.read(items, str(tmp_path), environment)
    assert [rule.glob for rule in found] == [
        f"{tmp_path.resolve()}/real/*.log",
        "/scratch/12.srv/**",
        f"{tmp_path.resolve()}/${{NOBODY}}x",
    ]


def test_brackets_and_stars_in_variables_and_directories_are_no_pattern() -> None:
    """An array job's number has brackets, and so has its $TMPDIR."""
    environment = {"TMPDIR": "/scratch/12[3].srv", "NAME": "a*"}
    items = ["$TMPDIR/**=snapshot", "out/[ab]*=append", "$NAME=ignore"]
    rules = file_rules.read(items, "/home/ann/run[1]?", environment)
    for path, policy in (
        ("/scratch/12[3].srv/x/y", "snapshot"),
        ("/scratch/123.srv/x", ""),
        ("/home/ann/run[1]?/out/b1", "append"),
        ("/home/ann/run1x/out/b1", ""),
        ("/home/ann/run[1]?/a*", "ignore"),
        ("/home/ann/run[1]?/ab", ""),
    ):
        assert file_rules.of_path(rules, path) == policy, path
    where = [file_rules.base(rule.glob) for rule in rules]
    assert where == ["/scratch/12[3].srv", "/home/ann/run[1]?/out", "/home/ann/run[1]?"]


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("name", "not GLOB=POLICY"),
        ("=snapshot", "not GLOB=POLICY"),
        ("*.log=", "no policy ''"),
        ("*.log=snapshots", "no policy 'snapshots'; known: rollback snapshot append ignore"),
        ("../x=ignore", "'..'"),
        ("run[9-0]/*=ignore", "bad character range 9-0"),
    ],
)
def test_a_slip_is_told(item: str, told: str) -> None:
    with pytest.raises(BadRule, match=told.replace("*", ".")) as refused:
        file_rules.read([item], "/", {})
    assert item in str(refused.value)


def test_rules_of_a_job_also_where_qsub_cut_them_at_their_commas() -> None:
    environment = {
        "HOME": "/home/ann",
        "MODE": "append",
        file_rules.VARIABLE: "*.log=append;a=ignore",
        "scratch/**": "snapshot",
    }
    assert file_rules.of_job(environment) == ["*.log=append", "a=ignore", "scratch/**=snapshot"]
    assert file_rules.of_job({"scratch/**": "snapshot"}) == []


@pytest.mark.parametrize(
    ("glob", "base"), [("/d/e/*.log", "/d/e"), ("/d/e/f", "/d/e"), ("/*", "/"), ("/d/[a]/x", "/d")]
)
def test_where_what_a_glob_matches_lies(glob: str, base: str) -> None:
    assert file_rules.base(glob) == base


@given(st.text(max_size=30), st.text(max_size=30))
@example("\0/", "")
def test_no_text_is_too_odd_for_a_rule(glob: str, path: str) -> None:
    try:
        rules = file_rules.read([f"{glob}=snapshot"], "/d", {})
    except BadRule:
        return
    assert file_rules.of_path(rules, path) in ("", "snapshot")
