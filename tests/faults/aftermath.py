# SPDX-License-Identifier: MIT
"""What must be so after any fault: the job runs, its images are whole, nothing is left behind."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.support import LIMIT_SECONDS, Running, Site, User, alive, stat_fields, wait_until


def hook(running: Running, name: str, **options: object) -> subprocess.CompletedProcess[str]:
    argv = running.hook_argv(name=name, **options)  # type: ignore[arg-type]
    return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_SECONDS)


def runs_untouched(running: Running, tree: int) -> None:
    """Alive, not stopped, traced by nobody."""
    assert alive(tree), "the job is gone"
    wait_until(lambda: _runs_freely(tree))
    assert running.process.poll() is None


def _runs_freely(pid: int) -> bool:
    """A checkpointer whose caller is gone has ended too; a tree that it left stopped runs on."""
    traced = "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
    return not traced and stat_fields(pid)[0] in "RSD"


def images_whole(site: Site, running: Running, at_least: int = 1) -> int:
    """Every byte of every image is read; gives how many there are."""
    answer = site.call(None, "verify", running.job)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    count = len(answer.stdout.splitlines())
    assert count >= at_least
    return count


def listed_truly(site: Site, running: Running) -> None:
    """A listing of all, by the index, tells what the manifests and the files tell."""
    looked_at = site.rows(running.job)
    lineages = {row["lineage"] for row in looked_at}
    assert [row for row in site.rows() if row["lineage"] in lineages] == looked_at


def nothing_left(site: Site, user: User, of_job: set[int]) -> None:
    """No half image, no restart half done, no lock, no process but the job's, no firewall rule.

    of_job: the sessions whose processes are the job's own.
    """
    own = site.store / "jobs" / user.name

    def left() -> list[object]:
        half = [*own.glob("*/*.partial"), *own.glob("*/intent.json"), *own.glob("*/edited")]
        scratch = [*own.rglob("*.new"), *site.store.glob("*.new")]
        held = Path("/proc/locks").read_text()
        locks = [each for each in own.rglob("lock") if f":{each.stat().st_ino} " in held]
        return [*half, *scratch, *locks, *user.views(), *_strangers(user, of_job)]

    # A restart that has just succeeded is about to remove some of it; other tests' dumps have
    # rules for their connections too, for a moment.
    with suppress(AssertionError):
        wait_until(lambda: not left())
    assert left() == []
    wait_until(lambda: "CRIU" not in firewall())


def _strangers(user: User, of_job: set[int]) -> list[int]:
    found = []
    for pid in user.processes():
        try:
            _, parent, _, session = stat_fields(pid)[:4]
            its = {
                int(session),
                int(stat_fields(int(parent))[3]),
            }  # a guard is its supervisor's child
            if not its & of_job:
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def firewall() -> str:
    """All rules of nft; CRIU's tables are named CRIU-… ("" where there is no nft)."""
    program = "/usr/sbin/nft"
    if not os.path.exists(program):
        return ""
    return subprocess.run([program, "list", "tables"], capture_output=True, text=True).stdout
