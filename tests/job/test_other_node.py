# SPDX-License-Identifier: MIT
"""Another node of a shared store: what differs is found before anything is touched; one wins."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.job.nodes import Node
from tests.namespaces import missing
from tests.support import (
    INSTALLED,
    LIMIT_SECONDS,
    Running,
    Site,
    User,
    counting,
    lines,
    python_counting,
    wait_until,
)
from torqueckpt import manifest
from torqueckpt.records import Claim
from torqueckpt.typed_json import plain

# A job with a library of its own, and a file that it writes on after its checkpoint.
_COUNTING = python_counting(60, 'print("line", i, file=out, flush=True)')
PROGRAM = """#!/bin/sh
exec /usr/bin/python3 -c '
import ctypes, os, time
held = ctypes.CDLL("{library}")
out = open("out", "w")
{counting}raise SystemExit(7)'
"""


@pytest.fixture
def node(site: Site, user: User) -> Iterator[Callable[[str], Node]]:
    """Makes nodes beside the one that this machine is."""
    if missing():
        pytest.skip(f"there is no program {missing()}")
    site.configure(store_shared=True, lock_timeout_seconds=LIMIT_SECONDS)
    made: list[Node] = []

    def make(host: str) -> Node:
        made.append(Node(host, site))
        return made[-1]

    yield make
    for each in made:
        each.remove()


@pytest.fixture
def crashed(site: Site, user: User) -> Running:
    """Its node died after a checkpoint, some lines later."""
    directory = user.directory()
    library = directory / "libown.so"
    shutil.copy(_library("z"), library)
    running = site.start(
        user,
        user.script(PROGRAM.format(library=library, counting=_COUNTING), directory),
        *("-c", "enabled"),
    )
    running.wait_for_line(10)
    assert subprocess.run(running.hook_argv()).returncode == 0
    running.wait_for_line(20)
    running.crash()
    running.may_end.touch()
    return running


def _library(name: str) -> Path:
    listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    return Path(next(line.split()[-1] for line in listed.splitlines() if f"lib{name}.so" in line))


def _live(running: Running) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (running.site.lineage(running.job) / "live.json").read_text()
    )
    return found


def _everything(running: Running) -> dict[str, tuple[int, int]]:
    """All files of the job's and of its lineage, so that a change of any shows."""
    found = {}
    for top in (running.site.lineage(running.job), running.directory):
        for path in top.rglob("*"):
            if path.is_file() and path.name != "lock" and "resume-" not in path.name:
                status = path.stat()
                found[str(path)] = (status.st_size, status.st_mtime_ns)
    return found


def _rehearsed(node: Node, user: User, job: str, *words: str) -> tuple[int, dict[str, Any]]:
    done = node.run(node.site.program, "resume", "--rehearse", "--json", *words, job, user=user)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def _refused(told: dict[str, Any]) -> dict[str, str]:
    rows = told["findings"]
    return {row["subject"]: row["what"] for row in rows if row["severity"] == "refused"}


def test_a_job_whose_node_died_goes_on_on_another_one(
    user: User, crashed: Running, node: Callable[[str], Node]
) -> None:
    other = node("nodeb")
    resumed = other.resume(user, crashed.job, crashed.directory, "--force")
    assert resumed.status == 7, resumed.err()
    assert resumed.out() == lines(60)
    assert (crashed.directory / "out").read_text() == lines(60)
    assert _live(crashed)["host"] == "nodeb"
    assert not (crashed.site.lineage(crashed.job) / "claim.json").exists()


def test_while_the_first_node_may_still_run_it_the_other_does_not(
    user: User, crashed: Running, node: Callable[[str], Node]
) -> None:
    before, other = _everything(crashed), node("nodeb")
    refused = other.resume(user, crashed.job, crashed.directory)
    assert refused.status == 125
    assert "still runs: as far as is known, on " in refused.err()
    status, told = _rehearsed(other, user, crashed.job)
    assert (status, told["would_restart"], list(_refused(told))) == (125, False, ["the job"])
    after = _everything(crashed)
    assert {name: after[name] for name in before} == before


