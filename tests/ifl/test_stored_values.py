# SPDX-License-Identifier: MIT
"""PBSQuery's stored values are the original's to the letter; its crashes are not."""

from __future__ import annotations

import ast
import copy
import pickle
from typing import Any

import pytest

from torqueckpt.compat.objects import PBSAttributeError, PBSError
from torqueckpt.compat.query import PBSQuery, parse
from torqueckpt.compat.stored import pieces
from torqueckpt.ifl.attributes import Attribute, BatchStatus

from .vectors import Vector, vectors

CASES = vectors()
# What the original answered wrongly, or by accident: method results are mended.
MENDED_METHODS = {
    "NEW": set(),
    "OLD": {"get_jobs"},
}


def status(raw: list[tuple[str, Any, Any]], name: str = "it") -> BatchStatus:
    made = BatchStatus()
    made.name = name
    made.attribs = [Attribute(key, resource, value) for key, resource, value in raw]
    return made


def plain(stored: Any) -> Any:
    return (
        {key: plain(value) for key, value in stored.items()} if hasattr(stored, "items") else stored
    )


@pytest.mark.parametrize("structure", ["NEW", "OLD"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.raw)[:60])
def test_stored_values_are_those_of_the_original(case: Vector, structure: str) -> None:
    stored = parse(status(case.raw), case.kind, new=structure == "NEW")
    assert plain(stored) == case.stored[structure]
    assert list(stored) == list(case.stored[structure])


@pytest.mark.parametrize("structure", ["NEW", "OLD"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.raw)[:60])
def test_methods_answer_as_before_where_the_original_was_right(
    case: Vector, structure: str
) -> None:
    stored = parse(status(case.raw), case.kind, new=structure == "NEW")
    for method, arguments, answer in case.answers[structure]:
        got = getattr(stored, method)(*arguments)
        if answer.startswith("EXC") or method in ("is_running", "has_job"):
            continue  # a crash, or an answer that is mended: it must only not crash
        if method in MENDED_METHODS[structure]:
            new = parse(status(case.raw), case.kind)
            assert got == getattr(new, method)(*arguments)
            continue
        assert got == ast.literal_eval(answer), method


def test_there_are_cases() -> None:
    assert len(CASES) == 10


def test_a_job_runs_when_its_state_is_r_and_not_when_it_is_queued() -> None:
    for state, running in (("R", 1), ("Q", 0), ("H", 0), ("C", 0)):
        assert parse(status([("job_state", None, state)]), "job").is_running() == running
        assert parse(status([("job_state", None, state)]), "job", new=False).is_running() == running


def test_values_that_crashed_the_original_are_parsed() -> None:
    raw = [("status", None, "=,message=,a=1,EVENT:k=v:l=w,x")]
    assert plain(parse(status(raw), "node")) == {
        "status": {"a": ["1"], "x": []},
        "event": {"k": ["v"], "l": ["w"]},
    }
    assert parse(status([("jobs", None, "0/1.srv, 1/1.srv")]), "node").get_jobs() == [
        "0/1.srv",
        "1/1.srv",
    ]
    slots = parse(status([("exec_host", None, "n1/0-3,5+n2/0")]), "job")
    assert slots.get_nodes() == ["n1/0", "n1/1", "n1/2", "n1/3", "n1/5", "n2/0"]
    assert slots.get_nodes(1) == ["n1", "n2"]
    assert plain(parse(status([("np", None, None)]), "node")) == {"np": []}


def test_jobs_of_an_openpbs_node_are_read_too() -> None:
    node = parse(status([("jobs", None, "7.srv/0, 7.srv/1, 8[2].srv/0")]), "node")
    assert node.get_jobs(unique=True) == ["7.srv", "8[2].srv"]
    assert node.get_jobs() == ["0/7.srv", "1/7.srv", "0/8[2].srv"]


def test_an_error_message_and_two_events() -> None:
    error = parse(status([("status", None, "message=ERROR disk full,state=down")]), "node")
    assert plain(error) == {"error": ["ERROR disk full"], "status": {"state": ["down"]}}
    events = parse(status([("status", None, "message=EVENT:a=1,EVENT:b=2:c=3")]), "node")
    assert plain(events) == {"event": {"a": ["1"], "b": ["2"], "c": ["3"]}}


def test_resources_are_objects_of_the_same_kind() -> None:
    raw = [("Resource_List", "nodes", "1:ppn=2"), ("Resource_List", "walltime", "1:00")]
    job = parse(status(raw), "job")
    assert job["Resource_List"]["nodes"] == ["1:ppn=2"]
    assert type(job["Resource_List"]) is type(job)
    assert job.Resource_List.walltime == ["1:00"]
    assert plain(parse(status(raw), "job", new=False)) == {
        "Resource_List.nodes": "1:ppn=2",
        "Resource_List.walltime": "1:00",
    }


def test_a_missing_attribute_is_both_kinds_of_error() -> None:
    node = parse(status([("state", None, "free")], "n1"), "node")
    assert node.name == "n1"
    assert not hasattr(node, "note")
    with pytest.raises(PBSError):
        _ = node.note
    with pytest.raises(AttributeError):
        _ = node.note


def test_objects_survive_copying_and_pickling() -> None:
    raw = [("state", None, "free"), ("status", None, "message=EVENT:a=1,arch=x")]
    node = parse(status(raw, "n1"), "node")
    for again in (copy.copy(node), copy.deepcopy(node), pickle.loads(pickle.dumps(node))):
        assert again == node
        assert again.name == "n1"
        assert type(again.status) is type(node)
    failure = pickle.loads(pickle.dumps(PBSAttributeError("x")))
    assert isinstance(failure, PBSAttributeError)


def test_objects_are_dictionaries() -> None:
    node = parse(status([("state", None, "free"), ("np", None, "2")]), "node")
    assert "np" in node
    assert len(node) == 2
    assert list(node) == ["state", "np"]
    assert node.has_key("np")
    assert not node.has_key("nq")
    assert dict(node.iteritems()) == {"state": ["free"], "np": ["2"]}
    assert node.get("x", 1) == 1
    assert node.get_value("x") is None
    assert node.uniq([1, 2, 1]) == [1, 2]
    assert node


def test_pieces_of_odd_texts() -> None:
    assert pieces("", ",") == []
    assert pieces(",,a,,b,", ",") == ["a", "b"]
    assert pieces("a(b,c),d", ",") == ["a(b,c)", "d"]
    assert pieces("a(b,c)d(e,f),g", ",") == ["a(b,c)d(e,f)", "g"]
    assert pieces("(a,b)", ",") == ["a", "b)"]
    assert pieces("x(a,b", ",") == ["a", "b"]
    assert pieces("x(a,b) y", ",") == ["a", "b) y"]
    assert pieces("((", ",") == []


def test_parse_is_also_a_method_of_the_class() -> None:
    assert PBSQuery.parse(status([("np", None, "2")]), "node", True)["np"] == ["2"]
    assert PBSQuery.parse(status([("np", None, "2")]), "node", new=False)["np"] == "2"
