# SPDX-License-Identifier: MIT
"""criu.c in criu's place: what it is told, what it has tried, what must hold afterwards."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.evil.allowed import Try, free_to_all, gained
from tests.support import INSTALLED, LIMIT_SECONDS, Running, Site, User, lines

SECRET = "root's own\n"
_KEYCTL, _ADD_KEY = 250, 248  # x86-64
_JOIN, _SESSION = 1, -3
_BY_HIMSELF: dict[int, list[Try]] = {}  # of each uid


class EvilCriu:
    """The program, its plan and notes, and files that nobody may reach by it."""

    def __init__(self, site: Site, user: User, other_user: User, program: Path) -> None:
        self.site, self.user = site, user
        place = site.root / "evil"
        place.mkdir()
        self.program, self._plan = place / "criu", place / "plan"
        shutil.copy(program, self.program)
        self._notes = place / "notes"
        self._notes.touch()
        self._notes.chmod(0o666)  # doctor's check is nobody's
        self.secret = Path("/root") / f"{site.root.name}-secret"
        self.secret.write_text(SECRET)
        self.secret.chmod(0o600)
        others = site.store / "jobs" / other_user.name
        others.mkdir(mode=0o700)
        (others / "journal").write_text("another's\n")
        for each in (others, others / "journal"):
            os.chown(each, other_user.uid, other_user.gid)
        other_user.home.chmod(0o700)
        self._others_process = subprocess.Popen(other_user.argv("/bin/sleep", "6000"))
        etc = site.root / "etc"
        self._words = {
            "notes": [self._notes],
            "real": [INSTALLED / "criu" / "criu"],
            "door": [site.root / "lib" / "torqueckpt" / "rootdoor"],
            "other": [other_user.uid],
            "enter": [Path("/root"), other_user.home, others],
            "read": [
                *(self.secret, others / "journal", etc / "signature.key", Path("/etc/shadow")),
                *map(Path, ("/dev/mem", "/dev/kmsg", "/proc/kcore", "/proc/1/environ")),
            ],
            "write": [
                *(self.secret, others / "journal", etc / "torqueckpt.toml", self._plan),
                *(self.program, site.program, site.store / "evil", others / "evil"),
                *map(Path, ("/etc/passwd", "/etc/sudoers.d/evil", "/etc/cron.d/evil", "/run/evil")),
                *map(Path, ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger")),
            ],
        }
        self.tell("go")

    def tell(self, then: str, **more: object) -> None:
        """Once all was tried it shall go (on as criu) or fail; more: other words of its plan."""
        words = {"then": [then], **self._words, **{name: [text] for name, text in more.items()}}
        lines = (f"{name} {word}\n" for name, each in words.items() for word in each)
        self._plan.write_text("".join(lines))

    def in_place(self, **settings: object) -> None:
        """From now on it is the site's criu."""
        self.site.configure(criu_path=str(self.program), **settings)

    def out_of_place(self, **settings: object) -> None:
        self.site.configure(**settings)

    def tried(self) -> list[Try]:
        """All since the last call of this."""
        lines = self._notes.read_text(errors="replace").splitlines()
        self._notes.write_text("")
        root = self.site.root
        same = (line.replace(str(root), "SITE").replace(root.name, "SITE") for line in lines)
        rows = (line.split("\t") for line in same)
        return [Try(verb, what, int(result), more) for verb, what, result, more in rows]

    def by_himself(self) -> list[Try]:
        """What the same program gets when the user starts it, with his own rights alone.

        It is the same for all sites: it runs once for each user.
        """
        if self.user.uid not in _BY_HIMSELF:
            self.tried()
            plan = self._plan.read_text()
            self.tell("fail")
            his = subprocess.Popen(self.user.argv("/bin/sleep", "6000"))
            with open(os.devnull, "r+") as null:
                call = self.user.argv(self.program, "by himself")
                streams = {"stdin": null, "stdout": null, "stderr": null}
                subprocess.run(call, preexec_fn=_join_new_keyring, **streams)
            his.kill()
            his.wait()
            self._plan.write_text(plan)
            _BY_HIMSELF[self.user.uid] = self.tried()
            assert free_to_all(_BY_HIMSELF[self.user.uid]) == []
        return _BY_HIMSELF[self.user.uid]

    def gained_nothing(self, way: str, *verbs: str) -> None:
        """It was started in this way, has tried all as each of the verbs, and got nothing by it."""
        found = self.tried()
        done = {each.verb for each in found if each.what == "all was tried"}
        left = self._left_in_the_end()
        got = gained(found, self.by_himself(), self.user.uid)
        _report(way, found, got, left)
        assert set(verbs) <= done, f"{way}: {done}"
        assert got == [] and left == [], f"{way}: {got}, {left}"
        self.nothing_is_changed()

    def left_with_rights(self) -> list[str]:
        """Of its processes, those that still have capabilities once the way has ended."""
        return [told for pid in self.user.processes() if (told := _capable(pid))]

    def _left_in_the_end(self) -> list[str]:
        until = time.monotonic() + LIMIT_SECONDS
        while (left := self.left_with_rights()) and time.monotonic() < until:
            time.sleep(0.05)
        return left

    def nothing_is_changed(self) -> None:
        assert self.secret.read_text() == SECRET
        for place in ("/etc/sudoers.d/evil", "/etc/cron.d/evil", "/run/evil"):
            assert not os.path.lexists(place)

    def unharmed(self, running: Running) -> None:
        """The job runs, its last image is whole, and it ends as if nothing had been."""
        assert running.process.poll() is None
        verified = self.site.call(self.user, "verify", running.job)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert running.wait() == 7, running.stderr.read_text()
        assert running.out() == lines(30)

    def remove(self) -> None:
        self.user.kill_all()
        self._others_process.kill()
        self._others_process.wait()
        self.secret.unlink()


def _capable(pid: int) -> str:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    held = [name for name in ("CapPrm", "CapEff", "CapInh", "CapAmb") if int(fields[name], 16)]
    if not held or fields["State"][0] in "ZX":
        return ""
    return f"{pid} {fields['Name']} {' '.join(f'{name} {fields[name]}' for name in held)}"


def _report(way: str, found: list[Try], got: list[str], left: list[str]) -> None:
    """For a table of all ways: appended to the file that TORQUECKPT_EVIL names."""
    name = os.environ.get("TORQUECKPT_EVIL")
    if name:
        with open(name, "a") as file:
            file.write(f"{way}: {len(found)} tries, {len(got)} of them got what they may not\n")
            file.writelines(f"    {each}\n" for each in [*got, *(f"left: {one}" for one in left)])
        with open(name + ".all", "a") as file:
            file.writelines(f"{way}: {each.told()}\n" for each in found)


@contextmanager
def keyring_of_roots() -> Iterator[None]:
    """Inside, what is started here has a session keyring with a key of root's, as a daemon may."""
    _join_new_keyring()
    secret = b"secret"
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(_ADD_KEY, b"user", b"torqueckpt-evil", secret, len(secret), _SESSION)
    try:
        yield
    finally:
        _join_new_keyring()


def _join_new_keyring() -> None:
    ctypes.CDLL(None, use_errno=True).syscall(_KEYCTL, _JOIN, None)
