# SPDX-License-Identifier: MIT
"""A node without cffi or with a pbs-config that cannot be run: one kind of error, at one place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from torqueckpt.batch import server
from torqueckpt.batch.torque import hold
from torqueckpt.doctor import batch_system
from torqueckpt.doctor.checks import Node
from torqueckpt.ifl import library
from torqueckpt.ifl.errors import LibraryNotFound
from torqueckpt.process import privileges
from torqueckpt.settings import Settings

NAMED = Settings(pbs_library=Path("/nowhere/libtorque.so"), local_home=Path("/nowhere"))


@pytest.fixture
def without_cffi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_cffi_backend", None)
    monkeypatch.delitem(sys.modules, "torqueckpt.ifl._pbs_ifl", raising=False)


def test_without_cffi_there_is_no_library(without_cffi: None) -> None:
    with pytest.raises(LibraryNotFound, match="no libtorque or libpbs: cffi is missing") as told:
        server.connect(NAMED)
    assert told.value.exit_code == 90


def test_a_pbs_config_that_cannot_be_run_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_words: object, **_options: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.delenv(library.VARIABLE, raising=False)
    monkeypatch.setattr(library.shutil, "which", lambda *_words, **_options: "/bin/true")
    monkeypatch.setattr(library.subprocess, "run", exhausted)
    with pytest.raises(LibraryNotFound, match="Resource temporarily unavailable"):
        server.connect(Settings())


def test_a_restart_that_failed_where_the_server_cannot_be_asked_ends_with_its_own_error(
    without_cffi: None,
) -> None:
    hold.keep_held("1.srv", "open sockets", NAMED)


def test_the_doctor_says_what_is_missing(without_cffi: None) -> None:
    node = Node(NAMED, None, None, privileges.owner("nobody"))
    (row,) = batch_system.server(node)
    assert (row.severity, row.what) == ("warning", "not asked: cffi is missing")


def test_records_errors_and_connect_are_imported_without_cffi_and_without_what_is_slow() -> None:
    code = "import sys, torqueckpt.ifl.records, torqueckpt.ifl.errors, torqueckpt.batch.server\n"
    code += "slow = {'_cffi_backend', 'dataclasses', 'ctypes', 'subprocess', 'torqueckpt.ifl.call'}"
    code += "\nprint(sorted(slow & set(sys.modules)))\n"
    code += "from torqueckpt.ifl import Connection, Library, open_library\n"
    code += "import torqueckpt.ifl; print(hasattr(torqueckpt.ifl, 'Misspelt'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    assert done.stdout.split() == ["[]", "False"]
