# SPDX-License-Identifier: MIT
"""`list -w`, `doctor -w`: many nodes' answers as one, and nodes that do not answer.

ClusterShell's own worker `exec`, or a program named ssh, stands for the way to a node.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import LIMIT_SECONDS, Running, Site, User, counting

# What stands for ssh: its last two words are the node and the command.
_SSH = """#!/bin/sh
while [ $# -gt 2 ]; do shift; done
case $1 in
    away) echo "ssh: connect to host away port 22: No route to host" >&2; exit 255 ;;
    slow) exec sleep 60 ;;
    odd) echo '[{{"job": 1}}]' ;;
    chatty) echo "Welcome to chatty" ;;
    other*) eval exec "$(echo "$2" | sed 's|{here}|{there}|')" ;;
    *) eval exec "$2" ;;
esac
"""


@pytest.fixture
def imaged(site: Site, user: User) -> Running:
    running = site.start(user, user.script(counting(600), user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    assert subprocess.run(running.hook_argv(name="a")).returncode == 0
    return running


def _list(site: Site, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "defaults.conf").write_text("[task.default]\ndistant_workername: exec\n")
    return subprocess.run(
        [site.program, "list", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "CLUSTERSHELL_CFGDIR": str(tmp_path)},
        timeout=LIMIT_SECONDS,
    )


@pytest.fixture
def other(user: User, site: Site) -> Iterator[Site]:
    """Another node, with a store of its own."""
    made = Site.make()
    yield made
    user.kill_all()
    made.remove()


@pytest.fixture
def ssh(site: Site, other: Site, tmp_path: Path) -> dict[str, str]:
    """An environment in which ssh is the tests' own."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "ssh"
    program.write_text(_SSH.format(here=site.root, there=other.root))
    program.chmod(0o755)
    # without what tests with a batch system of their own have put there
    own = {name: text for name, text in os.environ.items() if not name.startswith("PBS_")}
    return {**own, "PATH": f"{program.parent}:{os.environ['PATH']}"}


def _ask(site: Site, ssh: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    argv = [site.program, "list", *words]
    return subprocess.run(argv, capture_output=True, text=True, env=ssh, timeout=LIMIT_SECONDS)


def _rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def test_one_list_of_nodes_that_share_a_store(site: Site, imaged: Running, tmp_path: Path) -> None:
    done = _list(site, tmp_path, "-w", "n[1-3]", "--json")
    (row,) = _rows(done)
    assert row.pop("nodes") == "n[1-3]" and done.returncode == 0
    assert [row] == site.rows()
    page = _list(site, tmp_path, "-w", "n[1-3]").stdout.splitlines()
    assert page[0].split()[:2] == ["nodes", "job"] and page[1].startswith("n[1-3]  ")


def test_each_nodes_own_images(
    site: Site, other: Site, user: User, imaged: Running, ssh: dict[str, str]
) -> None:
    beside = other.start(user, user.script(counting(600), user.directory()), "-c", "enabled")
    beside.wait_for_line(1)
    assert subprocess.run(beside.hook_argv(name="a")).returncode == 0
    done = _ask(site, ssh, "-w", "here,other[1-2]", "--json")
    assert done.returncode == 0, done.stderr
    found = {row.pop("nodes"): row for row in _rows(done)}
    assert found == {"here": site.rows()[0], "other[1-2]": other.rows()[0]}
    words = ("-w", "here,other1", "--json", "--user", user.name, "--job", imaged.job)
    assert _ask(site, ssh, *words).returncode == 0


def test_nodes_that_tell_nothing_are_named_and_the_others_are_listed(
    site: Site, imaged: Running, ssh: dict[str, str]
) -> None:
    words = ("-w", "here,away,slow,odd,chatty", "--timeout", "8", "--json")
    done = _ask(site, ssh, *words)
    assert done.returncode == 112
    assert [row["nodes"] for row in _rows(done)] == ["here"]
    told = done.stderr.splitlines()
    assert len(told) == 4
    for node, why in (
        ("away", "No route to host"),
        ("slow", "not within 8 s"),
        ("odd", "is missing"),
        ("chatty", "not JSON"),
    ):
        assert any(
            line.startswith(f"torqueckpt: {node}: no answer: ") and why in line for line in told
        ), told


def test_nodes_are_examined_together(site: Site, other: Site, ssh: dict[str, str]) -> None:
    other.store.chmod(0o777)
    words = ("doctor", "-w", "here,other[1-2],away", "--json")
    done = subprocess.run([site.program, *words], capture_output=True, text=True, env=ssh)
    assert done.returncode == 112 and "No route to host" in done.stderr
    rows = {(row["nodes"], row["check"]): row for row in json.loads(done.stdout)["rows"]}
    bad = rows["other[1-2]", "owner and mode"]
    assert (bad["outcome"], bad["fix"]) == ("failure", f"chmod 0755 {other.store}")
    assert rows["here", "owner and mode"]["outcome"] == "ok"
    assert rows["here,other[1-2]", "release"]["outcome"] == "ok"
    page = subprocess.run(
        [site.program, "doctor", "-w", "here,other1"], capture_output=True, text=True, env=ssh
    )
    assert page.returncode == 111
    lines = [line.split() for line in page.stdout.splitlines()]
    assert lines[0] == ["nodes", "what", "found", "fix"]
    assert {line[0] for line in lines[1:]} <= {"warning", "failure"}
    assert not any("release" in line for line in lines)
    assert page.stderr.startswith("torqueckpt: other1 not fit for checkpoints: 1 failure(s)")


def test_names_that_are_none(site: Site, ssh: dict[str, str]) -> None:
    done = _ask(site, ssh, "-w", "n[1-")
    assert done.returncode == 64 and done.stderr.startswith("torqueckpt: torqueckpt list: ")
