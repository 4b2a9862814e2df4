# SPDX-License-Identifier: MIT
"""The launch hook: put in place where the server is, looked for everywhere, and what it does."""

from __future__ import annotations

import os
import types
from pathlib import Path

import pytest

from torqueckpt.batch.openpbs import launch_hook
from torqueckpt.settings import Settings
from torqueckpt.site import openpbs_hook

_NO_LIBRARY = Settings(pbs_library=Path("/nowhere/libpbs.so"))
# It keeps what it was asked, and plays the server, which sends the hook to its MOM.
_QMGR = """#!/bin/sh
echo "$2" >>{asked}
case $2 in import*) mkdir -p {hooks}; cat "${{2##* }}" >{hooks}/torqueckpt.PY ;; esac
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A PBS_HOME with server and MOM, and a PBS_EXEC in it."""
    for name in ("server_priv/hooks", "mom_priv", "bin"):
        (tmp_path / name).mkdir(parents=True)
    qmgr = tmp_path / "bin" / "qmgr"
    hooks = tmp_path / "mom_priv" / "hooks"
    qmgr.write_text(_QMGR.format(asked=tmp_path / "asked", hooks=hooks))
    qmgr.chmod(0o755)
    return tmp_path


def _put(home: Path, server: str) -> list[str]:
    conf = {"PBS_EXEC": str(home), "PBS_SERVER": server}
    return list(openpbs_hook.put(home / "mom_priv", conf, _NO_LIBRARY))


def test_on_the_servers_host_it_is_put_in_place_once(home: Path) -> None:
    here = os.uname().nodename
    (missing,) = openpbs_hook.check(home / "mom_priv", _NO_LIBRARY)
    assert "the launch hook is not there" in missing.what
    assert _put(home, here) == ["the launch hook is in place at the server"]
    asked = (home / "asked").read_text().splitlines()
    assert [line.split()[0] for line in asked] == ["create", "set", "set", "import"]
    assert openpbs_hook.check(home / "mom_priv", _NO_LIBRARY) == []
    assert _put(home, here) == []
    launch_hook.place(home / "mom_priv").write_text("# of an earlier version\n")
    (stale,) = openpbs_hook.check(home / "mom_priv", _NO_LIBRARY)
    assert stale.what == "the launch hook is not up to date"


def test_on_another_host_nothing_is_asked_for(home: Path) -> None:
    assert _put(home, "head") == []
    assert not (home / "asked").exists()


def test_what_qmgr_refuses_is_told(home: Path) -> None:
    (home / "bin/qmgr").write_text("#!/bin/sh\necho qmgr: Unauthorized Request >&2\nexit 1\n")
    assert _put(home, os.uname().nodename) == ["qmgr: qmgr: Unauthorized Request"]


class Rejected(Exception):
    pass


class _Event:
    """Plays pbs.event()."""

    def __init__(self) -> None:
        self.job = types.SimpleNamespace(id="12.srv", euser="ann", rerun=lambda: None)
        self.env = {"PBS_TASKNUM": "1"}
        self.progname = "/bin/bash"
        self.accepted = False

    def accept(self) -> None:
        self.accepted = True

    def reject(self, text: str) -> None:
        raise Rejected(text)


def _run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> _Event:
    """Run the hook with a torqueckpt that ends so."""
    program = tmp_path / "torqueckpt"
    program.write_text(f"#!/bin/sh\nexit {status}\n")
    program.chmod(0o755)
    monkeypatch.setattr(openpbs_hook.paths, "program", lambda place, name: program)
    settings = Settings(store=tmp_path)
    event = _Event()
    pbs = types.SimpleNamespace(event=lambda: event, LOG_WARNING=4, logmsg=lambda *words: None)
    monkeypatch.setitem(__import__("sys").modules, "pbs", pbs)
    exec(compile(openpbs_hook.text(settings), "hook", "exec"), {})
    return event


def _with_images(tmp_path: Path) -> None:
    ids = tmp_path / "jobs" / "ann" / "ids"
    ids.mkdir(parents=True)
    (ids / "12.srv").symlink_to("12.srv@1")


def test_a_job_that_waits_for_its_image_goes_on_from_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_images(tmp_path)
    event = _run(tmp_path, monkeypatch, 0)
    assert event.accepted and event.progname == "/bin/sh"


@pytest.mark.parametrize(("images", "status"), [(True, 82), (False, 0)])
def test_another_job_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: bool, status: int
) -> None:
    if images:
        _with_images(tmp_path)
    event = _run(tmp_path, monkeypatch, status)
    assert event.accepted and event.progname == "/bin/bash"


def test_a_job_of_which_it_cannot_be_told_is_queued_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_images(tmp_path)
    with pytest.raises(Rejected):
        _run(tmp_path, monkeypatch, 78)
