# SPDX-License-Identifier: MIT
"""A node's config file: planned, compared, put in place, and its MOM told."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import LIMIT_SECONDS
from torqueckpt import paths
from torqueckpt.batch import config_block
from torqueckpt.errors import (
    BadArguments,
    ConfigBlockDamaged,
    ConfigNotRight,
    ConfigNotWritten,
    MomPrivMissing,
)
from torqueckpt.settings import Settings
from torqueckpt.site import config_file
from torqueckpt.site import mom as mom_site
from torqueckpt.site.mom import Chosen, Plan

_ADMINS = b"$pbsserver\thead\r\n# M\xfcnchen\n$loglevel 3"


class Node:
    """A node of its own: our programs, a pointer directory and a mom_priv."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.mom_priv = top / "spool" / "mom_priv"
        self.config = self.mom_priv / "config"
        self.settings = Settings(pointer_dir=top / "pointers")
        self.mom_priv.mkdir(parents=True)
        self.settings.pointer_dir.mkdir()
        (top / "sbin").mkdir()
        for name in ("mom-checkpoint", "mom-restart", "mom-run"):
            (top / "sbin" / name).touch()
            (top / "sbin" / name).chmod(0o755)

    def plan(self, chosen: Chosen | None = None, *, remove: bool = False) -> Plan:
        return self.of("torque", chosen, remove=remove)

    def of(self, system: str, chosen: Chosen | None = None, *, remove: bool = False) -> Plan:
        return mom_site.plan(system, self.mom_priv, chosen or {}, self.settings, remove=remove)

    def put(self, chosen: Chosen | None = None) -> Path | None:
        return config_file.put(self.plan(chosen))

    def told(self, chosen: Chosen | None = None) -> list[str]:
        return [str(problem) for problem in mom_site.check(self.plan(chosen))]

    def lines(self) -> list[str]:
        return config_block.block_lines(self.config.read_bytes(), "config")


@pytest.fixture
def node(root: None, place: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(paths, "program", lambda where, name: place / where / name)
    return Node(place)


def test_an_empty_node_is_configured_and_then_there_is_nothing_to_do(node: Node) -> None:
    assert "torqueckpt's lines are not there" in node.told()[0]
    assert node.put() is None and node.told() == [] and not node.plan().changes
    assert node.lines() == [
        f"$checkpoint_script {node.top}/sbin/mom-checkpoint",
        f"$restart_script {node.top}/sbin/mom-restart",
        f"$checkpoint_run_exe {node.top}/sbin/mom-run",
        "$checkpoint_interval 10",
        f"$remote_checkpoint_dirs {node.top}/pointers",
    ]
    assert node.config.stat().st_mode & 0o777 == 0o644


def test_the_administrators_file_is_kept_beside_with_its_mode_and_owner(node: Node) -> None:
    node.config.write_bytes(_ADMINS)
    os.chown(node.config, 0, 1)
    node.config.chmod(0o640)
    kept = node.put()
    assert kept is not None and kept.read_bytes() == _ADMINS
    assert node.config.read_bytes().startswith(_ADMINS + b"\n# BEGIN torqueckpt")
    for file in (node.config, kept):
        status = file.stat()
        assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o640, 0, 1)
    assert sorted(each.name for each in node.mom_priv.iterdir()) == ["config", kept.name]
    again = node.put({"loglevel": ["7"]}) if node.plan().changes else None
    assert again is None


def test_two_old_files_of_one_second_are_both_kept(node: Node) -> None:
    node.config.write_bytes(b"$pbsserver head\n")
    kept = [node.put({"logevent": [mask]}) for mask in ("255", "127", "63")]
    assert len(set(kept)) == 3 and len(list(node.mom_priv.iterdir())) == 4


def test_a_file_that_is_a_link_stays_one(node: Node) -> None:
    real = node.top / "config.of.node"
    real.write_bytes(b"$pbsserver head\n")
    node.config.symlink_to(real)
    node.put()
    assert node.config.is_symlink() and b"BEGIN torqueckpt" in real.read_bytes()


def test_options_stay_until_others_are_given(node: Node) -> None:
    node.put({"pbsserver": ["a", "b"], "usecp": ["*:/home /home"], "loglevel": ["2"]})
    assert node.lines()[5:] == [
        "$pbsserver a",
        "$pbsserver b",
        "$usecp *:/home /home",
        "$loglevel 2",
    ]
    assert node.told() == [] and not node.plan().changes
    node.put({"pbsserver": [""], "loglevel": ["5"]})
    assert node.lines()[5:] == ["$usecp *:/home /home", "$loglevel 5"]