def test_a_job_that_was_held_goes_on_elsewhere_without_more_ado(
    site: Site, user: User, node: Callable[[str], Node]
) -> None:
    directory = user.directory()
    running = site.start(user, user.script(counting(60), directory), "-c", "enabled")
    running.wait_for_line(10)
    assert site.call(None, "hold", running.job).returncode == 0
    running.may_end.touch()
    resumed = node("nodeb").resume(user, running.job, directory)
    assert resumed.status == 7, resumed.err()
    assert resumed.out() == lines(60)


def test_a_rehearsal_tells_all_that_it_looked_at_and_changes_nothing(
    user: User, crashed: Running, node: Callable[[str], Node]
) -> None:
    before, other = _everything(crashed), node("nodeb")
    status, told = _rehearsed(other, user, crashed.job, "--force")
    assert (status, told["would_restart"], _refused(told)) == (0, True, {})
    assert (told["host"], told["generation"]) == ("nodeb", 1)
    looked_at = {row["subject"] for row in told["findings"]}
    assert looked_at >= {
        *("image", "the job", "files", "groups", "checkpointer"),
        *("CPU", "kernel", "libraries", "process numbers"),
    }
    table = other.run(
        crashed.site.program, "resume", "--rehearse", "--force", crashed.job, user=user
    )
    assert (table.returncode, "1 to be brought back" in table.stdout) == (0, True)
    assert _everything(crashed) == before


def test_a_cpu_without_what_the_program_has_chosen_by_is_refused(
    user: User, crashed: Running, node: Callable[[str], Node]
) -> None:
    other, before = node("nodeb"), (crashed.directory / "out").read_text()
    told = Path("/proc/cpuinfo").read_text()
    other.put("/proc/cpuinfo", told.replace(" sse4_2 ", " ").replace(" aes ", " "))
    refused = other.resume(user, crashed.job, crashed.directory, "--force")
    assert refused.status == 125
    assert "lacks what that of" in refused.err() and "aes sse4_2" in refused.err()
    assert "nothing was changed" in refused.err()
    status, found = _rehearsed(other, user, crashed.job, "--force")
    assert (status, list(_refused(found))) == (125, ["CPU"])
    assert (crashed.directory / "out").read_text() == before


def test_another_build_of_a_library_is_refused_by_name(
    user: User, crashed: Running, node: Callable[[str], Node]
) -> None:
    other, library = node("nodeb"), crashed.directory / "libown.so"
    size = library.stat().st_size
    another = other.root / "another.so"
    another.write_bytes(_library("m").read_bytes()[:size].ljust(size, b"\0"))
    other.bind(another, library)
    before = (crashed.directory / "out").read_text()
    refused = other.resume(user, crashed.job, crashed.directory, "--force")
    assert refused.status == 125
    assert "libraries: " in refused.err() and "libown.so is build" in refused.err()
    assert (crashed.directory / "out").read_text() == before
    assert node("nodec").resume(user, crashed.job, crashed.directory, "--force").status == 7


def test_process_numbers_that_others_have_or_that_are_none_here_are_refused(
    user: User, crashed: Running, node: Callable[[str], Node]
) -> None:
    number = crashed.site.call(user, "show", "--json", crashed.job).stdout
    pid = json.loads(number)["exec_pid"]
    crashed.site.configure(store_shared=True, pid_wait_seconds=1)
    taken, small = node("nodeb"), node("nodec")
    taken.has_taken(pid)
    before = (crashed.directory / "out").read_text()
    refused = taken.resume(user, crashed.job, crashed.directory, "--force")
    assert refused.status == 125
    assert f"process numbers in use: {pid} (sleep, which runs)" in refused.err()
    assert (crashed.directory / "out").read_text() == before
    small.put("/proc/sys/kernel/pid_max", f"{pid}\n")
    status, told = _rehearsed(small, user, crashed.job, "--force")
    assert (status, list(_refused(told))) == (125, ["process numbers"])
    assert "kernel.pid_max" in _refused(told)["process numbers"]


