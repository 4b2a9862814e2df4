# SPDX-License-Identifier: MIT
"""Files that are not what the image needs, and restarts that fail: nothing is lost, all is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.job.file_jobs import (
    STEPS,
    checkpoint,
    crashed_at,
    hashes,
    python,
    resumed,
    started,
    uninterrupted,
)
from tests.job.kinds.kind import PRELUDE
from tests.support import PREFIX, Running, Site, User, wait_until

# Files that grow, are rewritten, come and go; the first two are open all the time.
_PROGRAM = python(
    "out = open('out', 'w'); state = open('state', 'w+b'); state.write(bytes(4096))\n"
    "for i in steps():\n"
    "    print('step', i, file=out, flush=True)\n"
    "    state.seek(i * 7); state.write(b'%d' % i); state.flush()\n"
    "    os.makedirs('parts', exist_ok=True)\n"
    "    with open(f'parts/{i}', 'w') as part: part.write('x' * i)\n"
    "    if i == 30: os.unlink('parts/10'); os.rename('parts/11', 'parts/eleven')\n"
)
_RULES = "data/state=snapshot;data/parts/**=snapshot"


@pytest.fixture
def crashed(site: Site, user: User) -> Running:
    running = started(site, user, _PROGRAM, _RULES)
    crashed_at(running, 20, 36)
    return running


def _contents(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    """Name → content, mode and time of change of all below data/."""
    return {
        str(file): (file.read_bytes(), file.stat().st_mode, file.stat().st_mtime_ns)
        for file in sorted((directory / "data").rglob("*"))
        if file.is_file()
    }


def _criu(site: Site, restore: str) -> None:
    """A criu whose restores are this shell command."""
    wrapper = site.root / "criu-wrapper"
    real = PREFIX / "lib" / "torqueckpt" / "criu" / "criu"
    wrapper.write_text(f'#!/bin/sh\n[ "$1" != restore ] || {restore}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    site.configure(criu_path=str(wrapper))


def test_the_same_image_restarted_twice_gives_the_same_result(
    site: Site, user: User, crashed: Running
) -> None:
    wanted = uninterrupted(user, _PROGRAM)
    for _ in range(2):
        again = resumed(site, user, crashed, "--generation", "1")
        assert again.process.returncode == 0, again.err()
        assert hashes(crashed.directory) == wanted


def test_two_crashes_with_an_image_after_each(site: Site, user: User, crashed: Running) -> None:
    again = site.resume(user, crashed.job, crashed.directory)
    site.wait_for_restart(again)
    again.wait_for_line(40)
    checkpoint(again, "two")
    again.wait_for_line(50)
    again.crash()
    last = resumed(site, user, again)
    assert last.process.returncode == 0, last.err()
    assert hashes(crashed.directory) == uninterrupted(user, _PROGRAM)


def test_a_restart_that_fails_leaves_all_files_as_they_were(
    site: Site, user: User, crashed: Running
) -> None:
    before = _contents(crashed.directory)
    _criu(site, "exit 1")
    failed = resumed(site, user, crashed)
    assert failed.process.returncode == 125
    assert "restore of generation 1 failed" in failed.err()
    assert _contents(crashed.directory) == before


def test_a_node_that_crashes_in_the_middle_of_a_restart_leaves_nothing_half_done(
    site: Site, user: User, crashed: Running
) -> None:
    before = _contents(crashed.directory)
    _criu(site, f"{{ touch {crashed.directory}/restoring; exec sleep 1000; }}")
    dying = site.resume(user, crashed.job, crashed.directory)
    wait_until((crashed.directory / "restoring").exists)
    assert _contents(crashed.directory) != before
    dying.crash()
    _criu(site, "exit 1")
    assert resumed(site, user, crashed).process.returncode == 125
    assert _contents(crashed.directory) == before
    site.configure()
    again = resumed(site, user, crashed)
    assert again.process.returncode == 0, again.err()
    assert hashes(crashed.directory) == uninterrupted(user, _PROGRAM)


def test_a_resume_of_a_job_that_still_runs_changes_no_file(site: Site, user: User) -> None:
    running = started(site, user, _PROGRAM, _RULES, pause=0.3)
    running.wait_for_line(5)
    checkpoint(running)
    running.wait_for_line(8)
    refused = site.resume(user, running.job, running.directory)
    assert refused.wait_as_it_is() == 125 and "still runs" in refused.err()
    assert running.wait() == 0
    assert hashes(running.directory) == uninterrupted(user, _PROGRAM)


def test_all_that_is_wrong_with_the_files_is_told_at_once_and_nothing_changed(
    site: Site, user: User
) -> None:
    program = python(
        "names = ('long', 'inplace', 'short', 'gone', 'gone2', 'fifo')\n"
        "out = [open(name, 'w+') for name in names]\n"
        "for each in out: each.write('0123456789'); each.flush()\n"
        "for i in steps(): out[0].write('more'); out[0].flush()\n"
    )
    running = started(site, user, program)
    crashed_at(running, 5, 15)
    data = running.directory / "data"
    (data / "inplace").write_text("0123X56789")
    (data / "short").write_text("01234")
    for name in ("gone", "gone2", "fifo"):
        (data / name).unlink()
    os.mkfifo(data / "fifo")
    before = {name: (data / name).read_bytes() for name in ("long", "inplace", "short")}
    refused = resumed(site, user, running)
    told = refused.err()
    assert refused.process.returncode == 125
    for words in (
        f"{data}/gone is missing; {data}/gone2 is missing",
        f"{data}/fifo: is no regular file",
        f"{data}/inplace was rewritten in place since",
        f"{data}/short has 5 bytes, 10 at the checkpoint",
        f"--relocate {data}/gone=NEW",
        "--accept-changed-files",
    ):
        assert words in told
    assert {name: (data / name).read_bytes() for name in before} == before

    (data / "fifo").unlink()
    for name in ("gone", "gone2", "fifo"):
        (data / name).write_text("0123456789")
        shutil.chown(data / name, user.name)
    assert "accept" in resumed(site, user, running).err()
    again = resumed(site, user, running, "--accept-changed-files")
    assert again.process.returncode == 0, again.err()
    assert (data / "inplace").read_text() == "0123X56789"
    assert (data / "long").read_text() == "0123456789" + "more" * 60


def test_a_job_directory_that_was_moved_is_named_with_relocate(
    site: Site, user: User, crashed: Running
) -> None:
    old, new = crashed.directory / "data", user.directory() / "data"
    old.rename(new)
    refused = resumed(site, user, crashed)
    assert f"{old}/out is missing" in refused.err() and f"--relocate {old}=NEW" in refused.err()
    again = resumed(site, user, crashed, "--relocate", f"{old}={new}")
    assert again.process.returncode == 0, again.err()
    assert hashes(new.parent) == uninterrupted(user, _PROGRAM)
    assert not old.exists()


def test_a_scratch_directory_that_went_with_the_job_is_put_back(site: Site, user: User) -> None:
    program = python(
        "here = os.environ['SCRATCH'] + '/deep/er'; os.makedirs(here)\n"
        "out = open(here + '/out', 'w'); os.chdir(here)\n"
        "for i in steps(): out.write(f'{i}\\n'); out.flush()\n"
        "os.rename(here + '/out', os.environ['SCRATCH'] + '/../data/out')\n"
    )
    directory = user.directory()
    scratch = directory / "scratch.1"
    scratch.mkdir()
    shutil.chown(scratch, user.name)
    text = f"mkdir -p data; cd data || exit 9\n{program}"
    variables = f"PAUSE=0.05,SCRATCH={scratch},TORQUECKPT_FILES=$SCRATCH/**=snapshot"
    script = user.script(text, directory)
    running = site.start(user, script, "-c", "enabled", "-v", variables)
    crashed_at(running, 20, 36)
    shutil.rmtree(scratch)
    again = resumed(site, user, running)
    assert again.process.returncode == 0, again.err()
    assert (directory / "data" / "out").read_text() == "".join(f"{n}\n" for n in range(1, 61))


def test_an_append_log_of_several_jobs_is_left_as_it_is(site: Site, user: User) -> None:
    program = python(
        "log = open('log', 'a+'); own = open('own', 'w'); trace = open('trace', 'w')\n"
        "for i in steps():\n"
        "    log.write(f'job {i}\\n'); log.flush(); own.write('x')\n"
        "    trace.write(f'{i}\\n'); trace.flush()\n"
    )
    running = started(site, user, program, "data/trace=append")
    crashed_at(running, 10, 20)
    log = running.directory / "data" / "log"
    with log.open("a") as other:
        other.write("another job\n")
    trace = running.directory / "data" / "trace"
    before, traced = log.read_text(), trace.read_text()
    again = resumed(site, user, running)
    assert again.process.returncode == 0, again.err()
    after = log.read_text()
    assert after.startswith(before) and after.endswith("job 60\n")
    assert (running.directory / "data" / "own").read_text() == "x" * 60
    assert trace.read_text().startswith(traced) and trace.read_text().endswith("\n60\n")


@pytest.mark.parametrize(
    ("rules", "told"),
    [("*.log=rotate", "no policy 'rotate'"), ("justaname", "is not GLOB=POLICY")],
)
def test_a_rule_with_a_slip_is_told_in_one_line_and_the_job_runs_on(
    site: Site, user: User, rules: str, told: str
) -> None:
    running = started(site, user, _PROGRAM, rules)
    running.wait_for_line(2)
    answer = subprocess.run(running.hook_argv(), capture_output=True, text=True)
    assert (answer.returncode, len(answer.stderr.splitlines())) == (69, 1)
    assert told in answer.stderr
    assert running.wait() == 0


def test_a_file_over_the_snapshot_limit_is_said_in_the_manifest(site: Site, user: User) -> None:
    site.configure(snapshot_limit_mib=1)
    program = python(
        "big = open('big', 'w+b'); big.write(bytes(3 << 20)); big.flush()\n"
        "for i in steps(): big.seek(i); big.write(b'x'); big.flush()\n"
    )
    running = started(site, user, program, "data/big=snapshot")
    crashed_at(running, 10, 20)
    shown = site.call(user, "show", running.job)
    assert "big: 3145728 bytes, more than snapshot_limit_mib" in shown.stdout
    refused = resumed(site, user, running)
    assert "big was rewritten in place since" in refused.err()


def test_a_rule_that_names_very_many_files_looks_after_some_and_says_so(
    site: Site, user: User
) -> None:
    program = python(
        "os.mkdir('many')\n"
        "for n in range(1100): open(f'many/{n}', 'w').write('x' * n)\n"
        "for i in steps(): open('many/late', 'w').write('y')\n"
    )
    running = started(site, user, program, "data/many/*=snapshot", pause=0.3)
    crashed_at(running, 4, 8)
    shown = json.loads(site.call(user, "show", running.job, "--json").stdout)
    assert len(shown["watched"]) == 1000 and "too many files" in shown["remarks"][0]
    again = resumed(site, user, running)
    assert again.process.returncode == 0, again.err()
    assert len(hashes(running.directory)) == 1101


def test_copies_go_with_the_images_that_need_them_and_unchanged_files_are_not_copied_again(
    site: Site, user: User
) -> None:
    program = python(
        "open('still', 'w').write('x'); time.sleep(3)\n"
        "end, i = os.environ['PBS_O_WORKDIR'] + '/may-end', 0\n"
        "while not os.path.exists(end):\n"
        "    i += 1; os.write(1, b'line %d\\n' % i); open('changing', 'w').write(f'{i}')\n"
        "    time.sleep(0.05)\n"
    )
    script = user.script(f"mkdir -p data; cd data || exit 9\n{program}", user.directory())
    variables = "TORQUECKPT_FILES=data/*=snapshot"
    running = site.start(user, script, "-c", "enabled", "-v", variables)
    seen = []
    for turn in range(1, 5):
        running.wait_for_line(running.spooled().count("\n") + 3)
        checkpoint(running, f"turn{turn}")
        shown = json.loads(site.call(user, "show", running.job, "--json").stdout)
        seen.append({Path(each["path"]).name: each["copy"] for each in shown["watched"]})
    assert len({each["still"] for each in seen}) == 1
    assert len({each["changing"] for each in seen}) == 4
    copies = {each.name for each in (site.lineage(running.job) / "copies").iterdir()}
    assert copies == {name for each in seen[-3:] for name in each.values()}
    running.crash()
    assert resumed(site, user, running).process.returncode == 0


def test_shared_memory_that_went_with_the_node_is_put_back(site: Site, user: User) -> None:
    name = f"/dev/shm/{user.name}"
    program = python(
        f"fd = os.open({name!r}, os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 8192)\n"
        "shared = mmap.mmap(fd, 8192); os.close(fd)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    for i in range(1 << 30): shared[4096] = i % 256; time.sleep(0.01)\n"
        "for i in steps(): shared[i] = (shared[i - 1] + 7) % 256\n"
        "open('result', 'wb').write(shared[:100])\n"
        f"os.unlink({name!r}); os.kill(child, 9)\n"
    )
    running = started(site, user, program)
    crashed_at(running, 10, 25)
    again = resumed(site, user, running)
    result = (running.directory / "data" / "result").read_bytes()
    assert result == bytes((7 * i) % 256 if i <= STEPS else 0 for i in range(100)), again.err()


def test_preflight_names_files_that_could_not_be_brought_back(site: Site, user: User) -> None:
    site.configure(snapshot_limit_mib=1)
    program = python(
        "both = open('both', 'w+b'); log = open('log', 'w'); copied = open('copied', 'w+b')\n"
        "big = open('big', 'w+b'); big.write(bytes(2 << 20)); big.flush()\n"
        "for i in steps(): log.write('x')\n"
    )
    running = started(site, user, program, "data/big=snapshot;data/copied=snapshot")
    running.wait_for_line(2)
    told = json.loads(site.call(user, "preflight", running.job, "--json").stdout)["findings"]
    data = running.directory / "data"
    found = {Path(each["object"]).name: each for each in told if str(data) in each["object"]}
    assert {name: each["severity"] for name, each in found.items()} == {
        "both": "note",
        "big": "hazard",
    }
    assert f"TORQUECKPT_FILES={data}/both=snapshot" in found["both"]["remedy"]
    assert running.wait() == 0


def test_a_watched_directory_that_is_gone_is_named_and_made_again_it_is_watched(
    site: Site, user: User
) -> None:
    directory = user.directory()
    (directory / "watched").mkdir()
    os.chown(directory / "watched", user.uid, user.gid)
    program = PRELUDE + (
        "made = call(libc.inotify_init())\n"
        'call(libc.inotify_add_watch(made, b"watched", 0x100))\n'
        'print("watching", flush=True)\n'
        "os.read(made, 1000)\n"
        'print("seen", flush=True)\n'
        "raise SystemExit(7)\n"
    )
    running = site.start(user, user.script(program, directory), "-c", "enabled")
    wait_until(lambda: running.spooled() == "watching\n")
    assert site.call(user, "checkpoint", running.job).returncode == 0
    running.crash()
    (directory / "watched").rmdir()
    failed = site.resume(user, running.job, directory)
    assert failed.wait() == 125
    assert f"{directory}/watched, which it watches, cannot be opened" in failed.err()
    (directory / "watched").mkdir()
    resumed_ = site.resume(user, running.job, directory)
    site.wait_for_restart(resumed_)
    (directory / "watched" / "new").touch()
    assert (resumed_.wait(), resumed_.out()) == (7, "watching\nseen\n")
