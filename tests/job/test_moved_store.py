# SPDX-License-Identifier: MIT
"""A store that the settings no longer name, and one that is only half there, are told in a line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support import Running, Site, User, counting, lines


@pytest.fixture
def held(site: Site, user: User) -> Running:
    running = site.start(user, user.script(counting(70), user.directory()), "-c", "enabled")
    running.wait_for_line(3)
    assert site.call(user, "hold", running.job).returncode == 0
    return running


def _moved(site: Site) -> Path:
    other = site.root / "other"
    (other / "jobs").mkdir(parents=True)
    site.configure(store=str(other))
    return other


def test_images_in_the_store_before_are_told_by_all_who_look_for_them(
    site: Site, user: User, held: Running
) -> None:
    _moved(site)
    told = f"{site.store}, the store before"
    for whose in (user, None):
        listed = site.call(whose, "list")
        assert (listed.returncode, told in listed.stderr) == (0, True)
        assert json.loads(site.call(whose, "list", "--json").stdout) == []
        shown = site.call(whose, "show", held.job)
        assert (shown.returncode, told in shown.stderr) == (20, True)
    written = site.call(user, "resume-job", held.job)
    assert (written.returncode, told in written.stderr) == (20, True)
    released = site.call(user, "release", held.job)
    assert (released.returncode, told in released.stderr) == (83, True)
    assert told in site.call(None, "doctor", "--json").stdout
    site.configure()
    assert site.call(user, "release", held.job).returncode == 0
    assert held.wait() == 7
    assert held.out() == lines(70)


def test_a_store_that_was_moved_as_the_page_says_is_whole(
    site: Site, user: User, held: Running
) -> None:
    other = _moved(site)
    subprocess.run(["/bin/cp", "-an", f"{site.store}/.", f"{other}/"], check=True)
    subprocess.run(["/bin/rm", "-r", site.store / "jobs"], check=True)
    assert site.call(user, "list").stderr == ""
    assert site.call(user, "release", held.job).returncode == 0
    assert held.wait() == 7
    assert held.out() == lines(70)


def test_other_users_hear_nothing_of_it(
    site: Site, user: User, other_user: User, held: Running
) -> None:
    _moved(site)
    assert site.call(other_user, "list").stderr == ""
    shown = site.call(other_user, "show", held.job)
    assert (shown.returncode, "before" in shown.stderr) == (20, False)


@pytest.mark.parametrize("half", ["nothing", "no jobs", "a file", "jobs is a file", "a link"])
@pytest.mark.parametrize(
    "words",
    [("list",), ("prune",), ("metrics",), ("report",), ("delete", "12.x"), ("show", "12.x")],
)
def test_a_store_that_is_only_half_there_is_one_line(
    site: Site, user: User, half: str, words: tuple[str, ...]
) -> None:
    store = site.root / "half"
    if half == "a file":
        store.touch()
    elif half == "a link":
        store.symlink_to(site.store)
    elif half != "nothing":
        store.mkdir()
    if half == "jobs is a file":
        (store / "jobs").touch()
    site.configure(store=str(store))
    for whose in (None, user):
        done = site.call(whose, *words)
        assert done.returncode in (0, 30, 32), done.stderr  # 0: it is left out, and that is said
        assert str(store) in done.stderr.splitlines()[-1] and "internal" not in done.stderr


def test_a_checkpoint_into_half_a_store_says_so_and_the_job_runs_on(site: Site, user: User) -> None:
    running = site.start(user, user.script(counting(20), user.directory()), "-c", "enabled")
    running.wait_for_line(2)
    (site.root / "half").mkdir()
    site.configure(store=str(site.root / "half"))
    done = subprocess.run(running.hook_argv(), capture_output=True, text=True)
    assert done.returncode == 30
    assert f"store {site.root / 'half' / 'jobs'} is missing: `make install` makes it" in done.stderr
    assert running.wait() == 7
