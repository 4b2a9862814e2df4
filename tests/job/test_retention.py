# SPDX-License-Identifier: MIT
"""Images that are not kept any more go, those that a job needs stay; and a store that has no room
says so before the job is touched."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import Running, Site, User, alive, counting, lines, python_counting, wait_until


def big(mebibytes: int, last: int) -> str:
    """A job with so much memory."""
    return (
        "#!/usr/bin/python3\nimport os, time\n"
        f"block = os.urandom(1 << 20) * {mebibytes}\n"
        f"{python_counting(last)}raise SystemExit(7)\n"
    )


LARGER = big(3, 100)


def start(site: Site, user: User, text: str = "", last: int = 60) -> Running:
    script = user.script(text or counting(last), user.directory())
    running = site.start(user, script, "-c", "enabled,depth=9")
    running.wait_for_line(1)
    return running


def checkpoint(running: Running, *names: str) -> None:
    for name in names:
        answer = subprocess.run(running.hook_argv(name=name, depth="9"), capture_output=True)
        assert answer.returncode == 0, answer.stderr


def pruned(site: Site, user: User | None = None, *words: str) -> list[dict[str, Any]]:
    answer = site.call(user, "prune", "--json", *words)
    assert answer.returncode == 0, answer.stderr
    found: list[dict[str, Any]] = json.loads(answer.stdout)
    return found


def generations(site: Site, running: Running) -> list[int]:
    return [row["generation"] for row in site.rows(running.job)]


def long_ago(site: Site, running: Running, days: int) -> None:
    """It was over that long ago."""
    (site.lineage(running.job) / "over").write_text(str(int(time.time()) - days * 86400))


def test_a_running_job_keeps_its_newest_image_whatever_the_limits(site: Site, user: User) -> None:
    running = start(site, user)
    checkpoint(running, "a", "b", "c")
    strict = {"user_quota_mib": 1, "store_limit_mib": 1, "reserve_mib": 10**9}
    site.configure(**strict, keep_ended_days=1)
    would_go = pruned(site, None, "--dry-run")
    assert [each["generations"] for each in would_go] == [[1], [2]]
    assert generations(site, running) == [1, 2, 3]
    assert pruned(site) == would_go
    assert generations(site, running) == [3]
    assert pruned(site) == []
    link = site.store / f"{running.exec_pid()}.{running.job}"
    assert (link / "inventory.img").exists()
    site.configure()
    running.crash()
    again = site.resume(user, running.job, running.directory)
    assert again.wait() == 7, again.err()
    assert again.out() == lines(60)


def test_a_job_that_is_over_goes_with_all_it_left_after_its_grace(site: Site, user: User) -> None:
    running = start(site, user, last=30)
    checkpoint(running, "a")
    assert running.wait() == 7
    assert pruned(site) == []  # seen for the first time
    assert pruned(site) == []
    lineage = site.lineage(running.job)
    long_ago(site, running, 8)
    assert [each["all"] for each in pruned(site, user)] == [True]
    assert not lineage.exists()
    assert site.rows() == []
    assert list((site.store / "jobs" / user.name / "ids").iterdir()) == []
    pruned(site)
    assert not [each for each in os.listdir(site.store) if each.endswith(running.job)]


def test_a_job_that_crashed_can_be_resumed_within_its_grace_and_is_not_over_then(
    site: Site, user: User
) -> None:
    running = start(site, user)
    checkpoint(running, "a")
    running.crash()
    pruned(site)
    long_ago(site, running, 6)
    assert pruned(site) == []
    again = site.resume(user, running.job, running.directory)
    again.wait_for_line(10)
    long_ago(site, running, 99)

    def is_over_no_more() -> bool:
        """Once the restart has let go of the lock: until then a prune passes by."""
        assert pruned(site) == []
        return not (site.lineage(running.job) / "over").exists()

    wait_until(is_over_no_more)
    assert again.wait() == 7


def test_a_held_job_has_no_process_and_keeps_its_image(site: Site, user: User) -> None:
    running = start(site, user)
    checkpoint(running, "a")
    assert site.call(None, "hold", running.job).returncode == 0
    site.configure(keep_ended_days=1, keep_days=1, user_quota_mib=1, reserve_mib=10**9)
    pruned(site)
    long_ago(site, running, 99)
    pruned(site)
    assert generations(site, running) == [2]
    assert site.call(user, "held", running.job).returncode == 0
    site.configure()
    assert site.call(None, "release", running.job).returncode == 0
    assert running.wait() == 7
    assert running.out() == lines(60)


def test_the_newest_is_damaged_and_so_the_older_one_stays(site: Site, user: User) -> None:
    running = start(site, user, LARGER)
    checkpoint(running, "a", "b")
    pages = next((site.lineage(running.job) / "2" / "image").glob("pages-*.img"))
    data = bytearray(pages.read_bytes())
    data[len(data) // 2] ^= 1
    pages.write_bytes(data)
    site.configure(user_quota_mib=1)
    answer = site.call(None, "prune")
    assert "image damaged" in answer.stderr
    assert generations(site, running) == [1, 2]


def test_while_somebody_is_at_a_lineage_it_is_left_alone(site: Site, user: User) -> None:
    running = start(site, user, LARGER)
    checkpoint(running, "a", "b")
    site.configure(user_quota_mib=1)
    lock = site.lineage(running.job) / "lock"
    holder = subprocess.Popen(["/usr/bin/flock", "-F", lock, "/bin/sleep", "6000"])
    try:
        wait_until(lambda: f" {lock.stat().st_ino} " in _locks())
        assert pruned(site) == []
    finally:
        holder.kill()
        holder.wait()
    assert [each["generations"] for each in pruned(site)] == [[1]]


def _locks() -> str:
    return Path("/proc/locks").read_text().replace(":", " ")


def test_a_user_prunes_his_own_and_nobody_elses(site: Site, user: User, other_user: User) -> None:
    first, second = start(site, user, LARGER), start(site, other_user, LARGER)
    checkpoint(first, "a", "b")
    checkpoint(second, "a", "b")
    site.configure(user_quota_mib=1)
    assert [each["owner"] for each in pruned(site, other_user)] == [other_user.name]
    assert site.call(other_user, "prune", "--user", user.name).returncode == 77
    assert generations(site, first) == [1, 2]


def test_what_a_killed_hook_has_left_is_swept(site: Site, user: User) -> None:
    running = start(site, user)
    checkpoint(running, "a")
    left = site.lineage(running.job) / "2.partial" / "image"
    left.mkdir(parents=True)
    os.chown(left, user.uid, user.gid)
    os.chown(left.parent, user.uid, user.gid)
    pruned(site)
    assert not left.parent.exists()


@pytest.mark.parametrize("short", ["room", "reserve", "quota"])
def test_a_store_without_room_says_so_before_the_job_is_touched(
    site: Site, user: User, short: str
) -> None:
    small = site.root / "small"
    small.mkdir()
    subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=100M,mode=755", "tmpfs", small], check=True
    )
    try:
        (small / "jobs").mkdir()
        mebibytes = 150 if short == "room" else 40
        reserve = 80 if short == "reserve" else 1
        quota = 30 if short == "quota" else 0
        options = {"store": str(small), "reserve_mib": reserve, "user_quota_mib": quota}
        site.configure(**options)
        running = start(site, user, big(mebibytes, 40))
        wait_until(lambda: _resident_mib(running.exec_pid()) > mebibytes)
        answer = subprocess.run(running.hook_argv(), capture_output=True, text=True)
        assert answer.returncode == 31
        assert ("may have 30 MiB" if short == "quota" else "the next image needs") in answer.stderr
        lineage = next((small / "jobs" / user.name).glob("*@*"))
        assert not [each for each in os.listdir(lineage) if each[0].isdigit()]
        assert not (lineage / "failed-dump.log").exists()  # nothing was dumped
        assert alive(running.exec_pid())
        assert running.wait() == 7
        assert running.out() == lines(40)
    finally:
        subprocess.run(["/bin/umount", "--lazy", small], check=True)


def _resident_mib(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") >> 20