def test_of_two_nodes_whose_locks_do_not_reach_each_other_one_resumes_the_job(
    user: User, crashed: Running, node: Callable[[str], Node]
) -> None:
    lineage = crashed.site.lineage(crashed.job)
    nodes = [node("nodeb"), node("nodec")]
    for each in nodes:  # a lock of its own: as on file systems where flock is one node's affair
        own = each.root / "lock"
        own.touch()
        shutil.chown(own, user.uid, user.gid)
        own.chmod(0o600)
        each.bind(own, lineage / "lock")
    criu, go_on = crashed.site.root / "criu", crashed.site.root / "go-on"
    criu.write_text(
        f'#!/bin/sh\n[ "$1" != restore ] || until [ -e {go_on} ]; do sleep 0.05; done\n'
        f'exec {INSTALLED}/criu/criu "$@"\n'
    )
    criu.chmod(0o755)
    timeout = {"lock_timeout_seconds": LIMIT_SECONDS}
    crashed.site.configure(store_shared=True, criu_path=str(criu), **timeout)
    both = [each.start(user, crashed.job, crashed.directory, "--force") for each in nodes]
    wait_until(lambda: not all(each.runs() for each in both))
    go_on.touch()  # once its processes run it is told apart by its record, which --force overrules
    statuses = [each.wait() for each in both]
    assert sorted(statuses) == [7, 125], [each.err() for each in both]
    winner, loser = sorted(both, key=lambda each: each.status)
    assert winner.out() == lines(60)
    host = nodes[both.index(winner)].host
    told = f"is being resumed already: by job {winner.job} on {host}, since 20"
    assert told in loser.err()


def test_a_claim_of_a_node_that_died_in_the_middle_needs_force_and_some_time(
    user: User, crashed: Running, node: Callable[[str], Node]
) -> None:
    other, file = node("nodeb"), crashed.site.lineage(crashed.job) / "claim.json"
    left = Claim("nodez", "0" * 36, 1, "99.nodez", int(time.time()))
    file.write_text(json.dumps(plain(left)))
    shutil.chown(file, user.uid, user.gid)
    for words in ((), ("--force",)):
        refused = other.resume(user, crashed.job, crashed.directory, *words)
        assert refused.status == 125
        assert "by job 99.nodez on nodez, since 20" in refused.err()
    file.write_text(json.dumps(plain(left._replace(since=left.since - 2 * LIMIT_SECONDS))))
    assert other.resume(user, crashed.job, crashed.directory).status == 125
    assert other.resume(user, crashed.job, crashed.directory, "--force").status == 7


def test_a_restart_that_was_killed_leaves_a_claim_that_stops_nobody_on_its_node(
    site: Site, user: User, crashed: Running
) -> None:
    file = site.lineage(crashed.job) / "claim.json"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    host = Path("/proc/sys/kernel/hostname").read_text().strip()
    file.write_text(json.dumps(plain(Claim(host, boot, 1, "99.vm", int(time.time())))))
    shutil.chown(file, user.uid, user.gid)
    resumed = site.resume(user, crashed.job, crashed.directory)
    assert resumed.wait() == 7, resumed.err()
    assert not file.exists()


def test_an_image_of_an_older_version_that_tells_nothing_of_its_node_is_restarted(
    site: Site, user: User, crashed: Running
) -> None:
    key = bytes.fromhex((site.root / "etc" / "signature.key").read_text().strip())
    file = site.lineage(crashed.job) / "1/manifest.json"
    made = manifest.decode(file.read_bytes())
    assert made.node is not None and len(made.node.builds) > 3
    whole = json.loads(manifest.encode(made, key))
    del whole["manifest"]["node"], whole["manifest"]["ceiling"]
    whole["signature"] = manifest._signature(manifest._canonical(whole["manifest"]), key)
    file.write_text(json.dumps(whole))
    resumed = site.resume(user, crashed.job, crashed.directory)
    assert resumed.wait() == 7, resumed.err()
