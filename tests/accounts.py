# SPDX-License-Identifier: MIT
"""Users for tests, made and removed again; while one is there, no other test's user has its uid.

Tests end processes, look through stores and remove shared memory by uid, and useradd would give the
uid of a removed user to the next new one: to another worker's, or another run's.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import random
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.support import User

BEGINNING = "tckpt"  # of each name: nobody takes such a user for one of the machine's own
_UIDS = range(20_000, 60_000)
_LOCKS = "/run/users-of-torqueckpts-tests"  # its byte N is locked while a test has uid N
_CHANGES = 0  # and this one while /etc/passwd is changed: useradd itself waits for 15 s only


def new_name(ending: str = "") -> str:
    return f"{BEGINNING}{secrets.token_hex(3)}{ending}"


@contextmanager
def users(*names: str) -> Iterator[list[User]]:
    """Ordinary users with a shell and a home; in the end their processes go with them."""
    made: list[User] = []
    try:
        for name in names:
            made.append(_added(name))
        yield made
    finally:
        for user in made:
            user.kill_all()
            change("userdel", "-r", user.name)
            fcntl.lockf(_locks(), fcntl.LOCK_UN, 1, user.uid)


def change(program: str, *words: str) -> None:
    """Run what changes /etc/passwd or /etc/group while no other test does."""
    fcntl.lockf(_locks(), fcntl.LOCK_EX, 1, _CHANGES)
    try:
        path = "/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run([program, *words], capture_output=True, text=True, env={"PATH": path})
    finally:
        fcntl.lockf(_locks(), fcntl.LOCK_UN, 1, _CHANGES)
    assert done.returncode == 0, f"{program} {words}: {done.stderr}"


def _added(name: str) -> User:
    uid = _uid_of_nobody()
    change("useradd", "-m", "-s", "/bin/bash", "-u", str(uid), name)
    entry = pwd.getpwnam(name)
    return User(name, uid, entry.pw_gid, Path(entry.pw_dir))


def _uid_of_nobody() -> int:
    """Locked, and any one: what an earlier user has left on a disk is not the next one's."""
    while True:
        uid = random.choice(_UIDS)
        try:
            fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, uid)
        except OSError:
            continue
        if not _taken(uid):
            return uid
        fcntl.lockf(_locks(), fcntl.LOCK_UN, 1, uid)


def _taken(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return bool(User("", uid, uid, Path("/")).processes())
    return True


@cache
def _locks() -> int:
    """Never closed: a process that closes such a file loses all of its locks on it."""
    return os.open(_LOCKS, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
