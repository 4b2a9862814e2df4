# SPDX-License-Identifier: MIT
"""Bad input and broken surroundings: one clear line, the code of the table, nothing harmed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import LIMIT_SECONDS, Running, Site, User, counting, lines, wait_until


@pytest.fixture
def running(site: Site, user: User) -> Running:
    started = site.start(user, user.script(counting(100), user.directory()), "-c", "enabled")
    started.wait_for_line(1)
    return started


def refused(argv: list[str], code: int, *words: str) -> None:
    """The call fails with this code and one line that holds these words."""
    answer = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    told = answer.stderr.strip()
    assert answer.returncode == code, told
    assert len(told.splitlines()) == 1 and "Traceback" not in told
    for word in words:
        assert word in told
    assert answer.stdout == ""


@pytest.mark.parametrize(
    "job", ["../../etc", "1/2", "..", "*", "1.a*", "", "1.srv\nx", "1.srv;id", "abc", "1..x"]
)
def test_what_is_no_job_id_becomes_no_path(site: Site, job: str) -> None:
    hook = str(site.checkpoint_program)
    refused([hook, "4242", job, "nobody"], 65, "is not a job id")
    refused([str(site.program), "show", "--", job], 65, "is not a job id")


def test_an_array_members_id_is_an_id_like_any_other(site: Site, running: Running) -> None:
    argv = running.hook_argv()
    argv[2] = "12[3].server"
    assert subprocess.run(argv).returncode == 0
    assert site.rows("12[3].server")[0]["job"] == "12[3].server"


@pytest.mark.parametrize("words", [[], ["1"], ["1", "2", "3", "4", "5"], ["1"] * 9])
def test_an_argument_list_that_never_shipped(site: Site, words: list[str]) -> None:
    refused([str(site.checkpoint_program), *words], 64, "usage: SID JOBID EUSER EGROUP")


def test_a_session_that_is_gone(site: Site, user: User) -> None:
    refused([str(site.checkpoint_program), "4194000", "5.srv", user.name], 10, "no such process")


def test_a_session_of_another_user(site: Site, other_user: User, running: Running) -> None:
    argv = [str(site.checkpoint_program), str(running.leader()), running.job, other_user.name]
    refused(argv, 15, "belongs to uid")
    assert running.wait() == 7


def test_an_unknown_user(site: Site, running: Running) -> None:
    argv = [str(site.checkpoint_program), str(running.leader()), running.job, "no-such-user"]
    refused(argv, 67, "unknown")


@pytest.fixture
def leader_of(user: User) -> Iterator[Callable[[str], int]]:
    """Starts a session of the user's whose leader is bash with this command; gives its pid."""
    started = []

    def start(command: str) -> int:
        argv = user.argv("/bin/bash", "-c", command)
        null = subprocess.DEVNULL
        leader = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True, cwd="/"
        )
        started.append(leader)
        wait_until(lambda: Path(f"/proc/{leader.pid}/cmdline").read_bytes().startswith(b"/bin/b"))
        return leader.pid

    yield start
    for leader in started:
        leader.kill()
        leader.wait()


def test_a_session_without_a_child(site: Site, user: User, leader_of) -> None:
    leader = leader_of("read x")
    refused([str(site.checkpoint_program), str(leader), "7.srv", user.name], 11, "no child")


def test_two_children_of_the_job_shell_are_refused_unless_one_is_named(
    site: Site, user: User, leader_of
) -> None:
    leader = leader_of("sleep 6000 & /usr/bin/perl -e 'sleep 1 while 1' & wait")
    children = Path(f"/proc/{leader}/task/{leader}/children")
    wait_until(lambda: len(children.read_text().split()) == 2)
    argv = [str(site.checkpoint_program), str(leader), "7.srv", user.name]
    refused(argv, 12, "several candidates", "(sleep)", "(perl)", "exec_match")
    site.configure(exec_match="per*")
    assert subprocess.run(argv).returncode == 0
    shown = json.loads(site.call(user, "show", "7.srv", "--json").stdout)
    assert [process["name"] for process in shown["processes"]] == ["perl"]


