# SPDX-License-Identifier: MIT
"""What an honest criu reads of a user's, and what root reads of what an evil one has left there."""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evil.evil_criu import EvilCriu
from tests.support import LIMIT_SECONDS, Running, Site, User, counting

_IN_OPEN = 0x20


@pytest.fixture
def running(site: Site, user: User, evil: EvilCriu) -> Running:
    started = site.start(user, user.script(counting(), user.directory()), "-c", "enabled")
    started.wait_for_line(1)
    assert subprocess.run(started.hook_argv(name="good")).returncode == 0
    return started


class Watched:
    """A file under several names, and whether anybody has opened it by any of them."""

    def __init__(self, file: Path) -> None:
        self.file, self._libc = file, ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        assert self._libc.inotify_add_watch(self._fd, os.fsencode(file), _IN_OPEN) > 0

    def opened(self) -> bool:
        return bool(select.select([self._fd], [], [], 0)[0])

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def trap(user: User) -> Iterator[Watched]:
    """What criu would read if it looked there: harmless as a configuration, no kdat at all."""
    place = user.directory()
    made = Watched(user.script("# nothing\n", place, "trap"))
    home = user.home / ".criu"
    home.mkdir()
    os.link(made.file, home / "default.conf")
    yield made
    made.close()
    shutil.rmtree(home)


# Before it becomes criu: the trap as criu.kdat wherever it may write.
_PLANTS = """#!/bin/sh
work=$(tr '\\0' '\\n' </proc/$PPID/cmdline | grep -A1 -- --work-dir | tail -n1)
for place in "$work" "$XDG_RUNTIME_DIR" "/run/user/$(id -u)" /tmp /run; do
    ln -f {trap} "$place/criu.kdat" 2>/dev/null && echo "$1 $place" >>{place}/planted
done
exit 0
"""


def test_no_cache_of_offsets_and_no_configuration_of_the_owners_is_read(
    site: Site, user: User, evil: EvilCriu, running: Running, trap: Watched
) -> None:
    place = user.directory()
    plants = user.script(_PLANTS.format(trap=trap.file, place=place), place)
    plants.chmod(0o755)
    evil.tell("go", tries="no", before=plants)
    evil.in_place()
    try:
        assert subprocess.run(running.hook_argv(name="a")).returncode == 0
        assert not trap.opened()
        assert site.call(None, "hold", running.job).returncode == 0
        assert site.call(None, "release", running.job).returncode == 0
        site.wait_for_restart(running)
        assert not trap.opened()
    finally:
        for name in ("/tmp/criu.kdat", "/run/criu.kdat"):
            Path(name).unlink(missing_ok=True)
    planted = (place / "planted").read_text().splitlines()
    assert {line.split()[0] for line in planted} == {"dump", "restore"}
    assert any(line.endswith("/work") for line in planted)
    trap.file.read_text()
    assert trap.opened()
    evil.out_of_place()
    evil.unharmed(running)


def test_what_holds_its_output_without_any_rights_keeps_no_restart_waiting(
    site: Site, user: User, evil: EvilCriu, running: Running
) -> None:
    place = user.directory()
    holder = user.script("#!/bin/sh\nsetsid sleep 6000 &\n", place)
    holder.chmod(0o755)
    assert site.call(None, "hold", running.job).returncode == 0
    evil.tell("go", tries="no", before=holder, quiet="yes")
    evil.in_place(restore_timeout_seconds=2 * LIMIT_SECONDS)
    assert site.call(None, "release", running.job).returncode == 0
    site.wait_for_restart(running)
    evil.out_of_place()
    evil.unharmed(running)


_AFTER = """#!/bin/bash
tr '\\0' '\\n' </proc/$PPID/cmdline >{place}/words
work=$(grep -A1 -- --work-dir {place}/words | tail -n1)
image=$(grep -A1 -- --images-dir {place}/words | tail -n1)
new=${{work%/*}}
lineage=${{new%/*}}
exec >/dev/null 2>&1
{what}
exit 0
"""
_LEFT = {
    "logs that are pipes": "rm -f $work/*.log; mkfifo $work/dump.log",
    "a log of root's": "rm -f $work/*.log; ln -s {secret} $work/dump.log",
    "a log without an end": "rm -f $work/*.log; truncate -s 4T $work/dump.log",
    "figures that are a pipe": "rm -f $work/stats-dump; mkfifo $work/stats-dump",
    "figures of root's": "rm -f $work/stats-dump; ln -s {secret} $work/stats-dump",
    "figures without an end": "truncate -s 4T $work/stats-dump",
    "an image file of root's": "ln -sf {secret} $image/files.img",
    "an image file that is a pipe": "rm $image/files.img; mkfifo $image/files.img",
    "a directory of root's as the image": "mv $image $image.old; ln -s /root $image",
    "a directory of root's as the work": "mv $work $work.old; ln -s /root $work",
    "a manifest of root's": "for f in manifest.json{{,.new}}; do ln -s {secret} $new/$f; done",
    "a manifest that is a pipe": "mkfifo $new/manifest.json $new/manifest.json.new",
    "a log of the generation that is root's": "ln -s {secret} $new/log",
    "an index of root's": "ln -sf {secret} $lineage/index.json.new",
    "another's generation": "mv $new $new.mine; mkdir -p $new/work; ln -s {others} $new/image",
    "nothing": "rm -rf $new",
    "the output so far, root's": "mv $lineage/output $lineage/mine; ln -s /root $lineage/output",
}


@pytest.mark.parametrize("then", ["go", "fail"])
def test_what_it_leaves_in_its_directories_leads_root_nowhere(
    site: Site, user: User, other_user: User, evil: EvilCriu, running: Running, then: str
) -> None:
    """Each is a checkpoint that fails, or not; root's file is not read, written, nor waited for."""
    place = user.directory()
    others = site.store / "jobs" / other_user.name
    evil.in_place()
    before = _seen(evil.secret)
    left = {name: what for name, what in _LEFT.items() if then == "go" or " log" in f" {name}"}
    for number, (name, what) in enumerate(left.items()):
        text = _AFTER.format(place=place, what=what.format(secret=evil.secret, others=others))
        script = user.script(text, place, f"after-{number}")
        script.chmod(0o755)
        evil.tell(then, tries="no", after=script)
        words = running.hook_argv(name=f"{then}{number}")
        done = subprocess.run(words, capture_output=True, text=True)
        assert _seen(evil.secret) == before, name
        assert "root's own" not in done.stdout + done.stderr, name
        assert "Traceback" not in done.stderr and done.returncode != 70, (name, done.stderr)
        assert evil.tried()[-1].what == "after", name
    assert "root's own" not in _all_text(site.store / "jobs" / user.name)
    evil.out_of_place()
    if then == "go":
        (site.lineage(running.job) / "output").unlink()
        (site.lineage(running.job) / "mine").rename(site.lineage(running.job) / "output")
    assert subprocess.run(running.hook_argv(name="last")).returncode == 0
    evil.nothing_is_changed()
    evil.unharmed(running)


def _seen(file: Path) -> tuple[int, ...]:
    status = os.stat(file)
    return status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _all_text(place: Path) -> str:
    found = []
    for directory, _, names in os.walk(place):
        for file in (Path(directory, name) for name in names):
            if file.is_file() and not file.is_symlink() and file.stat().st_size < 1 << 20:
                found.append(file.read_text(errors="replace"))
    return "".join(found)
