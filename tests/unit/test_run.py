# SPDX-License-Identifier: MIT
"""Programs that hang, are stopped or missing, or leave others behind, hold nobody up."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support import LIMIT_SECONDS
from tests.unit import real
from torqueckpt.errors import ProgramMissing
from torqueckpt.identity import Owner
from torqueckpt.process import privileges, proc
from torqueckpt.run import PATH, run

_TIME_TO_BEGIN = 2  # seconds, for a shell on a machine that has much else to do


def _sh(script: str, *arguments: str) -> list[str]:
    return ["/bin/sh", "-c", script, "sh", *arguments]


def test_a_program_that_ends_gives_status_and_both_its_outputs() -> None:
    finished = run(_sh("echo out; echo err >&2; exit 7"))
    assert (finished.status, finished.output, finished.stderr) == (7, "out\n", "err\n")
    assert not finished.ok


def test_a_program_killed_by_a_signal_has_its_negative_number() -> None:
    assert run(_sh("kill -KILL $$")).status == -9


def test_the_reason_of_a_failure_is_its_last_line_with_words_in_it() -> None:
    assert run(_sh("printf 'first\\n  the cause \\n\\n \\n' >&2")).last_line() == "the cause"
    assert run(_sh("exit 1")).last_line() == ""


def test_a_program_that_is_stopped_is_ended_at_the_time_limit() -> None:
    finished = run(_sh("kill -STOP $$; echo never"), timeout_seconds=0.3)
    assert finished.status is None and not finished.ok


def test_a_program_that_ignores_term_is_ended_at_the_time_limit() -> None:
    finished = run(
        _sh("trap '' TERM INT HUP; echo begun >&2; while :; do sleep 0.05; done"),
        timeout_seconds=_TIME_TO_BEGIN,
    )
    assert finished.status is None
    assert finished.stderr == "begun\n"
    assert finished.wall_ms >= 1000 * _TIME_TO_BEGIN


def test_a_program_ended_at_its_time_limit_is_no_zombie_afterwards() -> None:
    mine = set(proc.children(os.getpid()))
    run(["/bin/sleep", "60"], timeout_seconds=0.1)
    assert set(proc.children(os.getpid())) <= mine


@pytest.mark.parametrize(("rest", "status"), [("exit 3", 3), ("sleep 60", None)])
def test_a_grandchild_that_holds_the_pipe_does_not_hang_the_caller(
    tmp_path: Path, rest: str, status: int | None
) -> None:
    """The program ends, or hangs; what it started in a session of its own goes on."""
    file, before = tmp_path / "pid", time.monotonic()
    finished = run(
        _sh(f'echo begun >&2; setsid sleep {2 * LIMIT_SECONDS} & echo $! >"$1"; {rest}', str(file)),
        timeout_seconds=_TIME_TO_BEGIN,
    )
    real.kill(int(file.read_text()))
    assert time.monotonic() - before < LIMIT_SECONDS
    assert finished.status == status
    assert finished.stderr == "begun\n"


@pytest.mark.parametrize("program", ["/nowhere/criu", "/etc", "/etc/passwd"])
def test_a_program_that_cannot_be_started_is_named(program: str) -> None:
    with pytest.raises(ProgramMissing) as missing:
        run([program, "--version"])
    assert program in str(missing.value)


def test_nothing_of_the_callers_surroundings_reaches_a_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LD_PRELOAD_X", "evil")
    monkeypatch.chdir(tmp_path)
    held = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(held, True)
    try:
        finished = run(
            _sh("pwd; cat; env; ls /proc/self/fd"), environment={"XDG_RUNTIME_DIR": "/x"}
        )
    finally:
        os.close(held)
    where, *rest = finished.output.split("\n")
    assert where == "/"
    assert {"XDG_RUNTIME_DIR=/x", f"PATH={PATH}", "LANG=C.UTF-8"} <= set(rest)
    assert not [line for line in rest if line.startswith(("LD_", "HOME=", "PYTHON"))]
    assert str(held) not in rest


def test_a_descriptor_that_is_to_be_kept_is_inherited_under_its_number(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("held")
    fd = os.open(tmp_path / "lock", os.O_RDONLY)
    try:
        argv = ["/bin/cat", f"/proc/self/fd/{fd}"]
        assert run(argv, keep_fds=(fd,)).output == "held"
        assert run(argv).output == ""
    finally:
        os.close(fd)


def test_arguments_reach_a_program_untouched_by_any_shell() -> None:
    words = ["a b", "$(id)", "`id`", "*", "'\"", "new\nline", ""]
    finished = run(["/usr/bin/printf", "%s|", *words])
    assert finished.output == "".join(f"{word}|" for word in words)


def test_while_acting_as_a_user_a_program_is_root_again_only_when_asked_for(user: Owner) -> None:
    with privileges.acting_as(user):
        assert run(["/usr/bin/id", "-u"], as_root=True).output == "0\n"
        assert run(["/usr/bin/id", "-u"]).output == f"{user.uid}\n"
        assert os.geteuid() == user.uid


def test_output_that_is_no_utf8_is_still_told() -> None:
    assert run(_sh("printf 'caf\\351'")).output == "caf\ufffd"


_LEAVES_ONE = "sh -c 'kill -STOP $$; echo never' & echo $!; {}"


@pytest.mark.parametrize("end", ["exit 3", "kill -KILL $$"])
def test_what_a_program_that_is_alone_leaves_stopped_is_ended_with_it(end: str) -> None:
    """As CRIU does that is killed while it tries the kernel out: with the lineage's lock."""
    before = time.monotonic()
    script = _sh(_LEAVES_ONE.format(end))
    finished = run(script, timeout_seconds=2 * LIMIT_SECONDS, alone=True)
    assert finished.status == (3 if end == "exit 3" else -9)
    assert time.monotonic() - before < LIMIT_SECONDS
    real.until(lambda: real.ended(int(finished.output)), "its end")


