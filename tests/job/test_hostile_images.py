# SPDX-License-Identifier: MIT
"""Images whose owner, or whose disk, has changed them: refused with a reason, and whatever is
restored has its owner's rights and no others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.job.test_images import flip
from tests.job.test_rights_of_an_image import through_the_door
from tests.support import UNTIL_IT_MAY_END, Running, Site, User, counting, lines
from tests.unit.core_images import CREDS, THREAD, edited_file

SECRET = "root's own"


@pytest.fixture
def secret(site: Site) -> Path:
    """A file that only root may read."""
    file = site.root / "secret"
    file.write_text(SECRET)
    file.chmod(0o600)
    return file


def crash(site: Site, user: User, last: int = 60) -> Running:
    """A job with one image whose node crashed."""
    running = site.start(user, user.script(counting(last), user.directory()), "-c", "enabled")
    running.wait_for_line(3)
    assert subprocess.run(running.hook_argv(name="a")).returncode == 0
    running.crash()
    return running


def refused(site: Site, user: User, crashed: Running) -> str:
    """Nothing in its output, nothing left running; gives the reason."""
    asked = site.call(user, "resume-job", crashed.job, "--generation", "1")
    if asked.returncode != 0:
        assert asked.returncode != 70 and len(asked.stderr.splitlines()) == 1, asked.stderr
        return asked.stderr
    resumed = site.resume(user, crashed.job, user.directory(), "--generation", "1")
    assert resumed.wait() == 125
    assert resumed.out() == ""
    user.has_none()
    assert SECRET not in resumed.err()
    assert len(resumed.err().splitlines()) == 1, resumed.err()
    assert "internal error" not in resumed.err()
    return resumed.err()


def test_one_flipped_bit_in_any_file_of_an_image_is_found(site: Site, user: User) -> None:
    crashed = crash(site, user)
    image = site.lineage(crashed.job) / "1" / "image"
    names = sorted(os.listdir(image))
    assert len(names) > 10
    for name in names:
        whole = (image / name).read_bytes()
        flip(image / name) if whole else (image / name).write_bytes(b"x")
        answer = site.call(user, "verify", crashed.job)
        assert (answer.returncode, name in answer.stdout) == (53, True), name
        (image / name).write_bytes(whole)
    flip(image / "inventory.img")
    assert "inventory.img has another checksum" in refused(site, user, crashed)
    flip(image / "inventory.img")
    assert site.call(user, "verify", crashed.job).returncode == 0


def planted_image_file(lineage: Path, secret: Path) -> None:
    (lineage / "1/image/inventory.img").unlink()
    (lineage / "1/image/inventory.img").symlink_to(secret)


def planted_core(lineage: Path, secret: Path) -> None:
    core = next((lineage / "1/image").glob("core-*.img"))
    core.unlink()
    core.symlink_to(secret)


def planted_image(lineage: Path, secret: Path) -> None:
    (lineage / "1/image").rename(lineage / "elsewhere")
    (lineage / "1/image").symlink_to(lineage / "elsewhere")


def planted_generation(lineage: Path, secret: Path) -> None:
    (lineage / "1").rename(lineage / "elsewhere")
    (lineage / "1").symlink_to(lineage / "elsewhere")


def planted_manifest(lineage: Path, secret: Path) -> None:
    (lineage / "1/manifest.json").unlink()
    (lineage / "1/manifest.json").symlink_to(secret)


def planted_script(lineage: Path, secret: Path) -> None:
    script = next((lineage / "kept").glob("*.SC"))
    script.unlink()
    script.symlink_to(secret)


def planted_output(lineage: Path, secret: Path) -> None:
    (lineage / "output/stdout").unlink()
    (lineage / "output/stdout").symlink_to(secret)


def hard_linked_pipe(lineage: Path, secret: Path) -> None:
    (lineage / "1/image/inventory.img").unlink()
    os.mkfifo(lineage / "1/image/inventory.img")


@pytest.mark.parametrize(
    "plant",
    [
        planted_image_file,
        planted_core,
        planted_image,
        planted_generation,
        planted_manifest,
        planted_script,
        planted_output,
        hard_linked_pipe,
    ],
    ids=lambda plant: plant.__name__,
)
@pytest.mark.parametrize("by", ["his own program", "the door alone"])
def test_links_and_pipes_in_the_place_of_files_are_not_followed(
    site: Site, user: User, secret: Path, plant: Callable[[Path, Path], None], by: str
) -> None:
    crashed = crash(site, user)
    lineage = site.lineage(crashed.job)
    plant(lineage, secret)
    for path in lineage.rglob("*"):
        os.chown(path, user.uid, user.gid, follow_symlinks=False)
    if by == "his own program":
        refused(site, user, crashed)
        return
    running = through_the_door(site, user, crashed)
    assert running.wait() in (7, 125)  # moved directories of his own harm nobody but him
    assert SECRET not in running.out() + running.err()
    user.has_none()


@pytest.mark.parametrize("field", ["user", "group"])
def test_an_image_that_says_it_was_roots_runs_as_its_owner_or_not_at_all(
    site: Site, user: User, field: str
) -> None:
    text = (
        "#!/bin/sh\nfor i in $(seq 40); do echo line $i; id -ru; id -rg; sleep 0.1; done\n"
        f"{UNTIL_IT_MAY_END}\nexit 7\n"
    )
    running = site.start(user, user.script(text, user.directory()), "-c", "enabled")
    running.wait_for_line(3)
    assert subprocess.run(running.hook_argv(name="a")).returncode == 0
    running.crash()
    numbers = (1, 3, 5, 7) if field == "user" else (2, 4, 6, 8)
    for core in (site.lineage(running.job) / "1" / "image").glob("core-*.img"):
        file = core.read_bytes()
        core.write_bytes(edited_file(file, (THREAD, CREDS), dict.fromkeys(numbers, 0)))
        os.chown(core, user.uid, user.gid)
    forged = through_the_door(site, user, running)
    assert forged.wait() == 125, forged.out()
    assert "0" not in forged.out().split()
    user.has_none()


def test_images_of_ones_own_two_jobs_that_were_swapped(site: Site, user: User) -> None:
    one, other = crash(site, user), crash(site, user)
    first, second = site.lineage(one.job), site.lineage(other.job)
    (first / "1").rename(first / "away")
    (second / "1").rename(first / "1")
    (first / "away").rename(second / "1")
    assert "an image of" in refused(site, user, one)


def test_a_manifest_of_another_generation_in_the_place_of_this_one(site: Site, user: User) -> None:
    running = site.start(user, user.script(counting(40), user.directory()), "-c", "enabled")
    running.wait_for_line(2)
    for name in ("a", "b"):
        assert subprocess.run(running.hook_argv(name=name)).returncode == 0
    running.crash()
    lineage = site.lineage(running.job)
    shutil.copy(lineage / "2/manifest.json", lineage / "1/manifest.json")
    assert refused(site, user, running)


def test_a_pointer_that_names_another_job_and_another_user_is_a_hint_and_no_more(
    site: Site, user: User, other_user: User
) -> None:
    theirs = crash(site, other_user)
    running = site.start(user, user.script(counting(60), user.directory()), "-c", "enabled")
    running.wait_for_line(3)
    assert site.call(None, "hold", running.job).returncode == 0
    pointers = list((site.spool / "checkpoint" / f"{running.job}.CK").iterdir())
    assert len(pointers) == 1
    named = {"lineage": f"../{other_user.name}/{site.lineage(theirs.job).name}", "generation": 1}
    pointers[0].write_text(json.dumps(named))
    assert site.call(None, "release", running.job).returncode == 0
    assert running.wait() == 7
    assert running.out() == lines(60)


def test_a_servers_id_that_another_user_gets_again_leaves_the_first_ones_images_alone(
    site: Site, user: User, other_user: User
) -> None:
    first = crash(site, user, last=60)
    before = {path: path.stat().st_mtime_ns for path in site.lineage(first.job).rglob("*")}
    later = site.start(
        other_user, other_user.script(counting(60), other_user.directory()), "-c", "enabled"
    )
    later.wait_for_line(3)
    argv = later.hook_argv(name="again")
    argv[2] = first.job  # after a reset the server counts from one
    assert subprocess.run(argv).returncode == 0
    owners = {row["owner"] for row in site.rows()}
    assert owners == {user.name, other_user.name}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    later.crash()
    for who, begun in ((user, first), (other_user, later)):
        again = site.resume(who, first.job, who.directory())
        again.may_end = begun.may_end
        assert again.wait() == 7, again.err()
        assert again.out() == lines(60)
