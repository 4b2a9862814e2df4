# SPDX-License-Identifier: MIT
"""What `show` and `diff` tell of real images; and of those that somebody has been at."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.job.kinds.kind import PRELUDE
from tests.support import Running, Site, User

_JOB = """
os.environ["LATER"] = "not what it was started with"
big = bytearray(os.urandom(8 << 20))
ear = socket.create_server(("127.0.0.1", 0))
near, far = socket.socketpair()
local = socket.socket(socket.AF_UNIX)
local.bind("named")
read_end, write_end = os.pipe()
table = open("table", "wb")
if os.fork() == 0:
    time.sleep(600)
print("line 1", flush=True)
while not os.path.exists("go"):
    time.sleep(0.02)
more = bytearray(os.urandom(16 << 20))
table.write(b"x" * 5000)
table.flush()
ear.close()
print("line 2", flush=True)
time.sleep(600)
"""
_VARIABLES = "COLOUR=blue,API_TOKEN=hush,PROXY=http://me:hush@proxy:3128/"


@pytest.fixture
def two(site: Site, user: User) -> Running:
    """A job with two images."""
    script = user.script(PRELUDE + _JOB, user.directory())
    running = site.start(user, script, "-c", "enabled", "-v", _VARIABLES)
    running.wait_for_line(1)
    assert subprocess.run(running.hook_argv(name="a")).returncode == 0
    (running.directory / "go").touch()
    running.wait_for_line(2)
    assert subprocess.run(running.hook_argv(name="b")).returncode == 0
    return running


def _shown(site: Site, user: User | None, *words: str) -> dict[str, Any]:
    answer = site.call(user, "show", "--json", *words)
    assert answer.returncode == 0, answer.stderr
    facts: dict[str, Any] = json.loads(answer.stdout)
    return facts


def test_all_that_is_in_an_image_is_told(site: Site, user: User, two: Running) -> None:
    details = _shown(site, user, two.job, "--generation", "1")["details"]
    assert details["unread"] == "" and details["environment"] == []
    root = two.exec_pid()
    kinds = {each["kind"]: each["what"] for each in details["opened"] if each["pid"] == root}
    assert kinds["TCP socket"].startswith("127.0.0.1:") and kinds["TCP socket"].endswith(" listens")
    assert {"pipe", "UNIX socket"} <= set(kinds)
    assert "stream named" in [each["what"] for each in details["opened"]]
    held = sum(each["saved"] for each in details["memory"] if each["pid"] == root)
    assert 8 << 20 <= held < 30 << 20
    names = {each["name"] for each in details["memory"]}
    assert {"(heap)", "(stack)", "(anonymous)"} <= names
    assert any("libc.so" in name or "libc-" in name for name in names)


def test_the_environment_on_request_without_secrets(site: Site, user: User, two: Running) -> None:
    told = _shown(site, user, two.job, "--environment")["details"]["environment"]
    assert {"COLOUR=blue", "API_TOKEN=***", "PROXY=http://me:***@proxy:3128/"} <= set(told)
    assert f"PBS_JOBID={two.job}" in told
    assert not [each for each in told if "hush" in each or each.startswith("LATER=")]


def test_the_page_has_the_tree_policies_and_memory(site: Site, user: User, two: Running) -> None:
    page = site.call(user, "show", two.job).stdout
    lines = [line.rstrip() for line in page.splitlines()]
    assert lines[0] == f"{two.job} generation 2 of lineage {site.lineage(two.job).name}"
    names = [line for line in lines if "python3" in line or "run_job.sh" in line]
    assert any(line.split("  ")[1:2] for line in names)
    assert any(line.endswith("/table") and " rollback " in line for line in lines)
    assert any(line.endswith(f"/{two.job}.OU") and " new stdout " in line for line in lines)
    assert any("(anonymous)" in line and "MiB" in line for line in lines)
    assert any("others, see --all" in line for line in lines)
    full = site.call(user, "show", two.job, "--all").stdout
    assert len(full.splitlines()) > len(lines)


def test_an_image_is_shown_by_its_path_too(site: Site, user: User, two: Running) -> None:
    (link,) = [path for path in site.store.iterdir() if path.is_symlink()]
    directory = site.lineage(two.job) / "1"
    for who, path, generation in (
        (user, link, 2),
        (None, link, 2),
        (None, directory, 1),
        (None, directory / "image", 1),
    ):
        assert _shown(site, who, str(path))["generation"] == generation
    for odd in ("/etc/passwd", str(site.store), f"{site.store}/../etc", str(directory.parent)):
        assert site.call(None, "show", odd).returncode == 65


def test_another_users_image_is_not_shown_by_its_path(
    site: Site, user: User, other_user: User, two: Running
) -> None:
    answer = site.call(other_user, "show", str(site.lineage(two.job) / "1"))
    assert answer.returncode == 77 and answer.stdout == ""


def test_two_images_of_a_job_are_compared(site: Site, user: User, two: Running) -> None:
    answer = site.call(user, "diff", two.job, "1", "2", "--json")
    found = json.loads(answer.stdout)
    root = f"({two.exec_pid()}, "
    mine = [each for each in found if root in each["name"]]
    (table,) = [each for each in mine if each["name"].startswith(f"{two.directory}/table")]
    assert (table["before"], table["after"]) == ("0 bytes, at 0", "5000 bytes, at 5000")
    (ear,) = [each for each in mine if each["name"].startswith("TCP socket")]
    assert ear["before"].endswith("listens") and ear["after"] == ""
    assert {each["what"] for each in found} >= {"memory", "file", "open", "image"}
    assert json.loads(site.call(user, "diff", two.job, "1", "1", "--json").stdout) == []
    page = site.call(user, "diff", two.job, "1", "2").stdout
    assert page.splitlines()[0].split() == ["what", "name", "generation", "1", "generation", "2"]
    assert site.call(user, "diff", two.job, "1", "9").returncode == 21


def test_an_image_that_its_owner_has_torn_is_told_with_what_its_manifest_says(
    site: Site, user: User, two: Running
) -> None:
    for name in ("files.img", "pstree.img"):
        path = site.lineage(two.job) / "2" / "image" / name
        data = path.read_bytes()
        path.write_bytes(data[: len(data) - 3])
        facts = _shown(site, None, two.job)
        assert name in facts["details"]["unread"] and facts["whole"] is False
        assert facts["processes"] and facts["details"]["memory"] == []
        path.write_bytes(data)
    page = site.call(None, "show", two.job).stdout
    assert "cannot be looked into" not in page


def test_a_pipe_in_a_pages_files_place_keeps_nobody_waiting(
    site: Site, user: User, two: Running
) -> None:
    for pages in (site.lineage(two.job) / "2" / "image").glob("pages-*.img"):
        pages.unlink()
        os.mkfifo(pages)
    facts = _shown(site, None, two.job, "--environment")
    assert facts["details"]["environment"] == []


def test_a_link_to_a_file_of_roots_in_an_image_tells_nothing_of_it(
    site: Site, user: User, two: Running
) -> None:
    image = site.lineage(two.job) / "2" / "image"
    secret = site.root / "secret"
    secret.write_bytes((image / "files.img").read_bytes())
    secret.chmod(0o600)
    (image / "files.img").unlink()
    (image / "files.img").symlink_to(secret)
    details = _shown(site, None, two.job)["details"]
    assert "PermissionError" in details["unread"] and details["opened"] == []