def test_a_store_that_is_missing(site: Site, running: Running) -> None:
    site.configure(store=str(site.root / "nowhere"))
    refused(running.hook_argv(), 30, "is missing", "make install")
    assert running.wait() == 7


@pytest.fixture
def small_store(site: Site) -> Iterator[Path]:
    mount = site.root / "small"
    mount.mkdir()
    options = "size=8m,mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", mount], check=True)
    (mount / "jobs").mkdir()
    site.configure(store=str(mount), reserve_mib=0)
    yield mount
    subprocess.run(["umount", mount], check=True)


def test_a_full_store_keeps_the_last_image(site: Site, running: Running, small_store: Path) -> None:
    assert subprocess.run(running.hook_argv(name="good")).returncode == 0
    with (small_store / "ballast").open("wb") as ballast, pytest.raises(OSError):
        while True:
            ballast.write(bytes(65536))
            ballast.flush()
    refused(running.hook_argv(name="bad"), 31, "is full", "last image is kept")
    assert site.call(None, "verify", running.job).returncode == 0
    assert not list(small_store.rglob("*.partial"))
    (small_store / "ballast").unlink()
    assert subprocess.run(running.hook_argv(name="again")).returncode == 0
    assert running.wait() == 7
    assert running.out() == lines(100)


def test_a_read_only_store(site: Site, running: Running, small_store: Path) -> None:
    assert subprocess.run(running.hook_argv(name="good")).returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", small_store], check=True)
    refused(running.hook_argv(name="bad"), 32, "Read-only file system")
    assert site.call(None, "verify", running.job).returncode == 0
    assert running.wait() == 7


def test_no_criu_and_one_that_is_too_old(site: Site, running: Running) -> None:
    site.configure(criu_path="/nonexistent/criu")
    refused(running.hook_argv(), 40, "/nonexistent/criu", "missing")
    old = site.root / "criu"
    old.write_text("#!/bin/sh\necho Version: 3.17.1\n")
    old.chmod(0o755)
    site.configure(criu_path=str(old))
    refused(running.hook_argv(), 41, "3.17.1", "4.2")
    assert running.wait() == 7


def test_settings_with_a_slip(site: Site, running: Running) -> None:
    site.configure(dpeth=3)
    refused(running.hook_argv(), 78, "dpeth", "did you mean depth?", ":5:")


def test_a_key_that_others_can_read(site: Site, running: Running) -> None:
    (site.root / "etc" / "signature.key").chmod(0o644)
    refused(running.hook_argv(), 56, "0600")


def test_a_user_without_root_is_told_how_to_run(site: Site, user: User) -> None:
    script = user.script(counting(), user.directory())
    answer = site.call(user, "run", "-c", "c=1", str(script))
    assert answer.returncode == 125
    assert "sudo torqueckpt run" in answer.stderr


def test_an_unknown_job(site: Site, user: User) -> None:
    refused(user.argv(site.program, "show", "99.srv"), 20, "99.srv", user.name)
    refused([str(site.program), "show", "99.srv"], 20, "99.srv")


def test_users_see_and_touch_their_own_images_only(
    site: Site, user: User, other_user: User, running: Running
) -> None:
    assert site.call(other_user, "hold", running.job).returncode == 83
    assert subprocess.run(running.hook_argv()).returncode == 0
    assert json.loads(site.call(user, "list", "--json").stdout)[0]["job"] == running.job
    assert json.loads(site.call(other_user, "list", "--json").stdout) == []
    for verb in ("show", "verify", "delete", "resume-job"):
        assert site.call(other_user, verb, running.job).returncode == 20
    assert site.call(other_user, "list", "--user", user.name).returncode == 77
    assert running.wait() == 7


def test_the_last_image_of_a_running_job_is_not_deleted(
    site: Site, user: User, running: Running
) -> None:
    for name in ("a", "b"):
        assert subprocess.run(running.hook_argv(name=name)).returncode == 0
    kept = site.call(user, "delete", running.job)
    assert (kept.returncode, len(site.rows(running.job))) == (24, 2)
    assert site.call(user, "delete", running.job, "--generation", "1").returncode == 0
    assert running.wait() == 7
    assert site.call(user, "delete", running.job).returncode == 0
    assert site.rows() == []
