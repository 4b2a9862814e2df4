# SPDX-License-Identifier: MIT
"""A finding in the four forms in which commands tell one."""

from __future__ import annotations

import json

import pytest

from torqueckpt.cli import preflight as command
from torqueckpt.findings import HAZARD, OK, REFUSED, Finding, Line, Process


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (
            Finding(REFUSED, "vfork", "it waits", "checkpoint again", Process(4711, "sh")),
            "process 4711 (sh), vfork: it waits; checkpoint again",
        ),
        (
            Finding(HAZARD, "", "$x is unknown", "take it out", Line("/var/config", 3)),
            "/var/config:3: $x is unknown; take it out",
        ),
        (
            Finding(REFUSED, "", "is missing", "make it", Line("/pointers")),
            "/pointers: is missing; make it",
        ),
        (Finding(OK, "CPU", "all there"), "CPU: all there"),
    ],
)
def test_where_what_it_is_about_and_a_remedy_are_told_as_far_as_there_are_any(
    found: Finding, told: str
) -> None:
    assert str(found) == told


def test_the_fields_of_preflights_json_are_those_of_its_manual_page_in_that_order() -> None:
    found = Finding(REFUSED, "vfork", "it waits", "checkpoint again", Process(4711, "sh"))
    assert json.dumps(command._plain(found)) == (
        '{"severity": "refused", "pid": 4711, "process": "sh", "object": "vfork", '
        '"what": "it waits", "remedy": "checkpoint again"}'
    )
