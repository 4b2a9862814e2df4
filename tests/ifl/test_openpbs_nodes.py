# SPDX-License-Identifier: MIT
"""Nodes of OpenPBS have what programs written for TORQUE's ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from torqueckpt.compat import openpbs_nodes
from torqueckpt.compat.query import parse
from torqueckpt.ifl.attributes import Attribute, BatchStatus
from torqueckpt.ifl.library import Library

from .test_calls import last


def node(name: str = "n1", **attributes: str) -> BatchStatus:
    """OpenPBS's reply: what has a resource is written resources_available__ncpus."""
    made = BatchStatus()
    made.name = name
    for key, value in attributes.items():
        attribute, _, resource = key.partition("__")
        made.attribs.append(Attribute(attribute, resource or None, value))
    return made


def made(status: BatchStatus, *wanted: str) -> dict[str, str | None]:
    before = len(status.attribs)
    openpbs_nodes.complete([status], [Attribute(name) for name in wanted])
    return {str(each.name): each.value for each in status.attribs[before:]}


def test_np_properties_note_gpus_and_status_are_made_of_what_openpbs_says() -> None:
    status = node(
        state="job-busy,resv-exclusive",
        resources_available__arch="linux",
        resources_available__mem="16gb",
        resources_available__ncpus="24",
        resources_available__ngpus="2",
        resources_available__fast="True",
        resources_available__big="True",
        resources_available__slow="False",
        resources_assigned__mem="4194304kb",
        comment="disk broken",
    )
    assert made(status) == {
        "np": "24",
        "properties": "fast,big",
        "gpus": "2",
        "note": "disk broken",
        "status": "arch=linux,opsys=linux,ncpus=24,physmem=16777216kb,totmem=16777216kb,"
        "availmem=12582912kb,state=job-busy",
    }
    asked = parse(status, "node")
    assert (asked.np, asked.properties, asked["status"]["ncpus"]) == (
        ["24"],
        ["fast", "big"],
        ["24"],
    )
    assert "jobs" not in asked  # its own attributes are as they were
    assert openpbs_nodes.has_property(status, "fast")
    assert not openpbs_nodes.has_property(status, "slow")


def test_what_openpbs_does_not_say_is_not_made_up() -> None:
    assert made(node(state="down")) == {"status": "state=down"}
    odd = node(resources_available__mem="much", resources_available__ncpus="")
    assert made(odd) == {}


def test_an_attribute_that_is_there_stays_and_only_what_is_asked_for_comes() -> None:
    assert made(node(note="own", comment="other", resources_available__ncpus="4"), "note") == {}
    assert made(node(resources_available__ncpus="4"), "np", "jobs") == {"np": "4"}


@pytest.mark.parametrize(
    "size, kilobytes",
    [
        ("0kb", 0),
        ("2048b", 2),
        ("1024", 1),
        ("1tb", 1 << 30),
        ("", None),
        ("x", None),
        ("1xb", None),
    ],
)
def test_sizes(size: str, kilobytes: int | None) -> None:
    available = made(node(resources_available__mem=size)).get("status") or ""
    assert (f"physmem={kilobytes}kb" in available) == (kilobytes is not None)


def test_openpbs_is_asked_for_attributes_that_it_has(
    import_pbs: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses a request with one that it does not know."""
    pbs = import_pbs("openpbs")
    asked: list[tuple[object, list[object]]] = []

    def reply(_call: str, _c: int, id: object, wanted: list[Attribute], _extend: object) -> object:
        asked.append((id, [each.name for each in wanted]))
        fast = node("n1", resources_available__ncpus="2", resources_available__fast="True")
        return [fast, node("n2", resources_available__ncpus="4")]

    monkeypatch.setitem(pbs.pbs_statnode.__globals__, "statuses_of", reply)
    wanted = pbs.new_attrl(3)
    for attribute, name in zip(wanted, ("np", "state", "note")):
        attribute.name = name
    found = pbs.pbs_statnode(1, "", wanted, "NULL")
    assert [each.attribs[-1].value for each in found] == ["2", "4"]
    assert [each.name for each in pbs.pbs_statnode(1, b":fast", "NULL", "NULL")] == ["n1"]
    assert asked == [("", ["resources_available", "state", "comment"]), ("", [])]


def test_a_note_is_set_as_the_comment(
    import_pbs: Callable[[str], ModuleType], libraries: dict[str, Path]
) -> None:
    for variant, name in (("openpbs", "comment"), ("torque6", "note")):
        pbs = import_pbs(variant)
        c = pbs.pbs_connect("fake")
        changes = pbs.new_attropl(1)
        changes[0].name, changes[0].value = pbs.ATTR_NODE_note, "disk broken"
        pbs.pbs_manager(c, pbs.MGR_CMD_SET, pbs.MGR_OBJ_NODE, "n1", changes, "NULL")
        assert f"'{name}.=disk broken:0;'" in last(Library(str(libraries[variant])))
        pbs.pbs_disconnect(c)
