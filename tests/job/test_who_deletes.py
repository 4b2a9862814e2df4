# SPDX-License-Identifier: MIT
"""What delete, prune and release do with a job's images: the cells of docs/store.md's table."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.job.nodes import Node
from tests.job.slow_criu import slow_criu
from tests.namespaces import missing
from tests.support import (
    LIMIT_SECONDS,
    REPOSITORY,
    Running,
    Site,
    User,
    counting,
    wait_until,
)

_FIRST = "| the job |"


def _table() -> tuple[list[str], dict[str, list[str]]]:
    """The page's columns, and its cells by the state of the job."""
    told = (REPOSITORY / "docs" / "store.md").read_text().splitlines()
    begin = next(number for number, line in enumerate(told) if line.startswith(_FIRST))
    rows = []
    for line in told[begin:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows[0][1:], {state: cells for state, *cells in rows[2:]}


_COLUMNS, _ROWS = _table()
_CELLS = [
    (state, column, cell)
    for state, cells in _ROWS.items()
    for column, cell in zip(_COLUMNS, cells, strict=True)
]


class Jobs:
    """Brings a job into a state; `asked` is the job that the commands name."""

    def __init__(self, site: Site, user: User, stack: ExitStack) -> None:
        self.site, self.user, self._stack = site, user, stack
        self.go_on: Path | None = None
        self.asked = ""

    def bring(self, state: str) -> None:
        made: dict[str, Callable[[], None]] = {
            "runs": lambda: self._with_image(self._started()),
            "is held": lambda: self._hold(self._started()),
            "is held, and a release failed": self._failed,
            "is being restarted": self._restarting,
            "was resumed as a job that runs": lambda: self._with_image(self._resumed()),
            "was resumed as a job that is held": lambda: self._hold(self._resumed()),
            "died, and a resume job was written": self._wanted,
            "died, or has ended": self._died,
            "is of a server that does not answer": self._of_a_server,
        }
        made[state]()

    def lineage(self) -> Path:
        return self.site.lineage(self.asked)

    def _started(self) -> Running:
        script = self.user.script(counting(300), self.user.directory())
        running = self.site.start(self.user, script, "-c", "enabled")
        running.wait_for_line(2)
        self.asked = running.job
        return running

    def _with_image(self, running: Running) -> Running:
        assert self.site.call(self.user, "checkpoint", running.job).returncode == 0
        return running

    def _hold(self, running: Running) -> None:
        assert self.site.call(self.user, "hold", running.job).returncode == 0

    def _died(self) -> None:
        self._with_image(self._started()).crash()

    def _wanted(self) -> None:
        self._died()
        assert self.site.call(self.user, "resume-job", self.asked).returncode == 0

    def _resumed(self) -> Running:
        self._died()
        resumed = self.site.resume(self.user, self.asked, self.user.directory())
        self.site.wait_for_restart(resumed)
        script = next(resumed.directory.glob("resume-*.sh"))
        return self._restarted_with(script, resumed)

    def _restarted_with(self, script: Path, resumed: Running) -> Running:
        """A resume job's own -c is the first one's."""
        assert "#PBS -c enabled" in script.read_text()
        return resumed

    def _failed(self) -> None:
        self._hold(self._started())
        inventory = self.lineage() / "1" / "image" / "inventory.img"
        whole = inventory.read_bytes()
        inventory.write_bytes(b"")
        assert self.site.call(self.user, "release", self.asked).returncode == 83
        inventory.write_bytes(whole)

    def _restarting(self) -> None:
        self._hold(self._started())
        self.go_on = self._stack.enter_context(
            slow_criu(self.site, "restore", store_shared=True, lock_timeout_seconds=1)
        )
        words = self.user.argv(self.site.program, "release", self.asked)
        released = subprocess.Popen(words)
        self._stack.callback(released.wait, LIMIT_SECONDS)
        self._stack.callback(self.go_on.touch)
        wait_until(Path(f"{self.go_on}.waits").exists)

    def _of_a_server(self) -> None:
        running = self._started()
        self.asked = "99.nowhere"
        argv = running.hook_argv()
        argv[2] = self.asked
        assert subprocess.run(argv).returncode == 0
        running.crash()


@pytest.fixture
def jobs(site: Site, user: User) -> Iterator[Jobs]:
    site.configure(store_shared=True)
    with ExitStack() as stack:
        yield Jobs(site, user, stack)


def _deleted(jobs: Jobs, done: subprocess.CompletedProcess[str]) -> str:
    is_there = bool(jobs.site.generations(jobs.asked))
    if done.returncode == 0:
        assert not is_there and "deleted generation 1" in done.stdout
        return "goes"
    assert is_there
    if done.returncode == 29:
        assert "job " in done.stderr and "--force" in done.stderr
    return str(done.returncode)


def _delete(jobs: Jobs, *words: str) -> str:
    return _deleted(jobs, jobs.site.call(jobs.user, "delete", jobs.asked, *words))


def _delete_elsewhere(jobs: Jobs) -> str:
    node = Node("nodeb", jobs.site)
    try:
        own = node.root / "lock"  # as on file systems where flock is one node's affair
        own.touch()
        shutil.chown(own, jobs.user.uid, jobs.user.gid)
        own.chmod(0o600)
        node.bind(own, jobs.lineage() / "lock")
        return _deleted(jobs, node.run(jobs.site.program, "delete", jobs.asked, user=jobs.user))
    finally:
        node.remove()


def _prune(jobs: Jobs) -> str:
    def pruned() -> int:
        answer = jobs.site.call(None, "prune", "--json")
        assert answer.returncode == 0, answer.stderr
        return len(json.loads(answer.stdout))

    assert pruned() == 0
    over = jobs.lineage() / "over"
    if over.exists():
        over.write_text(str(int(time.time()) - 99 * 86400))
    return "goes after its grace" if pruned() else "stays"


def _release(jobs: Jobs) -> str:
    asked = subprocess.Popen(
        jobs.user.argv(jobs.site.program, "release", jobs.asked), stderr=subprocess.PIPE
    )
    if jobs.go_on is not None:
        jobs.go_on.touch()
    asked.communicate(timeout=LIMIT_SECONDS)
    if asked.returncode:
        assert jobs.site.generations(jobs.asked)
        return str(asked.returncode)
    tree = json.loads((jobs.lineage() / "live.json").read_text())["tree"]
    assert os.path.exists(f"/proc/{tree['pid']}")
    return "runs again"


_DO: dict[str, Callable[[Jobs], str]] = {
    "`delete`": _delete,
    "`delete`, another node": _delete_elsewhere,
    "`delete --force`": lambda jobs: _delete(jobs, "--force"),
    "`prune`": _prune,
    "`release`": _release,
}


@pytest.mark.parametrize(("state", "column", "cell"), _CELLS)
def test_it_is_as_the_page_says(jobs: Jobs, state: str, column: str, cell: str) -> None:
    if "another node" in column and missing():
        pytest.skip(f"there is no program {missing()}")
    jobs.bring(state)
    assert _DO[column](jobs) == cell


def test_an_older_generation_goes_whoever_needs_the_newest(jobs: Jobs) -> None:
    running = jobs._with_image(jobs._started())
    jobs._hold(running)
    done = jobs.site.call(jobs.user, "delete", running.job, "--generation", "1")
    assert done.returncode == 0, done.stderr
    refused = jobs.site.call(jobs.user, "delete", running.job, "--generation", "2")
    assert refused.returncode == 29
    assert f"job {running.job} was ended with it, as by a hold" in refused.stderr
    assert jobs.site.call(jobs.user, "held", running.job).returncode == 0
