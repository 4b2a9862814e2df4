# SPDX-License-Identifier: MIT
"""Jobs of each login shell with scripts of each shell, held and killed under a real pbs_mom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import shells
from tests.batch.private import PrivateBatch
from tests.support import MAY_END, User

FOUND = shells.found()
GREETING = "welcome\n"
WHOLE = f"7 {shells.written(40)!r} ''"


@pytest.fixture
def greeted(owner: User) -> Iterator[None]:
    """The user's login files print a line, as some sites' do."""
    made = [owner.home / name for name in {*shells.LOGIN_FILES.values()}]
    owner.home.joinpath(".config/fish").mkdir(parents=True, exist_ok=True)
    before = {path: path.read_bytes() if path.exists() else None for path in made}
    for path in made:
        path.write_text(f"echo {GREETING}")
    yield
    for path, text in before.items():
        path.unlink() if text is None else path.write_bytes(text)


def _submitted(
    server: PrivateBatch, owner: User, directory: Path, login: str, count: int
) -> dict[str, str]:
    """A job of each script shell, on its way."""
    jobs = {}
    for name, program in FOUND.items():
        script = owner.script(shells.counting(name, program, count), directory, f"{name}.sh")
        jobs[name] = server.submit(owner, script, "-S", FOUND[login], *server.holdable)
    for job in jobs.values():
        server.wait_until_running(job)
        server.wait_for_line(job, 5)
    return jobs


def _ended(server: PrivateBatch, directory: Path, jobs: dict[str, str]) -> dict[str, str]:
    """How each job has ended, and what it has written, in few words."""
    found = {}
    for name, job in jobs.items():
        status = server.wait_for_exit(job, 120)
        out, err = server.delivered(job, directory, f"{name}.sh")
        greeting, first, rest = out.partition("line 1\n")  # tcsh adds that it has no terminal
        assert GREETING in greeting, out
        told = "" if "Thus no job control" in err else err  # csh, whenever it begins
        found[name] = f"{status} {first + rest!r} {told!r}"
    return found


@pytest.mark.parametrize("login", FOUND)
def test_a_job_of_any_shells_keeps_each_line_when_it_is_held(
    server: PrivateBatch, owner: User, directory: Path, greeted: None, login: str
) -> None:
    jobs = _submitted(server, owner, directory, login, 40)
    for job in jobs.values():
        server.hold(job, owner)
    for job in jobs.values():
        server.release(job, owner)
    (directory / MAY_END).touch()
    assert _ended(server, directory, jobs) == dict.fromkeys(jobs, WHOLE)


@pytest.mark.parametrize("login", FOUND)
def test_a_job_of_any_shells_keeps_each_line_when_it_is_killed(
    server: PrivateBatch, owner: User, directory: Path, greeted: None, login: str
) -> None:
    jobs = _submitted(server, owner, directory, login, 40)
    for job in jobs.values():
        server.hold(job, owner)
        server.check("qdel", job, user=owner)
    for job in jobs.values():
        server.wait(lambda job=job: server.state(job) in (server.ended_state, ""), "its end")
    resumed = {name: server.resume(job, owner, directory) for name, job in jobs.items()}
    (directory / MAY_END).touch()
    assert _ended(server, directory, resumed) == dict.fromkeys(jobs, WHOLE)
