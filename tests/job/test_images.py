# SPDX-License-Identifier: MIT
"""Images that were damaged, forged or swapped: refused with a reason, never restored."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import Running, Site, User, counting, lines, wait_until


@pytest.fixture
def crashed(site: Site, user: User) -> Running:
    """A job with two images whose node crashed."""
    running = site.start(user, user.script(counting(80), user.directory()), "-c", "enabled")
    for line, name in ((1, "a"), (8, "b")):
        running.wait_for_line(line)
        assert subprocess.run(running.hook_argv(name=name)).returncode == 0
    running.crash()
    return running


def truncate(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def flip(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        byte = opened.read(1)
        opened.seek(-1, 1)
        opened.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("harm", [truncate, flip, Path.unlink], ids=lambda h: h.__name__)
def test_a_damaged_newest_image_is_passed_over_for_the_one_before(
    site: Site, user: User, crashed: Running, harm
) -> None:
    for file in sorted((site.lineage(crashed.job) / "2" / "image").glob("pages-*.img")):
        harm(file)
    resumed = site.resume(user, crashed.job, crashed.directory)
    assert resumed.wait() == 7, resumed.err()
    assert resumed.out() == lines(80)
    answer = site.call(user, "verify", crashed.job, "--generation", "1")
    assert answer.returncode == 0


def test_a_damaged_image_that_was_asked_for_is_refused(
    site: Site, user: User, crashed: Running
) -> None:
    truncate(site.lineage(crashed.job) / "2" / "image" / "pages-1.img")
    assert site.call(user, "verify", crashed.job).returncode == 53
    resumed = site.resume(user, crashed.job, crashed.directory, "--generation", "2")
    assert resumed.wait() == 125
    assert "image damaged: pages-1.img has another size" in resumed.err()
    assert resumed.out() == ""


@pytest.mark.parametrize(("groups", "reason"), [([], "wrong signature"), ([0], "group(s) 0")])
def test_a_manifest_that_its_owner_has_changed_is_not_believed(
    site: Site, user: User, crashed: Running, groups: list[int], reason: str
) -> None:
    file = site.lineage(crashed.job) / "2" / "manifest.json"
    whole = json.loads(file.read_text())
    whole["manifest"]["job"]["groups"] = groups
    file.write_text(json.dumps(whole))
    resumed = site.resume(user, crashed.job, crashed.directory, "--generation", "2")
    assert resumed.wait() == 125
    assert reason in resumed.err()
    assert resumed.out() == ""  # what was put there before the door refused is gone again
    again = site.resume(user, crashed.job, crashed.directory, "--generation", "1")
    assert again.wait() == 7


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not JSON"), (b'{"manifest": {"for', "not JSON"), (b"[1]", "no manifest"), (None, "no")],
)
def test_a_torn_or_missing_manifest(
    site: Site, user: User, crashed: Running, content: bytes | None, words: str
) -> None:
    file = site.lineage(crashed.job) / "2" / "manifest.json"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    shown = site.call(user, "show", crashed.job, "--generation", "2")
    assert shown.returncode == (50 if content is None else 51)
    assert words in shown.stderr
    assert [row["whole"] for row in site.rows(crashed.job)] == [True, False]
    resumed = site.resume(user, crashed.job, crashed.directory, "--generation", "1")
    assert resumed.wait() == 7


def test_another_users_image_copied_into_ones_own_directory(
    site: Site, user: User, other_user: User, crashed: Running
) -> None:
    theirs = site.lineage(crashed.job)
    own = site.store / "jobs" / other_user.name
    shutil.copytree(theirs, own / theirs.name, symlinks=True)
    (own / "ids").mkdir()
    (own / "ids" / crashed.job).symlink_to(theirs.name)
    for path in (own, *own.rglob("*")):
        shutil.chown(path, other_user.name) if not path.is_symlink() else None
    own.chmod(0o700)
    directory = other_user.directory()
    resumed = site.resume(other_user, crashed.job, directory)
    assert resumed.wait() == 125
    assert f"an image of {user.name}" in resumed.err()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dump", "1.srv@1", "1", "2.srv"],
        ["checkpoint", "4242", "0", "2.srv"],
        ["suspend", "4242", "15", "2.srv"],
        ["restore", "../..", "1", "2.srv"],
        ["restore", "1.srv@1", "-1", "2.srv"],
        ["restore", "1.srv@1", "1", "2.srv;id"],
        ["restore", "1.srv@1", "1", "2.srv", "more"],
        ["restore", "1.srv@99", "1", "2.srv"],
        ["store", "more"],
        ["store", "/tmp"],
    ],
)
def test_the_door_takes_nothing_but_its_own_words(site: Site, user: User, words: list[str]) -> None:
    door = site.root / "lib" / "torqueckpt" / "rootdoor"
    answer = subprocess.run(
        user.argv("/usr/bin/sudo", "-n", door, *words),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 125
    assert len(answer.stderr.splitlines()) == 1
    assert "Traceback" not in answer.stderr


def test_the_door_wants_the_lineages_lock(site: Site, user: User, crashed: Running) -> None:
    door = site.root / "lib" / "torqueckpt" / "rootdoor"
    lineage = site.lineage(crashed.job)
    words = ["restore", lineage.name, "2", "9.srv"]
    for stdin in ("/dev/null", "/etc/passwd", str(lineage / "first.json")):
        with open(stdin) as given:
            answer = subprocess.run(
                user.argv("/usr/bin/sudo", "-n", door, *words),
                stdin=given,
                capture_output=True,
                text=True,
            )
        assert answer.returncode == 125
        assert "lock" in answer.stderr


def test_an_image_of_another_user_cannot_be_had_through_the_door(
    site: Site, other_user: User, crashed: Running
) -> None:
    door = site.root / "lib" / "torqueckpt" / "rootdoor"
    words = ["restore", site.lineage(crashed.job).name, "2", "9.srv"]
    answer = subprocess.run(
        other_user.argv("/usr/bin/sudo", "-n", door, *words),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 125
    assert f"{other_user.name} has no image of it" in answer.stderr


def test_only_a_job_that_was_held_waits_for_its_image(site: Site, user: User) -> None:
    running = site.start(user, user.script(counting(600), user.directory()), "-c", "enabled")
    running.wait_for_line(3)
    for verb, status in (("checkpoint", 82), ("hold", 0), ("release", 82)):
        assert site.call(None, verb, running.job).returncode == 0
        # `release` answers before the job runs again
        wait_until(lambda code=status: site.call(user, "held", running.job).returncode == code)
        assert site.call(None, "held", running.job).returncode == status


def test_the_door_makes_the_callers_own_directory_in_the_store_and_no_other(
    site: Site, user: User
) -> None:
    door = site.root / "lib" / "torqueckpt" / "rootdoor"
    for _ in range(2):  # fine when it is there already
        subprocess.run(user.argv("/usr/bin/sudo", "-n", door, "store"), check=True)
    made = list((site.store / "jobs").iterdir())
    assert [each.name for each in made] == [user.name]
    status = made[0].stat()
    assert (status.st_uid, status.st_mode & 0o777) == (user.uid, 0o700)
