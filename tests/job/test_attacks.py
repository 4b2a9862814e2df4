# SPDX-License-Identifier: MIT
"""What a user can try on programs that have root's key in their memory, and on root's door."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import (
    INSTALLED,
    LIMIT_SECONDS,
    Running,
    Site,
    User,
    counting,
    session,
    stat_fields,
    wait_until,
)
from torqueckpt.process import privileges

_PTRACE = """\
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
sys.exit(libc.ptrace(0x4206, int(sys.argv[1]), 0, 0) == 0)  # PTRACE_SEIZE
"""


def sudo(
    site: Site, user: User, *words: object, **options: object
) -> subprocess.CompletedProcess[str]:
    """The door, called by this user with nothing but his own rights."""
    door = site.root / "lib" / "torqueckpt" / "rootdoor"
    argv = user.argv("/usr/bin/sudo", "-n", door, *map(str, words))
    given = {"stdin": subprocess.DEVNULL, **options}
    return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_SECONDS, **given)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def crashed(site: Site, user: User) -> Running:
    running = site.start(user, user.script(counting(40), user.directory()), "-c", "c=1s")
    site.wait_for_images(running.job)
    running.crash()
    return running


@pytest.fixture
def keyholders(site: Site, user: User, crashed: Running) -> list[int]:
    """Supervisor and guard of a resumed job: both were root with the key in memory, both are the
    user's by now."""
    resumed = site.resume(user, crashed.job, user.directory())
    record = site.lineage(crashed.job) / "live.json"

    def found() -> list[int]:
        live = json.loads(record.read_text())
        if live["job"] != resumed.job or live["tree"] is None:
            return []
        keeper = live["keeper"]["pid"]
        below = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
        guards = [int(pid) for pid in below if int(pid) != live["tree"]["pid"]]
        both = [keeper, *guards]
        return both if guards and all(map(_is_his, both)) else []

    def _is_his(pid: int) -> bool:
        return f"\nUid:\t{user.uid}\t{user.uid}\t{user.uid}\t" in _status(pid)

    both: list[int] = wait_until(found)
    return both


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def test_the_key_cannot_be_read_out_of_a_program_that_has_become_the_owners(
    user: User, keyholders: list[int]
) -> None:
    for pid in keyholders:
        for secret in ("mem", "environ", "maps", "fd", "map_files"):
            program = "/usr/bin/ls" if "f" in secret else "/usr/bin/cat"
            look = user.argv(program, f"/proc/{pid}/{secret}")
            assert b"ermission denied" in subprocess.run(look, capture_output=True).stderr, secret
        traced = user.argv("/usr/bin/python3", "-I", "-c", _PTRACE, str(pid))
        assert subprocess.run(traced).returncode == 0


def test_the_door_dumps_no_program_that_has_the_key(
    site: Site, user: User, keyholders: list[int]
) -> None:
    for pid in keyholders:
        answer = sudo(site, user, "dump", pid, 0, "77.srv")
        assert answer.returncode == 125 and len(answer.stderr.splitlines()) == 1
    assert "77.srv" not in [row["job"] for row in site.rows()]


@pytest.fixture
def closed(user: User) -> Iterator[tuple[int, Path]]:
    """A process of the user's that he may not read: its program is setuid root."""
    place = user.directory()
    program = place / "program"
    shutil.copy("/bin/sleep", program)
    program.chmod(0o4755)
    argv = user.argv("/bin/sh", "-c", f"{program} 6000 & wait")
    shell = subprocess.Popen(argv, start_new_session=True, stdin=-3, stdout=-3, stderr=-3)
    children = Path(f"/proc/{shell.pid}/task/{shell.pid}/children")
    child = int(wait_until(lambda: children.read_text().split())[0])
    wait_until(lambda: stat_fields(child) and "program" in _status(child))
    yield child, place
    for pid in (child, shell.pid):
        os.kill(pid, 9)
    shell.wait()


def test_criu_reads_nothing_of_a_setuid_program_even_with_the_right_that_yama_asks_for(
    user: User, closed: tuple[int, Path]
) -> None:
    """One that the job starts between our look at the tree and CRIU's."""
    pid, place = closed
    owner = privileges.owner(user.name)
    criu = INSTALLED / "criu" / "criu"
    argv = [str(criu), "dump", "--unprivileged", "--shell-job", "--leave-running"]
    argv += ["--images-dir", str(place), "--work-dir", str(place), "--tree", str(pid)]
    capabilities = ("checkpoint_restore", "sys_ptrace")
    done = subprocess.run(
        privileges.as_owner_argv(owner, capabilities, argv),
        capture_output=True,
        env={"XDG_RUNTIME_DIR": str(place)},
    )
    assert done.returncode != 0
    assert not list(place.glob("core-*")) + list(place.glob("pages-*")) + list(place.glob("mm-*"))


