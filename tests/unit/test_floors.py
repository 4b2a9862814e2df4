# SPDX-License-Identifier: MIT
"""Imports only go down; and what a hook imports is little, for it must start fast."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import LIMIT_SECONDS
from tests.unit import floors

_PACKAGE = Path(__file__).resolve().parents[2] / "torqueckpt"
_HOOKS = tuple(sorted(path.stem for path in (_PACKAGE / "hooks").glob("[a-z]*.py")))
_SLOW = {
    *("jinja2", "click", "rich", "cffi", "psutil", "google", "ClusterShell", "prometheus_client"),
    *("zstandard", "dataclasses"),
}


def _problems(top: Path, files: dict[str, str]) -> list[str]:
    """Of a small made-up package."""
    for name, text in files.items():
        file = top / "torqueckpt" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return floors.problems(floors.imports(top / "torqueckpt"))


def test_no_import_of_the_package_climbs_or_goes_to_a_sibling() -> None:
    found = floors.imports(_PACKAGE)
    assert len(found) > 40 and sum(map(len, found.values())) > 200
    assert floors.problems(found) == []


def test_no_room_has_more_than_twenty_modules() -> None:
    table = [line.split() for line in floors.rooms(_PACKAGE)]
    assert len(table) > 20 and [row[0] for row in table[1:-1] if int(row[1]) > 20] == []


def test_each_room_says_in_a_line_what_it_is_for() -> None:
    for file in _PACKAGE.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(file.read_bytes())), file


_GOOD = {
    "__init__.py": "",
    "errors.py": "import re",
    "paths.py": "from torqueckpt.errors import Busy",
    "run.py": "from torqueckpt import errors, paths",
    "process/__init__.py": "",
    "process/proc.py": "import psutil",
    "process/tree.py": "from torqueckpt.process import proc",
    "store/store.py": "from torqueckpt.process.tree import below",
    "batch/schedule.py": "",
    "batch/local/mom.py": "import torqueckpt.batch.schedule, torqueckpt.batch.local.spool",
    "batch/local/spool.py": "from torqueckpt.store.store import Store",
    "checkpoint/checkpoint.py": "from torqueckpt.checkpoint import dumping",
    "checkpoint/dumping.py": "import torqueckpt.batch.schedule",
    "hooks/entry.py": "import torqueckpt.checkpoint.checkpoint",
}


def test_a_package_whose_imports_all_go_down_is_in_order(tmp_path: Path) -> None:
    assert _problems(tmp_path, _GOOD) == []


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        (
            "errors.py",
            "from torqueckpt.store import store",
            "torqueckpt.errors imports torqueckpt.store.store: it climbs from floor 0 to 2",
        ),
        (
            "process/proc.py",
            "def f():\n    import torqueckpt.checkpoint.checkpoint",
            "torqueckpt.process.proc imports torqueckpt.checkpoint.checkpoint: "
            "it climbs from floor 1 to 4",
        ),
        (
            "process/proc.py",
            "from ..hooks import entry",
            "torqueckpt.process.proc imports torqueckpt.hooks.entry: it climbs from floor 1 to 7",
        ),
        (
            "run.py",
            "from torqueckpt import process",
            "torqueckpt.run imports torqueckpt.process: run and process are siblings",
        ),
        (
            "files/job_script.py",
            "from torqueckpt.store.store import Store",
            "torqueckpt.files.job_script imports torqueckpt.store.store: "
            "files and store are siblings",
        ),
        (
            "cli/main.py",
            "import torqueckpt.hooks.entry",
            "torqueckpt.cli.main imports torqueckpt.hooks.entry: cli and hooks are siblings",
        ),
        (
            "batch/torque/calls.py",
            "from torqueckpt.batch.local.spool import Spool",
            "torqueckpt.batch.torque.calls imports torqueckpt.batch.local.spool: "
            "one batch system imports another",
        ),
        ("cli/main.py", "import psutil", "torqueckpt.cli.main imports psutil: only process may"),
        (
            "reports/report.py",
            "from jinja2 import Environment",
            "torqueckpt.reports.report imports jinja2: only render may",
        ),
        ("run.py", "import cffi.api", "torqueckpt.run imports cffi.api: only ifl may"),
        (
            "errors.py",
            "import torqueckpt.paths",
            "a circle: torqueckpt.errors > torqueckpt.paths > torqueckpt.errors",
        ),
        (
            "checkpoint/dumping.py",
            "from torqueckpt.checkpoint.checkpoint import checkpoint",
            "a circle: torqueckpt.checkpoint.checkpoint > torqueckpt.checkpoint.dumping > "
            "torqueckpt.checkpoint.checkpoint",
        ),
        ("helpers.py", "", "torqueckpt.helpers belongs to no floor"),
    ],
)  # fmt: skip
def test_an_import_that_climbs_is_found_and_named(
    tmp_path: Path, file: str, text: str, told: str
) -> None:
    assert _problems(tmp_path, {**_GOOD, file: text}) == [told]


@pytest.mark.parametrize("name", _HOOKS)
def test_a_hook_imports_nothing_slow(name: str) -> None:
    hook = f"torqueckpt.hooks.{name}"
    code = f"import sys; sys.path.insert(0, {str(_PACKAGE.parent)!r}); import {hook}"
    argv = [sys.executable, "-I", "-X", "importtime", "-c", code]
    ended = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=LIMIT_SECONDS)
    names = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert hook in names
    assert {name for name in names if name.partition(".")[0] in _SLOW} == set()
