# SPDX-License-Identifier: MIT
"""Give OpenPBS's nodes the attributes that programs expect of TORQUE's: np, properties, status…

They are made of what OpenPBS says of a node, and only where it says it; its own stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torqueckpt.ifl.attributes import Attribute, BatchStatus

# What each is made of
_SOURCES = {
    "np": ("resources_available",),
    "properties": ("resources_available",),
    "gpus": ("resources_available",),
    "note": ("comment",),
    "status": ("resources_available", "resources_assigned", "state"),
}
_BYTES = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40, "pb": 1 << 50}


def understood(wanted: Iterable[Attribute]) -> list[Attribute]:
    """What to ask OpenPBS for when these are wanted; nothing is everything."""
    names = [name for each in wanted for name in _SOURCES.get(str(each.name), (each.name,))]
    return [Attribute(name) for name in dict.fromkeys(names)]


def settable(attributes: Iterable[Attribute]) -> list[Attribute]:
    """What to set of a node of OpenPBS's when these are to be set."""
    return [
        Attribute("comment", "", each.value, each.op) if each.name in ("note", b"note") else each
        for each in attributes
    ]


def complete(nodes: Iterable[BatchStatus], wanted: Sequence[Attribute]) -> None:
    """Add to each node what it lacks of these; of all that can be made where none is named."""
    names = {str(each.name) for each in wanted} or _SOURCES.keys()
    for node in nodes:
        there = {str(each.name) for each in node.attribs}
        for name, value in _made(node).items():
            if value and name in names and name not in there:
                node.attribs.append(Attribute(name, None, value))


def has_property(node: BatchStatus, name: str) -> bool:
    return name in _made(node)["properties"].split(",")


def _made(node: BatchStatus) -> dict[str, str]:
    said = {
        (str(each.name), str(each.resource or "")): str(each.value or "") for each in node.attribs
    }
    available = {
        resource: value for (name, resource), value in said.items() if name == "resources_available"
    }
    # What `-l nodes=1:fast` asks for is a resource that is true there.
    properties = [resource for resource, value in available.items() if value == "True"]
    memory = _kilobytes(available.get("mem", ""))
    taken = _kilobytes(said.get(("resources_assigned", "mem"), "")) or 0
    status = {
        "arch": available.get("arch", ""),
        "opsys": available.get("arch", ""),
        "ncpus": available.get("ncpus", ""),
        "physmem": "" if memory is None else f"{memory}kb",
        "totmem": "" if memory is None else f"{memory}kb",
        "availmem": "" if memory is None else f"{max(memory - taken, 0)}kb",
        "state": said.get(("state", ""), "").partition(",")[0],
    }
    return {
        "np": available.get("ncpus", ""),
        "properties": ",".join(properties),
        "gpus": available.get("ngpus", ""),
        "note": said.get(("comment", ""), ""),
        "status": ",".join(f"{key}={value}" for key, value in status.items() if value),
    }


def _kilobytes(size: str) -> int | None:
    """Convert OpenPBS's sizes, 16gb or 16777216kb; None for what is none."""
    number, unit = size.rstrip("abcdefghijklmnopqrstuvwxyz"), size.lstrip("0123456789")
    if not number.isdecimal() or len(number) > 18 or unit not in ("", *_BYTES):
        return None
    return int(number) * _BYTES.get(unit, 1) >> 10