@pytest.mark.parametrize("value", ["a\nb", "a # b", "x" * 200, "\x07"])
def test_a_value_that_no_line_can_hold(node: Node, value: str) -> None:
    with pytest.raises(BadArguments, match="cannot hold"):
        node.plan({"pbsserver": [value]})


def test_openpbs_has_clienthost_and_no_loglevel(node: Node) -> None:
    config_file.put(node.of("openpbs", {"pbsserver": ["head"]}))
    checkpoint = f"!{node.top}/sbin/mom-checkpoint openpbs %sid %jobid %login %taskid %path"
    assert node.lines() == [
        f"$action checkpoint 780 {checkpoint} 0",
        f"$action checkpoint_abort 780 {checkpoint} 15",
        f"$action restart 0 !{node.top}/sbin/mom-restart openpbs %sid %jobid %login %taskid %path"
        " requeue",
        "$restart_background true",
        "$restart_transmogrify false",
        f"$checkpoint_path {node.top}/pointers",
        "$clienthost head",
    ]
    with pytest.raises(BadArguments, match="OpenPBS has no"):
        node.of("openpbs", {"loglevel": ["7"]})


def test_a_contradiction_stops_and_nothing_is_written(node: Node) -> None:
    node.config.write_bytes(b"$loglevel 1\n$checkpoint_run_exe /usr/bin/cr_run\n")
    with pytest.raises(ConfigNotRight, match="1 serious problem"):
        node.put()
    assert [each.name for each in node.mom_priv.iterdir()] == ["config"]
    assert any(
        ":2: $checkpoint_run_exe /usr/bin/cr_run contradicts" in line for line in node.told()
    )


def test_what_does_not_hurt_is_told_and_the_file_written(node: Node) -> None:
    node.config.write_bytes(b"$loglevle 1\n")
    node.put()
    (told,) = node.told()
    assert told.startswith(f"{node.config}:1: $loglevle is unknown")


def test_a_line_behind_the_block_is_told_with_its_number_of_now(node: Node) -> None:
    node.put()
    with node.config.open("ab") as file:
        file.write(b"$loglevle 1\n")
    number = node.config.read_bytes().count(b"\n")
    told = node.told({"loglevel": ["3"], "logevent": ["255"]})
    assert told[0].startswith(f"{node.config}:1: torqueckpt's lines are not up to date")
    assert told[1].startswith(f"{node.config}:{number}: $loglevle")


def test_a_program_that_is_missing_stops(node: Node) -> None:
    (node.top / "sbin" / "mom-run").unlink()
    with pytest.raises(ConfigNotRight):
        node.put()
    assert not node.config.exists()


def test_pointers_that_users_could_put_links_into_stop(node: Node) -> None:
    node.settings.pointer_dir.chmod(0o1777)
    with pytest.raises(ConfigNotRight):
        node.put()
    node.settings.pointer_dir.rmdir()
    assert any("pointer_dir: No such file" in line for line in node.told())


def test_a_file_that_the_mom_will_not_read(node: Node) -> None:
    node.put()
    node.config.chmod(0o664)
    assert any("pbs_mom does not read" in line for line in node.told())


def test_a_line_that_takes_something_from_checkpoints_is_told_with_its_number(node: Node) -> None:
    starter = node.top / "starter"
    starter.write_text('#!/bin/sh\nexec "$@"\n')
    node.config.write_text(f"$loglevel 3\n$job_starter {starter}\n")
    node.put()
    (told,) = node.told()
    line = next(n for n, li in enumerate(node.config.read_text().split("\n"), 1) if "job_st" in li)
    assert told.startswith(f"{node.config}:{line}: $job_starter {starter}: jobs start by it")


@pytest.mark.parametrize("name", ["prologue", "torqueckpt-prologue"])
def test_a_prologue_check_of_earlier_versions_is_told(node: Node, name: str) -> None:
    node.put()
    check = node.mom_priv / name
    check.write_text('#!/bin/sh\nnote "qstat does not tell, so they were not checked"\n')
    (told,) = node.told()
    assert told.startswith(f"{check}: an earlier check, which lets jobs through")
    present = Path(__file__).parents[2] / "templates/torque/prologue_check.sh.j2"
    check.write_bytes(present.read_bytes())
    assert node.told() == []


