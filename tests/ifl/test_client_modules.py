# SPDX-License-Identifier: MIT
"""`import pbs` for other Pythons than torqueckpt's own: what the installation puts there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from torqueckpt.ifl.library import VARIABLE

REPOSITORY = Path(__file__).resolve().parents[2]
# Not the one that has torqueckpt: a bare one, of the same version
OTHER = str(getattr(sys, "_base_executable", sys.executable))


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """As our own Python's directory of packages: torqueckpt, cffi's module, and others."""
    import _cffi_backend

    made = tmp_path / "site-packages"
    made.mkdir()
    (made / "torqueckpt").symlink_to(REPOSITORY / "torqueckpt")
    backend = Path(_cffi_backend.__file__)
    (made / backend.name).symlink_to(backend)
    (made / "click.py").touch()
    return made


@pytest.fixture
def modules(tmp_path: Path, packages: Path) -> Path:
    """The directory that the installation makes for PYTHONPATH."""
    made = tmp_path / "python"
    made.mkdir()
    for name, module in (("pbs", "pbs"), ("PBSQuery", "query")):
        argv = [str(REPOSITORY / "install/client-module"), name, module, str(packages)]
        text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        (made / f"{name}.py").write_text(text)
    return made


def run(modules: Path, library: Path | str, code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(modules), VARIABLE: str(library)}
    return subprocess.run([OTHER, "-c", code], capture_output=True, text=True, env=environment)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.splitlines()[-1] if done.stderr else ""


def test_another_python_finds_both_modules_and_nothing_else_of_ours(
    modules: Path, libraries: dict[str, Path]
) -> None:
    code = """
import sys
before = list(sys.path)
import pbs
from PBSQuery import PBSError, PBSQuery, parse
print(pbs.version.split()[0], sorted(PBSQuery("fake").getjobs(attrib_list=["job_state"])))
print(sys.path == before)
try:
    import click
except ImportError:
    print("no click")
"""
    done = run(modules, libraries["torque6"], code)
    # where that Python has click of its own, it is its own
    assert done.stdout.splitlines()[:2] == ["torqueckpt ['1.fake', '2.fake']", "True"], done.stderr
    assert "site-packages/click.py" not in done.stdout


def test_pbsquery_alone_needs_no_library(modules: Path, tmp_path: Path) -> None:
    done = run(modules, tmp_path, "from PBSQuery import PBSError, parse; print(PBSError.__name__)")
    assert done.stdout == "PBSError\n", done.stderr
    assert last_line(run(modules, tmp_path, "import pbs")).startswith("ImportError: no libtorque")


@pytest.mark.parametrize("name", ["pbs", "PBSQuery"])
def test_a_python_that_is_too_old_is_told_so(modules: Path, tmp_path: Path, name: str) -> None:
    done = run(modules, tmp_path, f"import sys; sys.version_info = (3, 6)\nimport {name}")
    assert last_line(done).startswith(
        f"ImportError: {name}: torqueckpt's needs Python 3.9 or later"
    )


def test_a_python_without_cffi_is_told_what_to_install(
    modules: Path, libraries: dict[str, Path]
) -> None:
    code = "import sys; sys.modules['_cffi_backend'] = None\nimport pbs"
    done = run(modules, libraries["torque6"], code)
    assert last_line(done).startswith("ImportError: pbs: ")
    assert "has no cffi" in last_line(done) and "python3-cffi" in last_line(done)


def test_what_is_left_when_torqueckpt_is_gone_says_so(
    modules: Path, packages: Path, tmp_path: Path
) -> None:
    (packages / "torqueckpt").unlink()
    done = run(modules, tmp_path, "import PBSQuery")
    assert last_line(done) == f"ImportError: PBSQuery: no torqueckpt is in {packages} any more"


def place(python: Path | str) -> subprocess.CompletedProcess[str]:
    argv = [str(REPOSITORY / "install/client-place"), str(python), "/usr/local"]
    return subprocess.run(argv, capture_output=True, text=True)


def test_modules_of_a_python_that_are_another_ones_are_left_alone(
    modules: Path, tmp_path: Path
) -> None:
    python = tmp_path / "venv/bin/python"
    subprocess.run([OTHER, "-m", "venv", "--without-pip", python.parents[1]], check=True)
    own = Path(place(python).stdout.strip())
    assert own.is_dir() and own.is_relative_to(python.parents[1])
    (own / "pbs.py").write_bytes((modules / "pbs.py").read_bytes())
    assert place(python).stdout == f"{own}\n", "ours, from an earlier installation"
    (own / "PBSQuery.py").write_text("class PBSQuery: pass\n")
    told = place(python)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == f"it has a module PBSQuery already, {own}/PBSQuery.py\n"
