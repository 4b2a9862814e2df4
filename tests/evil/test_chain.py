# SPDX-License-Identifier: MIT
"""From criu's rights to root's files: securebits that outlive exec, and the honest door."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.evil.allowed import EXITED
from tests.evil.evil_criu import SECRET, EvilCriu
from tests.support import LIMIT_SECONDS, Running, Site, User, counting, lines, wait_until

# `torqueckpt resume`, but the last step is to name root's file as the job's stdout.
_RESUME = """#!{python} -I
import json, os, sys
from torqueckpt.cli.main import main

os.unlink(__file__)  # the door has an evil criu, too: once will do
become, lineage = os.execve, {lineage!r}

def door(program, argv, environment):
    plan = json.load(open(f"{{lineage}}/intent.json"))
    stream = plan["streams"][0]
    if {path!r}:
        stream["path"], stream["device"], stream["inode"] = {path!r}, {device}, {inode}
    with open(f"{{lineage}}/intent.json", "w") as file:
        json.dump(plan, file)
    become(program, argv, environment)

os.execve = door
for name in ("out", "err"):
    fd = os.open({place!r} + "/" + name, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(fd, 1 if name == "out" else 2)
os.environ["PBS_JOBID"] = "77.srv"
sys.exit(main(["resume", {job!r}]))
"""


@pytest.fixture
def crashed(site: Site, user: User) -> Running:
    """A job with an honest image, which nobody edits."""
    running = site.start(user, user.script(counting(), user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    assert subprocess.run(running.hook_argv()).returncode == 0
    running.crash()
    return running


def attack(site: Site, user: User, evil: EvilCriu, crashed: Running, path: str, quiet: str) -> Path:
    """Have criu resume the job once it has changed all that it can; gives where its output is.

    path: the file that is named as its stdout behind the owner's own checks, "" for none.  quiet:
    it leaves no set of capabilities that the door could see, "yes" or "no".
    """
    place, secret = user.directory(), os.stat(evil.secret)
    text = _RESUME.format(
        python=site.root / "lib/torqueckpt/venv/bin/python",
        lineage=str(site.lineage(crashed.job)),
        path=path,
        device=secret.st_dev,
        inode=secret.st_ino,
        place=str(place),
        job=crashed.job,
    )
    user.script(text, place, "attack").chmod(0o755)
    evil.tell("go", tries="no", before=place / "attack", quiet=quiet)
    evil.in_place()
    return place


@pytest.mark.parametrize(
    ("verb", "quiet"), [("dump", "yes"), ("restore", "yes"), ("restore", "no")]
)
def test_no_criu_of_the_owners_has_the_door_write_to_a_file_of_roots(
    site: Site, user: User, evil: EvilCriu, crashed: Running, verb: str, quiet: str
) -> None:
    crashed.may_end.touch()
    running = site.start(user, user.script(counting(), user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    if verb == "restore":
        assert site.call(None, "hold", running.job).returncode == 0
    place = attack(site, user, evil, crashed, str(evil.secret), quiet)
    if verb == "restore":
        assert site.call(None, "release", running.job).returncode == 0
        site.wait_for_restart(running)
    else:
        assert subprocess.run(running.hook_argv()).returncode == 0
    (ended,) = [each.result for each in evil.tried() if each.what == "before"]
    said = (place / "err").read_text()
    assert evil.secret.read_text() == SECRET, said
    assert ended > EXITED and ended != EXITED + 7 and said, (ended, said)
    wait_until(lambda: not evil.left_with_rights())
    evil.unharmed(running)
    evil.out_of_place()
    assert site.resume(user, crashed.job, user.directory()).wait() == 7


@pytest.mark.parametrize("quiet", ["yes", "no"])
def test_what_runs_as_the_owner_after_such_a_restore_has_no_rights(
    site: Site, user: User, evil: EvilCriu, crashed: Running, quiet: str
) -> None:
    """Supervisor and guard of a job that an evil criu has resumed in the ordinary way."""
    running = site.start(user, user.script(counting(), user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    assert site.call(None, "hold", running.job).returncode == 0
    place = attack(site, user, evil, crashed, "", quiet)
    released = subprocess.Popen([str(site.program), "release", running.job])
    wait_until(lambda: _resumed_by_it(site, user) or (place / "err").stat().st_size)
    doors = [pid for pid in user.processes() if _name(pid) == "rootdoor"]
    refused = (place / "err").read_text()
    assert len(doors) == (0 if refused else 2), refused
    assert not refused or quiet == "no", refused
    assert [told for told in evil.left_with_rights() if " rootdoor " in told] == []
    crashed.may_end.touch()
    assert released.wait(LIMIT_SECONDS) == 0
    wait_until(lambda: not evil.left_with_rights())
    if not refused:
        assert (place / "out").read_text() == lines(30)
    evil.unharmed(running)


def _resumed_by_it(site: Site, user: User) -> bool:
    return '"restart", "job": "77.srv"' in (site.store / "jobs" / user.name / "journal").read_text()


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()
