# SPDX-License-Identifier: MIT
"""qsub's -c: all of its forms, our seconds, and a refusal of all that a shell could misread."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torqueckpt.batch import checkpoint_spec
from torqueckpt.batch.checkpoint_spec import CheckpointSpec
from torqueckpt.errors import InvalidSpec

_NOTHING = CheckpointSpec("")
_ENABLED = CheckpointSpec("", enabled=True)
_PERIODIC = CheckpointSpec("", periodic=True)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("n", _NOTHING),
        ("none", _NOTHING),
        ("u", _NOTHING),
        ("s", CheckpointSpec("", shutdown=True)),
        ("shutdown", CheckpointSpec("", shutdown=True)),
        ("c", _PERIODIC),
        ("periodic", _PERIODIC),
        ("enabled", _ENABLED),
        ("c=20", _PERIODIC._replace(interval_seconds=1200)),
        ("interval=20", _PERIODIC._replace(interval_seconds=1200)),
        ("w=20", _PERIODIC._replace(interval_seconds=1200)),
        ("c=2s", _PERIODIC._replace(interval_seconds=2)),
        ("periodic,interval=1", _PERIODIC._replace(interval_seconds=60)),
        ("auto", _PERIODIC._replace(auto=True)),
        ("c=auto", _PERIODIC._replace(auto=True)),
        ("w=auto", _PERIODIC._replace(auto=True)),
        ("periodic,interval=auto,depth=2", _PERIODIC._replace(auto=True, depth=2)),
        ("enabled,depth=2", _ENABLED._replace(depth=2)),
        ("enabled,dir=/scratch/a-b_c.1", _ENABLED._replace(directory=Path("/scratch/a-b_c.1"))),
        ("enabled,name=my.ckpt", _ENABLED._replace(name="my.ckpt")),
        ("enabled, periodic , c=5", _PERIODIC._replace(enabled=True, interval_seconds=300)),
        ("s,c=1,depth=99999", _PERIODIC._replace(shutdown=True, interval_seconds=60, depth=99999)),
    ],
)  # fmt: skip
def test_every_form_of_qsub_is_understood(text: str, spec: CheckpointSpec) -> None:
    assert checkpoint_spec.parse(text) == spec._replace(text=text)


def test_only_who_says_so_never_wants_an_image() -> None:
    told = {text: checkpoint_spec.parse(text).never for text in ("n", "none", "u", "s", "c=5")}
    assert told == {"n": True, "none": True, "u": False, "s": False, "c=5": False}


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "x",
        "enabled,",
        "n,c=5",
        "u,enabled",
        "c=5,none",
        "n,auto",
        "c=5,interval=auto",
        "auto=5",
        "depth=auto",
        "c=",
        "c=0",
        "c=0s",
        "c=-1",
        "c=1.5",
        "c=5m",
        "c=1 s",
        "c=٥",
        "c=9999999",
        "interval=ten",
        "n=1",
        "enabled=1",
        "depth",
        "depth=",
        "depth=0",
        "depth=-1",
        "depth=100000",
        "dir=",
        "dir=scratch",
        "dir=/a/../b",
        "dir=/a b",
        "dir=/x;id",
        "dir=/x`id`",
        "dir=/$HOME",
        "dir=/x\ny",
        "dir=/x\0",
        "dir=/caf\u00e9",
        "name=",
        "name=a/b",
        "name=.hidden",
        "name=-rf",
        "name=a;b",
        "name=a b",
        "name=" + "n" * 101,
        "C=5",
        "enabled periodic",
    ],
)
def test_a_spec_that_qsub_does_not_know_or_a_shell_could_misread_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec):
        checkpoint_spec.parse(text)


def test_only_a_job_that_asked_for_it_is_checkpointable() -> None:
    assert not checkpoint_spec.parse("u").checkpointable
    assert not checkpoint_spec.parse("depth=2").checkpointable
    for text in ("c", "c=1", "s", "enabled", "periodic", "interval=3"):
        assert checkpoint_spec.parse(text).checkpointable


_WORDS = st.sampled_from(
    ["n", "s", "c", "u", "enabled", "periodic", "depth", "dir", "name", "interval"]
)
_ITEMS = st.one_of(
    _WORDS, st.builds("{}={}".format, _WORDS, st.text(max_size=20)), st.text(max_size=20)
)


@given(st.one_of(st.text(), st.lists(_ITEMS, max_size=6).map(",".join)))
def test_whatever_the_text_it_is_a_spec_or_invalid_and_never_anything_else(text: str) -> None:
    try:
        spec = checkpoint_spec.parse(text)
    except InvalidSpec:
        return
    assert spec.text == text
    assert spec.interval_seconds is None or spec.interval_seconds > 0
    assert spec.depth is None or spec.depth > 0
    assert spec.name is None or "/" not in spec.name
    if spec.directory is not None:
        assert spec.directory.is_absolute() and ".." not in spec.directory.parts
