# SPDX-License-Identifier: MIT
"""The job's output is complete from its first line, and no generation loses what it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.unit import samples
from torqueckpt.files import stdio
from torqueckpt.manifest import Stream
from torqueckpt.process import proc, tree
from torqueckpt.safe_files import Directory

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Directory]:
    (tmp_path / "output").mkdir()
    with Directory.open((tmp_path / "output").resolve()) as opened:
        yield opened


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    file = tmp_path / "12.srv.OU"
    file.touch()
    return file


def _append(file: Path, data: bytes) -> None:
    with open(file, "ab") as opened:
        opened.write(data)


def _grow(output: Directory, file: Path, size: int | None = None, **changes: object) -> Stream:
    """As a checkpoint does it, with `size` bytes in the file at the freeze."""
    stream = samples.stream(file, **changes)
    source = os.open(file, os.O_RDONLY)
    try:
        return stdio.grow(output, stream, source, file.stat().st_size if size is None else size)
    finally:
        os.close(source)


def _replayed(output: Directory, stream: Stream, target: Path) -> bytes:
    """As a restart does it, into a file that is open for appending."""
    fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        stdio.replay(output, stream, fd)
    finally:
        os.close(fd)
    return target.read_bytes()


def test_output_grows_from_generation_to_generation_and_each_replays_its_own(
    output: Directory, spool: Path, tmp_path: Path
) -> None:
    sizes = []
    for n in range(3):
        _append(spool, b"line %d\n" % n)
        sizes.append(_grow(output, spool))
    assert [each.size for each in sizes] == [7, 14, 21]
    assert output.names() == ["stdout"]
    for n, stream in enumerate(sizes):
        text = b"".join(b"line %d\n" % m for m in range(n + 1))
        assert _replayed(output, stream, tmp_path / f"new{n}") == text


def test_what_was_written_after_the_freeze_is_not_kept(output: Directory, spool: Path) -> None:
    _append(spool, b"before\nafter\n")
    stream = _grow(output, spool, size=7)
    assert stream.size == 7
    assert output.read("stdout") == b"before\n"


def test_replay_puts_the_output_behind_what_the_new_job_has_written_already(
    output: Directory, spool: Path, tmp_path: Path
) -> None:
    _append(spool, b"old\n")
    stream = _grow(output, spool)
    (tmp_path / "new").write_bytes(b"prologue\n")
    assert _replayed(output, stream, tmp_path / "new") == b"prologue\nold\n"


def test_a_resumed_jobs_output_counts_from_where_it_begins_in_its_file(
    output: Directory, spool: Path, tmp_path: Path
) -> None:
    _append(spool, b"old\n")
    first = _grow(output, spool)
    new = tmp_path / "13.srv.OU"
    new.write_bytes(b"prologue\n")
    _replayed(output, first, new)
    _append(new, b"new\n")
    second = _grow(output, new, base=9)
    assert second.size == 8
    assert output.read("stdout") == b"old\nnew\n"


def test_large_output_is_copied_whole(output: Directory, spool: Path, tmp_path: Path) -> None:
    data = os.urandom(3 * 1024 * 1024 + 17)
    spool.write_bytes(data)
    assert _replayed(output, _grow(output, spool), tmp_path / "new") == data


def test_each_byte_of_the_output_that_is_put_back_is_told(
    output: Directory, spool: Path, tmp_path: Path
) -> None:
    spool.write_bytes(bytes(3 * 1024 * 1024 + 17))
    told: list[int] = []
    with open(tmp_path / "new", "w+b") as new:
        stdio.replay(output, _grow(output, spool), new.fileno(), told.append)
    assert (len(told), sum(told)) == (4, 3 * 1024 * 1024 + 17)


def test_a_job_that_shortened_its_output_does_not_shorten_that_of_older_generations(
    output: Directory, spool: Path, tmp_path: Path
) -> None:
    _append(spool, b"a long first line\n")
    first = _grow(output, spool)
    spool.write_bytes(b"short\n")
    second = _grow(output, spool)
    assert second.kept != first.kept
    assert _replayed(output, first, tmp_path / "one") == b"a long first line\n"
    assert _replayed(output, second, tmp_path / "two") == b"short\n"


def test_a_source_shorter_than_an_old_offset_is_kept_as_it_is_without_a_hole(
    output: Directory, spool: Path
) -> None:
    """A job that has emptied its output and written nothing since: its offset is the old one."""
    _append(spool, b"short")
    assert _grow(output, spool, size=100).size == 5
    assert output.read("stdout") == b"short"


def test_a_kept_file_that_lost_bytes_is_an_error_and_no_hole(
    output: Directory, spool: Path, tmp_path: Path
) -> None:
    _append(spool, b"0123456789")
    stream = _grow(output, spool)
    os.truncate(output.path / "stdout", 4)
    with pytest.raises(OSError, match="shorter than it was"):
        stdio.branch(output, stream, 0)
    with pytest.raises(OSError, match="shorter than it was"):
        _replayed(output, stream, tmp_path / "new")
    assert output.read("stdout") == b"0123"


def test_going_on_from_the_newest_generation_takes_its_kept_file(
    output: Directory, spool: Path
) -> None:
    _append(spool, b"0123456789")
    stream = _grow(output, spool)
    _append(output.path / "stdout", b"of a checkpoint that failed")
    assert stdio.branch(output, stream, 0) == "stdout"
    assert output.read("stdout") == b"0123456789"


def test_going_on_from_an_older_generation_does_not_hurt_the_newer_ones(
    output: Directory, spool: Path, tmp_path: Path
) -> None:
    _append(spool, b"one\n")
    older = _grow(output, spool)
    _append(spool, b"two\n")
    newer = _grow(output, spool)
    kept = stdio.branch(output, older, newer.size)
    assert kept != newer.kept
    new = tmp_path / "13.srv.OU"
    _replayed(output, older._replace(kept=kept), new)
    _append(new, b"other\n")
    third = _grow(output, new, kept=kept)
    assert _replayed(output, third, tmp_path / "c") == b"one\nother\n"
    assert _replayed(output, newer, tmp_path / "b") == b"one\ntwo\n"
    assert _replayed(output, older, tmp_path / "a") == b"one\n"
    again = stdio.branch(output, older, newer.size)
    assert again not in (kept, newer.kept)


def test_streams_of_a_process_are_its_regular_files_and_joined_ones_are_one(
    started: Start, tmp_path: Path
) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    with open(out, "ab") as to_out, open(err, "ab") as to_err:
        both = started("/bin/sleep", "60", stdout=to_out, stderr=to_err)
        joined = started("/bin/sleep", "60", stdout=to_out, stderr=to_out)
    pipes = started("/bin/sleep", "60", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert stdio.of_job("12.srv", both.pid, []) == (
        samples.stream(out),
        samples.stream(err, name="stderr", kept="stderr"),
    )
    assert stdio.of_job("12.srv", joined.pid, []) == (samples.stream(out),)
    assert stdio.of_job("12.srv", pipes.pid, []) == ()


def _names(*processes: subprocess.Popen[bytes]) -> list[str]:
    found = (proc.stat(each.pid) for each in processes)
    return [each.name for each in found if each is not None]


@pytest.mark.parametrize("shell", ["csh", "tcsh", "bsd-csh"])
def test_a_c_shell_that_leads_the_session_has_moved_its_output(
    started: Start, tmp_path: Path, shell: str
) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    program = shutil.copy("/bin/sleep", tmp_path / shell)
    move = f'exec 17>>"{out}" 18>>"{err}" 1>&- 2>&-; exec "{program}" 60'
    leader = started("/bin/bash", "-c", move)
    another = started("/bin/bash", "-c", move.replace(str(program), "sleep"))
    wait_until(lambda: _names(leader, another) == [shell, "sleep"])
    assert stdio.of_job("12.srv", leader.pid, []) == (
        samples.stream(out),
        samples.stream(err, name="stderr", kept="stderr"),
    )
    assert stdio.of_job("12.srv", another.pid, []) == ()


def test_moms_spool_files_of_this_job_are_its_output_wherever_the_tree_has_them(
    started: Start, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    out, err, others = (spool / name for name in ("12.srv.OU", "12.srv.ER", "123.srv.OU"))
    log = tmp_path / "my.log"
    with open(log, "ab") as to_log:
        leader = started("/bin/sleep", "60", stdout=to_log, stderr=subprocess.DEVNULL)
    shell = started("/bin/bash", "-c", f'exec 5>>"{others}" 6>>"{out}" 7>>"{err}"; exec sleep 60')
    wait_until(lambda: _names(shell) == ["sleep"])
    links = tree.open_links([found for found in [proc.stat(shell.pid)] if found is not None])
    assert stdio.of_job("12.srv", leader.pid, links) == (
        samples.stream(out),
        samples.stream(err, name="stderr", kept="stderr"),
    )
    assert stdio.of_job("123.srv", leader.pid, links) == (samples.stream(others),)
    assert stdio.of_job("9.srv", leader.pid, links) == (samples.stream(log),)


def test_output_whose_name_was_taken_by_another_file_is_read_from_the_job_itself(
    started: Start, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with open(out, "ab") as to_out:
        job = started("/bin/sh", "-c", "echo mine; exec sleep 60", stdout=to_out)
    stream = samples.stream(out)
    while not out.read_bytes():
        pass
    out.unlink()
    out.write_text("another's")
    links = [(job.pid, 0, "pipe:[1]"), (job.pid, 1, f"{out} (deleted)")]
    fd = stdio.open_now(stream, links)
    assert os.read(fd, 100) == b"mine\n"
    os.close(fd)
    out.unlink()
    os.mkfifo(out)
    os.close(stdio.open_now(stream, links))


def test_output_that_is_gone_for_everybody_is_told(started: Start, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.touch()
    stream = samples.stream(out)
    out.rename(tmp_path / "moved")
    job = started("/bin/sleep", "60", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with pytest.raises(FileNotFoundError, match="stdout is gone"):
        stdio.open_now(stream, [(job.pid, 1, "/dev/null")])
