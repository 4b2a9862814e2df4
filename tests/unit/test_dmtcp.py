# SPDX-License-Identifier: MIT
"""What DMTCP leaves on the disk, and what of a tree it cannot bring back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from torqueckpt.checkpointers.base import Checkpointer, Dump, Restore
from torqueckpt.checkpointers.registry import load
from torqueckpt.process import proc, resources, tree
from torqueckpt.settings import Settings

_A, _B = "ckpt_sh_98ff-40000-14a0.dmtcp", "ckpt_sleep_98ff-41000-14b0.dmtcp"


@pytest.fixture
def dmtcp(tmp_path: Path) -> Checkpointer:
    return load("dmtcp", Settings(dmtcp_dir=tmp_path))


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the environment that a launch gives."""
    place = tmp_path / "launched"
    place.mkdir(mode=0o700)
    (place / "port").write_text("43407")
    environment = {"DMTCP_CHECKPOINT_DIR": str(place / "images")}
    with subprocess.Popen(["/bin/sleep", "60"], env=environment, cwd=tmp_path) as process:
        yield process
        process.kill()


def dump_of(pid: int, tmp_path: Path) -> Dump:
    generation = tmp_path / "lineage" / "1.partial"
    (generation / "image").mkdir(parents=True)
    (generation / "work").mkdir()
    return Dump(pid, generation / "image", generation / "work", False, False)


def test_a_launch_leads_to_the_lineage_from_the_first_dump_on(
    dmtcp: Checkpointer, launched: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    dump = dump_of(launched.pid, tmp_path)
    for _ in range(2):
        dmtcp.before_dump(dump)
        assert dmtcp.dump_argv(dump)[1:] == ["--coord-port", "43407", "--bcheckpoint"]
    place = tmp_path / "lineage" / "dmtcp"
    assert os.readlink(tmp_path / "launched" / "images") == str(place)


def test_a_launchs_directory_that_is_somebody_elses_by_now_is_not_used(
    dmtcp: Checkpointer, launched: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (tmp_path / "launched").chmod(0o777)
    with pytest.raises(PermissionError):
        dmtcp.before_dump(dump_of(launched.pid, tmp_path))


def test_only_images_of_a_dump_that_came_to_its_end_are_taken(
    dmtcp: Checkpointer, launched: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    dump = dump_of(launched.pid, tmp_path)
    place = tmp_path / "lineage" / "dmtcp"
    place.mkdir()
    (place / "ckpt_old_98ff-39000-1.dmtcp").touch()
    dmtcp.before_dump(dump)
    for name in (_A, f"{_B}.temp"):
        (place / name).touch()
    dmtcp.after_dump(dump)
    assert dmtcp.incomplete(dump) == "dmtcp_command left no image"
    assert sorted(os.listdir(place)) == ["port"]
    for name in (_A, _B):
        (place / name).touch()
    script = place / "dmtcp_restart_script_98ff.sh"
    script.write_text(f'given="{place}/{_A} \\\n  {place}/{_B}"\n')
    (place / "dmtcp_restart_script.sh").symlink_to(script.name)
    (place / _A.replace(".dmtcp", "_files")).mkdir()
    (place / _A.replace(".dmtcp", "_files") / "removed_1").write_text("data")
    dmtcp.after_dump(dump)
    beside = _A.replace(".dmtcp", "_files%removed_1")
    assert sorted(os.listdir(dump.image_dir)) == sorted([_A, _B, beside])
    assert dmtcp.incomplete(dump) == ""
    dmtcp.before_restore(Restore(dump.image_dir, dump.work_dir, False, ()))
    assert (place / _A.replace(".dmtcp", "_files") / "removed_1").read_text() == "data"


def test_a_fifo_in_a_files_place_holds_nobody_up(
    dmtcp: Checkpointer, launched: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (tmp_path / "launched" / "port").unlink()
    os.mkfifo(tmp_path / "launched" / "port")
    with pytest.raises(OSError, match="not a regular file"):
        dmtcp.before_dump(dump_of(launched.pid, tmp_path))


def test_the_tree_stands_still_while_no_image_has_got_its_name(
    dmtcp: Checkpointer, launched: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    dump = dump_of(launched.pid, tmp_path)
    dmtcp.before_dump(dump)
    place = tmp_path / "lineage" / "dmtcp"
    assert not dmtcp.stands_still(dump)
    for name in (_A, _B):
        (place / f"{name}.temp").touch()
    assert dmtcp.stands_still(dump)
    (place / f"{_A}.temp").rename(place / _A)
    assert not dmtcp.stands_still(dump)


def test_a_restart_is_settled_when_its_own_coordinator_says_so(
    dmtcp: Checkpointer, tmp_path: Path
) -> None:
    image = dump_of(1, tmp_path).image_dir
    restore = Restore(image, image, False, ())
    (tmp_path / "lineage" / "dmtcp").mkdir()
    port = tmp_path / "lineage" / "dmtcp" / "port"
    port.write_text("1234")
    dmtcp.before_restore(restore)
    assert not dmtcp.settled(restore, lambda _: "RUNNING=yes")  # of an earlier one's
    port.write_text("")
    assert not dmtcp.settled(restore, lambda _: "RUNNING=yes")
    port.write_text("4321")
    assert dmtcp.settled(restore, lambda argv: f"{argv} NUM_PEERS=2\nRUNNING=yes")
    assert not dmtcp.settled(restore, lambda _: "RUNNING=no")


def test_what_dmtcp_cannot_bring_back_is_refused(dmtcp: Checkpointer, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    script = f"cd {tmp_path}; (cd elsewhere; exec /bin/sleep 60) & echo; wait"
    with subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        try:
            root = proc.stat(shell.pid)
            assert root is not None
            while proc.cwd(proc.children(shell.pid)[0]) == str(tmp_path):
                pass
            members = tree.below(root)
            told = [str(each) for each in dmtcp.findings(resources.of_tree(members, []))]
        finally:
            for pid in proc.children(shell.pid):
                os.kill(pid, 9)
    assert len(told) == 2
    assert "only what was started with dmtcp_launch" in told[0]
    assert f"{tmp_path}/elsewhere: its working directory is not {tmp_path}" in told[1]
