# SPDX-License-Identifier: MIT
"""Every template against its golden file; sh, shellcheck and systemd read what is for them.

`UPDATE_GOLDEN=1 pytest …` writes the golden files anew: look at what git diff says then.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from torqueckpt import paths
from torqueckpt.errors import ConfigNotWritten
from torqueckpt.settings import Settings
from torqueckpt.site import generate, mom, openpbs_hook
from torqueckpt.site.generate import File, Node, Site

_TOP = Path(__file__).resolve().parents[2]
_GOLDEN = Path(__file__).parent / "golden"
_SETTINGS = Settings()
_ALTIX = Settings(modules_dir=Path("/usr/local/lib/altix modules"))
_SITE = Site(
    nodes=[Node("n1", 16), Node("n2", 8)], queue="long", prefix=Path("/usr/local"), selinux=True
)
_SERVICES = ("pbs_mom", "trqauthd", "pbs_sched", "pbs_server")


def _files(
    system: str, settings: Settings, mom_priv: Path, services: tuple[str, ...]
) -> list[File]:
    plan = mom.plan(system, mom_priv, {"pbsserver": ["head"]}, settings)
    plan = replace(plan, mom_priv=Path(f"/var/spool/{system}/mom_priv"))
    plan = replace(plan, file=plan.mom_priv / "config")
    return generate.files(plan, _SITE._replace(services=services), settings)


@pytest.fixture
def everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, File]]:
    """All files of all flavours of both systems, by the name of their golden file."""
    monkeypatch.setattr(paths, "program", lambda place, name: Path("/usr/local") / place / name)
    monkeypatch.setattr(paths, "settings_file", lambda: Path("/nowhere/torqueckpt.toml"))
    (tmp_path / "mom_priv").mkdir()
    (tmp_path / "mom_priv" / "config").write_bytes(b"$logevent 255\n")
    sets = {
        "torque": _files("torque", _SETTINGS, tmp_path / "mom_priv", _SERVICES),
        "torque-altix": _files("torque", _ALTIX, tmp_path / "mom_priv", ("pbs_mom",)),
        "openpbs": _files("openpbs", _SETTINGS, tmp_path / "mom_priv", ()),
        "services": generate.services(_SETTINGS),
        "services-altix": generate.services(_ALTIX),
    }
    yield {f"{name}/{file.path}": file for name, files in sets.items() for file in files}


def _is_shell(file: File) -> bool:
    return file.text.startswith(b"#!/bin/sh\n")


def test_each_file_is_as_it_was_agreed_on(everything: dict[str, File]) -> None:
    for name, file in everything.items():
        golden = _GOLDEN / "configure" / name
        if os.environ.get("UPDATE_GOLDEN"):
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_bytes(file.text)
        assert file.text == golden.read_bytes(), name
    there = {str(p.relative_to(_GOLDEN / "configure")) for p in _GOLDEN.rglob("configure/**/*")}
    assert {name for name in there if not (_GOLDEN / "configure" / name).is_dir()} == set(
        everything
    )


def test_no_template_is_without_a_golden_file(
    everything: dict[str, File], monkeypatch: pytest.MonkeyPatch
) -> None:
    # These have tests of their own.
    scripts = {f"torque/{name}.sh.j2" for name in ("resume_job", "resume_array", "link")}
    used = {*scripts, "report/report.html.j2"}
    for room in (generate, openpbs_hook):
        monkeypatch.setattr(room, "render", lambda name, values: used.add(name) or "")
    for settings in (_SETTINGS, _ALTIX):
        generate.services(settings)
        for system in ("torque", "openpbs"):
            mom_priv = _TOP / "tests"  # no config in it
            generate.files(mom.plan(system, mom_priv, {}, settings), _SITE, settings)
    templates = {str(p.relative_to(_TOP / "templates")) for p in _TOP.glob("templates/*/*")}
    assert used == {name for name in templates if name.split("/")[0] != "lsf"}


def test_shells_can_read_what_they_are_to_run(everything: dict[str, File], tmp_path: Path) -> None:
    shellcheck = shutil.which("shellcheck") or str(_TOP / ".venv" / "bin" / "shellcheck")
    scripts = {name: file for name, file in everything.items() if _is_shell(file)}
    assert len(scripts) == 6
    for number, (name, file) in enumerate(scripts.items()):
        script = tmp_path / f"{number}.sh"
        script.write_bytes(file.text)
        subprocess.run(["/bin/sh", "-n", script], check=True)
        if os.access(shellcheck, os.X_OK):
            told = subprocess.run([shellcheck, script], capture_output=True, text=True)
            assert told.returncode == 0, f"{name}: {told.stdout}"


def test_systemd_can_read_the_units(everything: dict[str, File], tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze here")
    units = {name: file for name, file in everything.items() if name.endswith(".service")}
    assert len(units) == 12
    for name, file in units.items():
        unit = tmp_path / name.rpartition("/")[2]
        unit.write_bytes(file.text.replace(b"/usr/local/bin/torqueckpt", b"/bin/true"))
        told = subprocess.run([program, "verify", "--man=no", unit], capture_output=True, text=True)
        assert (told.returncode, told.stderr) == (0, ""), name


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("torque/init.d/torque", 0o544),
        ("torque/mom_priv/torqueckpt-prologue", 0o500),
        ("torque/torqueckpt.qmgr", 0o644),
        ("services/torqueckpt", 0o755),
    ],
)
def test_modes_are_those_that_the_readers_ask_for(
    everything: dict[str, File], tmp_path: Path, path: str, mode: int
) -> None:
    (written,) = generate.write(tmp_path / "out", [everything[path]])
    assert written.stat().st_mode & 0o7777 == mode
    (again,) = generate.write(tmp_path / "out", [everything[path]])
    assert again == written and written.read_bytes() == everything[path].text


def test_a_directory_that_cannot_be_made(everything: dict[str, File], tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(ConfigNotWritten):
        generate.write(tmp_path / "out", everything.values())


def test_selinux_is_spoken_of_only_where_it_is(everything: dict[str, File]) -> None:
    assert b"restorecon -R /var/spool/checkpoint " in everything["torque/README"].text
    bare = _SITE._replace(selinux=False)
    plan = mom.plan("torque", _TOP / "tests", {}, _SETTINGS)
    assert b"restorecon" not in generate.files(plan, bare, _SETTINGS)[-1].text


def test_a_node_without_a_server_starts_what_is_installed_there(tmp_path: Path) -> None:
    (tmp_path / "sbin").mkdir()
    for name in ("pbs_mom", "trqauthd", "momctl"):
        (tmp_path / "sbin" / name).touch()
    plan = mom.plan("torque", _TOP / "tests", {}, _SETTINGS)
    files = generate.files(plan, _SITE._replace(prefix=tmp_path), _SETTINGS)
    script = next(file.text for file in files if file.path == "init.d/torque")
    assert (
        b"start_order='trqauthd pbs_mom'" in script and b"stop_order='pbs_mom trqauthd'" in script
    )