def test_a_damaged_block_is_not_touched(node: Node) -> None:
    node.config.write_bytes(b"# BEGIN torqueckpt\n$loglevel 1\n")
    for remove in (False, True):
        with pytest.raises(ConfigBlockDamaged):
            node.plan(remove=remove)


def test_the_block_goes_out_again(node: Node) -> None:
    node.config.write_bytes(_ADMINS)
    node.put()
    (node.top / "sbin" / "mom-run").unlink()  # uninstalled meanwhile
    config_file.put(node.plan(remove=True))
    assert node.config.read_bytes() == _ADMINS


def test_a_file_that_was_changed_since_it_was_read_is_left_alone(node: Node) -> None:
    node.config.write_bytes(_ADMINS)
    late = node.plan()
    node.config.write_bytes(b"$pbsserver other\n")
    with pytest.raises(ConfigNotWritten, match="just been changed"):
        config_file.put(late)
    node.config.unlink()
    with pytest.raises(ConfigNotWritten):
        config_file.put(late)
    assert list(node.mom_priv.iterdir()) == []


def test_a_full_disk_leaves_the_old_file(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.config.write_bytes(_ADMINS)
    late = node.plan()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigNotWritten, match="No space left"):
        config_file.put(late)
    assert node.config.read_bytes() == _ADMINS


def test_a_mom_priv_that_is_not_there(node: Node) -> None:
    with pytest.raises(MomPrivMissing, match="no such directory"):
        mom_site.plan("torque", node.top / "none", {}, node.settings)
    with pytest.raises(MomPrivMissing, match="not a directory"):
        mom_site.plan("torque", node.top / "sbin" / "mom-run", {}, node.settings)


def test_a_mom_that_runs_elsewhere_is_told_where_none_was_found(
    node: Node, root: None, started: Callable[..., object]
) -> None:
    program, home = node.top / "pbs_mom", node.top / "opt" / "mom_priv"
    shutil.copy("/bin/sleep", program)
    home.mkdir(parents=True)
    started(str(program), "60", cwd=home)
    with pytest.raises(MomPrivMissing, match="directory, and a pbs_mom runs in /.*/mom_priv"):
        mom_site.plan("torque", node.top / "none", {}, node.settings)


def test_the_difference_shows_bytes_that_are_no_text(node: Node) -> None:
    node.config.write_bytes(_ADMINS)
    shown = config_file.diff(node.plan())
    assert "+# BEGIN torqueckpt" in shown and "M\\xfcnchen" in shown
    node.put()
    assert config_file.diff(node.plan()) == ""


# The MOM that is told -----------------------------------------------------------------------------

_MOM = 'printf %s "$$" >mom.lock; printf pbs_mom >/proc/$$/comm; trap "exit 42" HUP; {}'
_WAITS = "touch ready; while :; do sleep 0.05; done"


def _mom(node: Node, started: Callable[..., subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """A process that a MOM's lock file names, with a MOM's name, in its mom_priv."""
    made = started("/bin/sh", "-c", _MOM.format(_WAITS), cwd=node.mom_priv)
    while not (node.mom_priv / "ready").exists():
        assert made.poll() is None
    return made


def test_the_mom_of_this_mom_priv_is_told(
    node: Node, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    mom = _mom(node, started)
    lock = node.mom_priv / "mom.lock"
    lock.write_bytes(lock.read_bytes() + b"\n\0")  # as pbs_mom of 6.1 writes it
    assert mom_site.tell_mom(node.plan()) == mom.pid
    assert mom.wait(LIMIT_SECONDS) == 42


def test_the_mom_of_another_mom_priv_is_not_told(
    node: Node, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    mom = _mom(node, started)
    other = node.top / "other"
    other.mkdir()
    (other / "mom.lock").write_text(str(mom.pid))
    assert mom_site.tell_mom(mom_site.plan("torque", other, {}, node.settings)) is None
    assert mom.poll() is None


@pytest.mark.parametrize("text", ["", "nonsense", "0", "99999999999", "4194000"])
def test_a_lock_file_without_a_mom(node: Node, text: str) -> None:
    assert mom_site.tell_mom(node.plan()) is None
    (node.mom_priv / "mom.lock").write_text(text)
    assert mom_site.tell_mom(node.plan()) is None


def test_a_process_that_took_a_moms_pid_is_not_signalled(
    node: Node, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    other = started("/bin/sleep", "30", cwd=node.mom_priv)
    (node.mom_priv / "mom.lock").write_text(str(other.pid))
    assert mom_site.tell_mom(node.plan()) is None
    assert other.poll() is None