def test_nothing_of_the_callers_environment_gets_through_the_door(site: Site, user: User) -> None:
    place = user.directory()
    trap = place / "sitecustomize.py"
    trap.write_text(f"open({str(place / 'sprung')!r}, 'w')\n")
    names = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "BASH_ENV", "LD_PRELOAD")
    words = [f"{name}={trap if name != 'PYTHONPATH' else place}" for name in names]
    door = site.root / "lib" / "torqueckpt" / "rootdoor"
    call = ["/usr/bin/sudo", "-n", door, "restore", "1.srv@1", "1", "2.srv"]
    for argv in (
        call,
        [*call[:2], "SUDO_UID=0", *call[2:]],
        [*call[:2], "PYTHONPATH=/", *call[2:]],
    ):
        done = subprocess.run(
            user.argv("/usr/bin/env", *words, "SUDO_UID=0", *argv), capture_output=True, text=True
        )
        assert done.returncode != 0 and "Traceback" not in done.stderr
    assert (
        f"{user.name} has no image"
        in subprocess.run(
            user.argv("/usr/bin/env", "SUDO_UID=0", *call), capture_output=True, text=True
        ).stderr
    )
    assert not (place / "sprung").exists()


@pytest.fixture
def careless(site: Site, user: User) -> Iterator[None]:
    """A site whose own rules let this user keep and set what he likes."""
    rule = Path("/etc/sudoers.d") / f"{site.root.name}-careless"
    rule.write_text(f'Defaults:{user.name} !env_reset, setenv, env_keep += "OPENSSL_CONF"\n')
    rule.chmod(0o440)
    yield
    rule.unlink()


def test_a_careless_sudoers_file_lets_no_environment_through_the_door(
    site: Site, user: User, careless: None
) -> None:
    """OPENSSL_CONF, for one, names libraries that are loaded as root."""
    door = site.root / "lib" / "torqueckpt" / "rootdoor"
    door.write_text("#!/bin/sh\nexec /usr/bin/env\n")
    given = user.argv("/usr/bin/env", "OPENSSL_CONF=/x", "TRAP=/x", "/usr/bin/sudo", "-n")
    by_hand = subprocess.run([*given, "TRAP=/y", door], capture_output=True, text=True)
    assert "not allowed to set" in by_hand.stderr
    told = subprocess.run([*given, door], capture_output=True, text=True).stdout
    assert f"SUDO_UID={user.uid}\n" in told and "/x" not in told


def test_root_himself_is_no_caller_of_the_door(site: Site) -> None:
    door = site.root / "lib" / "torqueckpt" / "rootdoor"
    for uid in ("0", "", "-1", "1;2", "²"):
        argv = [door, "restore", "1.srv@1", "1", "2.srv"]
        done = subprocess.run(argv, env={"SUDO_UID": uid}, capture_output=True, text=True)
        assert done.returncode == 125 and "no ordinary user" in done.stderr


def test_a_criu_configuration_in_the_owners_home_is_not_read(
    site: Site, user: User, crashed: Running
) -> None:
    """It could name a directory of libraries, which would be loaded into a CRIU that has rights."""
    place = user.home / ".criu"
    place.mkdir()
    (place / "default.conf").write_text("no-such-option-of-criu\n")
    try:
        resumed = site.resume(user, crashed.job, user.directory())
        newest = site.wait_for_images(crashed.job)
        site.wait_for_newer(crashed.job, newest)
        assert resumed.wait() == 7, resumed.err()
    finally:
        shutil.rmtree(place)


def test_images_of_an_old_key_are_refused_until_it_is_put_back(
    site: Site, user: User, crashed: Running
) -> None:
    key = site.root / "etc" / "signature.key"
    old = key.read_text()
    key.write_text("5a" * 32 + "\n")
    refused = site.resume(user, crashed.job, user.directory())
    assert refused.wait() == 125
    assert "made under another key" in refused.err()
    key.write_text(old)
    assert site.resume(user, crashed.job, user.directory()).wait() == 7


def test_a_name_that_another_user_has_taken_in_the_store_costs_no_checkpoint(
    site: Site, user: User, other_user: User
) -> None:
    """Any user may have his own process dumped under any job's id."""
    running = site.start(user, user.script(counting(), user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    theirs = site.store / "jobs" / other_user.name / "1.srv@1" / "1" / "image"
    theirs.mkdir(parents=True)
    link = site.store / f"{running.exec_pid()}.{running.job}"
    link.symlink_to(theirs.relative_to(site.store))
    assert subprocess.run(running.hook_argv()).returncode == 0
    assert link.resolve() == theirs
    assert site.call(user, "verify", running.job).returncode == 0
    assert running.wait() == 7


def test_sudo_does_not_stay_between_the_job_and_its_supervisor(
    site: Site, user: User, crashed: Running
) -> None:
    resumed = site.resume(user, crashed.job, user.directory())
    site.wait_for_restart(resumed)

    def names() -> list[str]:
        return [Path(f"/proc/{pid}/comm").read_text() for pid in session(resumed.leader())]

    wait_until(lambda: "sudo\n" not in names())
    assert len(names()) > 2
    assert resumed.wait() == 7


def test_what_root_runs_is_nobody_elses_to_change() -> None:
    for directory, names, files in os.walk(INSTALLED):
        for each in (os.path.join(directory, name) for name in [*names, *files, "."]):
            status = os.stat(each)
            assert status.st_uid == 0, each
            assert not status.st_mode & 0o022, each