@pytest.mark.parametrize("status", [3, 0])
def test_what_a_program_has_left_with_its_output_is_ended_by_its_caller(
    tmp_path: Path, status: int
) -> None:
    """Whether it is, is the caller's to say, by how the program ended."""
    called: list[int] = []

    def end(how: int) -> None:
        called.append(how)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    script = _sh(f"sleep 6000 & echo $! >$1/pid; exit {status}", str(tmp_path))
    finished = run(script, timeout_seconds=LIMIT_SECONDS, end_what_it_left=end)
    assert (finished.status, called) == (status, [status])


def test_one_that_has_ended_is_not_waited_for_long_whoever_holds_its_output() -> None:
    """Its caller does not end the other one, who may be in a session of his own."""
    script = _sh("echo told; setsid sleep 6000 & echo $!; exit 3")
    finished = run(script, timeout_seconds=2 * LIMIT_SECONDS, end_what_it_left=lambda _: None)
    told, holder = finished.output.split()
    os.kill(int(holder), signal.SIGKILL)
    assert (finished.status, told) == (3, "told")
    assert finished.wall_ms < LIMIT_SECONDS * 1000


def test_one_that_is_alone_and_takes_too_long_goes_with_all_of_its_session() -> None:
    finished = run(_sh(_LEAVES_ONE.format("sleep 60")), timeout_seconds=_TIME_TO_BEGIN, alone=True)
    assert finished.status is None
    real.until(lambda: real.ended(int(finished.output)), "its end")


def test_one_that_is_alone_gives_its_status_and_what_it_said_also_late() -> None:
    finished = run(_sh("echo a; sleep 0.5; cat; echo b >&2; exit 4"), stdin_text="in", alone=True)
    assert (finished.status, finished.output, finished.stderr) == (4, "a\nin", "b\n")
