# SPDX-License-Identifier: MIT
"""pytest -p tests.faults.inputs: counts what hostile tests put in, and writes docs/reliability.md.

A test with made-up input counts once for each; any other test is one input.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis.core import StateForActualGivenExecution

from tests.faults.conftest import COMMAND
from tests.faults.report import INPUTS, Row, write
from tests.support import REPOSITORY

# Directory of tests, then module → what is put in.
HOSTILE = {
    "job": {
        "test_attacks": "attacks on the key, the door and the checkpointer",
        "test_criu_images": "real files of CRIU's, torn and edited",
        "test_hostile_images": "images: flipped in each file, swapped, links planted, others' ids",
        "test_images": "images: damaged, truncated, forged",
        "test_rights_of_an_image": "images that ask for rights",
    },
    "unit": {
        "test_checkpoint_spec": "-c options",
        "test_config_block": "mom_priv/config",
        "test_criu_images": "files of CRIU's, torn",
        "test_directives": "#PBS lines",
        "test_file_rules": "rules for files",
        "test_fuzz_calls": "argument lists, calls at the door, settings, logs of checkpointers",
        "test_fuzz_images": "files of CRIU's, edited and made up",
        "test_fuzz_records": "records, pointers, manifests, journals, intents",
        "test_grid_wrapper": "wrappers of grid jobs",
        "test_identity": "job ids and lineage names",
        "test_log": "texts for the log and a job's comment",
        "test_lsb_queues": "lsb.queues",
        "test_manifest": "manifests",
        "test_settings": "settings files",
        "test_torque_calls": "argument lists of pbs_mom's",
    },
}
_WHAT = {
    f"tests/{folder}/{module}.py": what
    for folder, modules in HOSTILE.items()
    for module, what in modules.items()
}
_tried: Counter[str] = Counter()
_failed: set[str] = set()
_once = StateForActualGivenExecution.execute_once


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    made_up = 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal made_up
        answer = _once(*arguments, **named)
        made_up += 1  # it was no input for this test where that raises
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StateForActualGivenExecution, "execute_once", counted)
        result = yield
    _tried[_file(item.path)] += made_up or 1
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.failed:
        _failed.add(_file(item.path))
    return report


def pytest_sessionfinish() -> None:
    known = [file for file in _tried if file in _WHAT and file not in _failed]
    write([Row(_WHAT[file], _tried[file], f"`{file}`", COMMAND) for file in known], INPUTS)


def _file(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


if __name__ == "__main__":
    print(*_WHAT)
