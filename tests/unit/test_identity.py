# SPDX-License-Identifier: MIT
"""Job ids and lineage names come from outside and become paths: only plain ones are let in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torqueckpt.errors import InvalidJobId
from torqueckpt.identity import is_lineage_name, job_id, lineage_name

_GOOD = [
    "12",
    "12.srv",
    "12[3].srv",
    "12[].srv",
    "12[3]",
    "12-3.srv",
    "999999999999.node-1.example.org",
    "0.a",
    "7.srv_2",
]
_BAD = [
    "",
    ".",
    "..",
    "-",
    "srv",
    ".srv",
    "-1.srv",
    "12.",
    "12..srv",
    "12.srv..x",
    "12.srv/x",
    "12.srv/../../etc",
    "../12.srv",
    "/12.srv",
    "12.-srv",
    "12.*",
    "12[*].srv",
    "12[3",
    "12]3[.srv",
    "12.srv\n",
    "\n12.srv",
    "12\n.srv",
    "12.srv\0",
    "12 .srv",
    "12.srv;id",
    "12.$(id)",
    "12.`id`",
    "12@1",
    "١٢.srv",
    "12.sérv",
    "1" * 13,
    "12." + "s" * 122,
    "12." + "s" * 100_000,
]


@pytest.mark.parametrize("text", _GOOD)
def test_a_job_id_of_any_of_the_batch_systems_is_given_back_as_it_is(text: str) -> None:
    assert job_id(text) == text


@pytest.mark.parametrize("text", _BAD)
def test_anything_that_could_be_more_than_a_job_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidJobId):
        job_id(text)


@given(st.text())
def test_whatever_passes_as_a_job_id_is_a_plain_file_name(text: str) -> None:
    try:
        passed = job_id(text)
    except InvalidJobId:
        return
    assert passed == text and "/" not in text and "\0" not in text and ".." not in text
    assert text.isascii() and text.isprintable() and text[0].isdigit() and len(text) < 200


@pytest.mark.parametrize("job", _GOOD)
def test_a_lineage_is_named_after_its_first_job_and_its_start(job: str) -> None:
    name = lineage_name(job, 1700000000)
    assert name == f"{job}@1700000000"
    assert is_lineage_name(name)


@pytest.mark.parametrize("job", _BAD)
def test_no_lineage_is_named_after_something_that_is_no_job_id(job: str) -> None:
    with pytest.raises(InvalidJobId):
        lineage_name(job, 1700000000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12.srv",
        "12.srv@",
        "@1700000000",
        "12.srv@-1",
        "12.srv@1x",
        "12.srv@1\n",
        "12.srv@1/..",
        "../12.srv@1",
        "12..srv@1",
        "12.srv@1@2",
        "12.srv@١",
        "12.srv@" + "1" * 13,
        "ids",
        "lock",
    ],
)
def test_a_name_that_is_not_exactly_a_lineage_is_none(text: str) -> None:
    assert not is_lineage_name(text)


def test_the_same_job_id_after_a_reset_of_the_server_is_another_lineage() -> None:
    assert lineage_name("12.srv", 1700000000) != lineage_name("12.srv", 1700000001)
