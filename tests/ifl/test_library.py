# SPDX-License-Identifier: MIT
"""Where a library is looked for, and which is taken."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from torqueckpt.ifl import library as searched
from torqueckpt.ifl.errors import LibraryNotFound, NotAPbsLibrary
from torqueckpt.ifl.library import VARIABLE, candidates, open_library


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only what a test puts there can be found."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PBS_CONF_FILE", str(tmp_path / "pbs.conf"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(searched, "find_library", lambda _name: None)
    monkeypatch.setattr(searched, "_PREFIXES", (str(tmp_path / "opt"),))


def test_a_named_library_is_taken_and_no_other(
    libraries: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(libraries["torque6"]))
    assert open_library().path == str(libraries["torque6"])
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(libraries["openpbs"], folder / "libpbs.so")
    monkeypatch.setenv(VARIABLE, str(folder))
    assert open_library().is_openpbs
    monkeypatch.setenv(VARIABLE, str(tmp_path / "missing.so"))
    with pytest.raises(LibraryNotFound, match=r"missing\.so; set TORQUECKPT_PBS_LIBRARY"):
        open_library()


def test_a_named_file_that_is_no_pbs_library_is_an_error(tmp_path: Path) -> None:
    other = tmp_path / "libtorque.so"
    other.write_text("not a library")
    with pytest.raises(NotAPbsLibrary):
        open_library(str(other))


def test_pbs_config_is_asked_first_and_then_pbs_conf(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "pbs-config"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n[ $1 = --libdir ] && echo /from/pbs-config\n")
    program.chmod(0o755)
    (tmp_path / "pbs.conf").write_text("PBS_SERVER=s\nPBS_EXEC=/from/pbs.conf\n")
    folders = list(dict.fromkeys(os.path.dirname(path) for path in candidates()))
    assert folders[:2] == ["/from/pbs-config", "/from/pbs.conf/lib"]


def test_root_does_not_run_a_pbs_config_of_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "pbs-config"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho /from/pbs-config\n")
    program.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "/from/pbs-config/libtorque.so" not in list(candidates())


def test_a_look_alike_is_passed_over_and_reported(
    libraries: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searched, "find_library", {"torque": "libm.so.6"}.get)
    with pytest.raises(LibraryNotFound, match=r"libm.so.6 is not a PBS library: it lacks pbs_con"):
        open_library()
    (tmp_path / "opt" / "lib").mkdir(parents=True)
    shutil.copy(libraries["torque6"], tmp_path / "opt" / "lib" / "libtorque.so.2")
    assert open_library().path == str(tmp_path / "opt" / "lib" / "libtorque.so.2")


def test_nothing_found_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(LibraryNotFound) as failure:
        open_library()
    assert str(tmp_path / "opt" / "lib") in str(failure.value)
    assert failure.value.exit_code == 90
