# SPDX-License-Identifier: MIT
"""chkpnt, resume, cr_run, cr_checkpoint, cr_restart: other checkpointers' commands, on CRIU."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import (
    INSTALLED,
    LIMIT_SECONDS,
    MAY_END,
    Site,
    User,
    alive,
    counting,
    kill,
    lines,
    wait_until,
)


class Loose:
    """A counting process of the user's, outside any batch job, its output in `out`."""

    def __init__(self, site: Site, user: User, last: int = 40) -> None:
        self.site, self.user, self.directory = site, user, user.directory()
        script = user.script(counting(last), self.directory)
        with (self.directory / "out").open("wb") as out:
            place = f"PBS_O_WORKDIR={self.directory}"
            argv = user.argv("/usr/bin/env", place, site.root / "bin/cr_run", "/bin/sh", script)
            self.process = subprocess.Popen(
                argv,
                cwd=self.directory,  # not ours, which he may not be able to see
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.pid = self.process.pid
        self.may_end = self.directory / MAY_END
        wait_until(lambda: "line 3\n" in (self.directory / "out").read_text())

    def call(self, *words: object, by_root: bool = False) -> subprocess.CompletedProcess[str]:
        argv = [str(self.site.root / "bin" / str(words[0])), *map(str, words[1:])]
        argv = argv if by_root else self.user.argv(*argv)
        return subprocess.run(
            argv, cwd=self.directory, capture_output=True, text=True, timeout=LIMIT_SECONDS
        )

    def end(self) -> None:
        kill(self.pid)
        self.process.wait()

    def go_on(self, *words: object) -> tuple[int, str, str]:
        """Exit status, stdout and stderr of a command that stays as the job."""
        program = str(self.site.root / "bin" / str(words[0]))
        new, errors = (self.user.script("", self.directory, name) for name in ("new", "err"))
        with new.open("wb") as out, errors.open("wb") as err:
            done = subprocess.run(
                self.user.argv(program, *map(str, words[1:])),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                timeout=LIMIT_SECONDS,
            )
        return done.returncode, new.read_text(), errors.read_text()


@pytest.fixture
def loose(site: Site, user: User) -> Loose:
    return Loose(site, user)


@pytest.mark.parametrize("by_root", [False, True])
def test_chkpnt_leaves_the_process_running_and_resume_ends_with_its_status(
    loose: Loose, by_root: bool
) -> None:
    image = loose.directory / "image"
    for said in ("", f"chkpnt: process {loose.pid}: {image}\n"):
        quiet = [] if said else ["-q"]
        made = loose.call("chkpnt", *quiet, "-p", loose.pid, "-od", image, by_root=by_root)
        assert (made.returncode, made.stdout, made.stderr) == (0, said, "")
        assert alive(loose.pid)
    assert (image / "inventory.img").exists()
    loose.end()
    loose.may_end.touch()
    done = loose.go_on("resume", "-drp", "-cwd", loose.directory, "-od", image)
    assert done == (7, lines(40), "")


def test_a_directory_that_is_there_already_gets_a_file_that_names_the_image(loose: Loose) -> None:
    image = loose.user.directory("image-there")
    assert loose.call("chkpnt", "-q", "-p", loose.pid, "-od", image).returncode == 0
    assert [each.name for each in image.iterdir()] == ["torqueckpt.json"]
    loose.end()
    loose.may_end.touch()
    assert loose.go_on("resume", "-od", image)[:2] == (7, lines(40))


def test_cr_checkpoint_that_is_to_kill_leaves_nothing_running(loose: Loose) -> None:
    made = loose.call("cr_checkpoint", "--tree", "--kill", loose.pid)
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    assert loose.process.wait(LIMIT_SECONDS) == -9
    loose.may_end.touch()
    assert loose.go_on("cr_restart", f"context.{loose.pid}")[:2] == (7, lines(40))


def test_cr_checkpoint_as_it_is_called_by_default_lets_it_run_on(loose: Loose) -> None:
    assert loose.call("cr_checkpoint", "-f", "here", loose.pid).returncode == 0
    loose.may_end.touch()
    assert loose.process.wait(LIMIT_SECONDS) == 7


def test_cr_restart_tells_kinds_of_failure_apart(site: Site, user: User) -> None:
    loose = Loose(site, user, 100)
    assert loose.call("cr_checkpoint", "-f", "here", loose.pid).returncode == 0
    kinds = [f"--run-on-fail-{kind}=echo {kind} >>told" for kind in ("temp", "env", "perm")]
    words = ("cr_restart", *kinds, "--run-on-success=echo success >>told", "here")
    status, _, errors = loose.go_on(*words)
    assert (status, "still runs" in errors) == (125, True)
    loose.end()
    loose.may_end.touch()
    image = next(loose.site.store.glob("jobs/*/*@*/1/image"))
    loose.site.configure(criu_path="/nonexistent")
    assert loose.go_on(*words)[0] == 125
    loose.site.configure()
    (image / "inventory.img").rename(image / "gone")
    assert loose.go_on(*words)[0] == 125
    (image / "gone").rename(image / "inventory.img")
    assert loose.go_on(*words)[:2] == (7, lines(100))
    told = (loose.directory / "told").read_text().split()
    assert told == ["temp", "env", "perm", "success"]


def test_root_gets_blcrs_code_too_for_what_cannot_be_dumped(site: Site) -> None:
    program = site.root / "bin" / "cr_checkpoint"
    done = subprocess.run([program, "1"], cwd=site.root, capture_output=True, text=True)
    assert (done.returncode, len(done.stderr.splitlines())) == (52, 1)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("chkpnt", "-p", "1", "-od", "x"), 43, "not to the job's owner"),
        (("chkpnt", "-q", "-p", "1", "-od", "x"), 43, ""),
        (("chkpnt", "-p", "999999999", "-od", "x"), 10, "no such process"),
        (("chkpnt", "-p", "-7", "-od", "x"), 2, "usage"),
        (("chkpnt", "-p", "7"), 2, "usage"),
        (("cr_checkpoint", "1"), 52, "not to the job's owner"),
        (("cr_checkpoint", "-q", "1"), 52, ""),
        (("cr_restart", "nothing"), 58, "names no image"),
        (("resume", "-od", "/etc"), 58, "names no image"),
        (("cr_run", "/nonexistent"), 127, "No such file"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_code(
    site: Site, user: User, words: tuple[str, ...], code: int, said: str
) -> None:
    program = site.root / "bin" / words[0]
    done = subprocess.run(
        user.argv(program, *words[1:]), cwd=user.directory(), capture_output=True, text=True
    )
    assert done.returncode == code
    assert said in done.stderr and (bool(said) == bool(done.stderr))
    assert "Traceback" not in done.stderr


def test_a_dump_that_fails_is_told_once(site: Site, loose: Loose) -> None:
    """By the door, and by the command in whose name it is done."""
    criu = site.root / "criu-that-fails"
    real = INSTALLED / "criu" / "criu"
    criu.write_text(f'#!/bin/sh\n[ "$1" != dump ] || exit 1\nexec {real} "$@"\n')
    criu.chmod(0o755)
    site.configure(criu_path=str(criu))
    made = loose.call("chkpnt", "-p", loose.pid, "-od", "x")
    assert made.returncode == 43
    job = f"{loose.pid}.chkpnt"
    assert made.stderr.startswith(f"chkpnt: job {job}: dump failed: ")
    assert made.stderr.endswith("; the job runs on\n")
    assert made.stderr.count(job) == made.stderr.count("the job runs on") == 1
    assert alive(loose.pid)


def test_root_writes_no_link_where_a_users_link_leads(
    site: Site, user: User, loose: Loose, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    (loose.directory / "there").symlink_to(tmp_path)
    place = loose.directory / "there" / "image"
    made = loose.call("chkpnt", "-p", loose.pid, "-od", place, by_root=True)
    assert made.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_the_door_dumps_nobody_elses_process(site: Site, other_user: User, loose: Loose) -> None:
    door = site.root / "lib" / "torqueckpt" / "rootdoor"
    words = ("/usr/bin/sudo", "-n", door, "dump", str(loose.pid), "15", "12.srv")
    done = subprocess.run(other_user.argv(*words), capture_output=True, text=True)
    assert done.returncode == 125
    assert "not to the job's owner" in done.stderr
    assert alive(loose.pid)
