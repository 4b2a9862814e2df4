# SPDX-License-Identifier: MIT
"""LSF's calls: which of the two shapes, which job, which image; and the line to a starter."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.unit import real
from torqueckpt.batch.lsf import calls, starter_socket
from torqueckpt.batch.lsf.calls import EchkpntCall, ErestartCall, LsfJob, StarterCall
from torqueckpt.batch.lsf.starter_socket import Answer, Request, StarterListener
from torqueckpt.errors import BadArguments, InvalidJobId
from torqueckpt.identity import ImageRef
from torqueckpt.process import proc

HERE = Path.cwd()


@pytest.mark.parametrize(
    ("argv", "call"),
    [
        ([], EchkpntCall(None, None, "run")),
        (["-k"], EchkpntCall(None, None, "kill")),
        (["-c", "-f", "-k"], EchkpntCall(None, None, "kill")),
        (["123"], EchkpntCall(123, None, "run")),
        (["-k", "-d", "12.tmp", "123"], EchkpntCall(123, HERE / "12.tmp", "kill")),
        (["-c", "-f", "-s", "-d", "/c/12", "-x", "123"], EchkpntCall(123, Path("/c/12"), "stop")),
    ],
)
def test_arguments_tell_lsfs_own_call_from_job_controls(argv: list[str], call: EchkpntCall) -> None:
    assert EchkpntCall.from_argv(argv) == call


@pytest.mark.parametrize(
    "argv", [["-d", "12.tmp"], ["-z"], ["12", "13"], ["-1"], ["12x"], ["-k", "-s", "12"], ["-d"]]
)
def test_a_call_of_echkpnt_that_lsf_never_makes_is_refused(argv: list[str]) -> None:
    with pytest.raises(BadArguments, match="usage: echkpnt"):
        EchkpntCall.from_argv(argv)


def test_erestart_resumes_without_a_directory_and_prepares_with_one() -> None:
    assert ErestartCall.from_argv([]).directory is None
    assert ErestartCall.from_argv(["-c", "-f", "/ckpt/12"]).directory == Path("/ckpt/12")
    with pytest.raises(BadArguments, match="2 directories"):
        ErestartCall.from_argv(["a", "b"])


@pytest.mark.parametrize("lineage", ["12@1763600000", "12[3]@1763600000"])
def test_the_command_of_a_restart_comes_back_as_one_however_lsf_runs_it(lineage: str) -> None:
    image = ImageRef(lineage, 3)
    command = calls.restart_command(Path("/usr/local/sbin/lsf-jobstarter"), image)
    for text in (command, f"lsf-jobstarter '{command}'", f"lsf-jobstarter {command}"):
        words = subprocess.run(
            ["/bin/sh", "-c", f"starter() {{ printf '%s\\n' \"$@\"; }}; starter {text}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        assert StarterCall.from_argv(words[1:], {}).image == image
    assert StarterCall.from_argv([command], {}).image == image


@pytest.mark.parametrize(
    "command", ["sleep 5", "--restart me", "lsf-jobstarter --restart 12 3", "echo 'unbalanced"]
)
def test_other_commands_are_the_users(command: str) -> None:
    assert StarterCall.from_argv([command], {}) == StarterCall(command, None)
    assert StarterCall.from_argv(command.split(" "), {}).command == command


@pytest.mark.parametrize(
    "command",
    [
        "echo 'a  b'",
        "awk '{ print $1; }' <<'END' | tr a-z A-Z; exit 3\nit's\nEND",
        "sh -c \"echo 'one; two'\"",
        "$LSB_JOBFILENAME.shell",
        "echo '# LSBATCH: End user input'\n# LSBATCH: End user input\necho",
        "cat <<'E'\nExitStat=$?\nwait\n# LSBATCH: End user input\nE",
        "ExitStat=$?\nwait",
        "echo lsf-jobstarter; exit $?; not ours",
        "echo \udce9",
    ],
)
@pytest.mark.parametrize("behind", ["\nExitStat=$?\nwait\n", "\n", None])
def test_without_arguments_the_command_is_that_of_the_job_file_as_it_stands(
    tmp_path: Path, command: str, behind: str | None
) -> None:
    end = "" if behind is None else f"{behind}# LSBATCH: End user input\ntrue\nexit 3\n"
    if behind is None and "LSBATCH" in command:
        pytest.skip("without LSF's own end its command is cut")
    text = (
        "#! /bin/sh\n\nA='lsf-jobstarter; exit $?; no'; export A\n# LSBATCH: User input\n"
        f"/usr/local/sbin/lsf-jobstarter; exit $?; {command}{end}"
    )
    (tmp_path / "job").write_bytes(text.encode("utf-8", "surrogateescape"))
    environment = {"LSB_JOBFILENAME": str(tmp_path / "job")}
    assert StarterCall.from_argv([], environment) == StarterCall(command, None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "no such file"),
        ("#!/bin/sh\necho\n", "it stands in no line of"),
        ("lsf-jobstarter; exit $?; \n# LSBATCH: End user input\n", "no command"),
    ],
)
def test_a_starter_without_a_command_is_refused(
    tmp_path: Path, text: str | None, told: str
) -> None:
    if text is not None:
        (tmp_path / "job").write_text(text)
    with pytest.raises(BadArguments, match=f"(?i){told}.*JOB_STARTER = lsf-jobstarter; exit"):
        StarterCall.from_argv([], {"LSB_JOBFILENAME": str(tmp_path / "job")})
    with pytest.raises(BadArguments, match="no command"):
        StarterCall.from_argv([""], {})
    with pytest.raises(BadArguments, match="LSB_JOBFILENAME"):
        StarterCall.from_argv([], {})


def test_the_job_is_lsfs_whatever_else_the_environment_names() -> None:
    environment = {"LSB_JOBID": "12", "LSB_JOBINDEX": "3", "PBS_JOBID": "7.srv"}
    assert LsfJob.from_environment(environment) == LsfJob("12[3]", None)
    given = {"LSB_JOBID": "12", "LSB_CHKPNT_DIR": "/ckpt/12"}
    assert LsfJob.from_environment(given) == LsfJob("12", Path("/ckpt/12"))
    with pytest.raises(InvalidJobId):
        LsfJob.from_environment({"LSB_JOBID": "../12"})


def _asked_by(job: str | None, group: int | None) -> int:
    """The pid of a process that asks the starter of a job."""
    pid = os.fork()
    if pid == 0:
        found = starter_socket.connect(job, group)
        answer = starter_socket.request(found, Request("suspend")) if found is not None else None
        os._exit(0 if answer == Answer("saved", "", "12@1", 3) else 1)
    return pid


def test_a_starter_is_woken_by_a_call_and_found_by_its_job_or_its_process_group() -> None:
    def work() -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, {StarterListener.WAKES})
        me = proc.stat(os.getpid())
        assert me is not None
        listener = StarterListener("12")
        for job, group in (("12", None), (None, me.pgrp), (None, me.pid)):
            caller = _asked_by(job, group)
            assert signal.sigtimedwait({StarterListener.WAKES}, 10) is not None
            for asked, connection in listener.calls():
                assert asked == Request("suspend")
                starter_socket.reply(connection, Answer("saved", "", "12@1", 3), wait=False)
            assert os.waitpid(caller, 0)[1] == 0
        assert (
            starter_socket.connect("1", None) is None
            and starter_socket.connect(None, 1 << 22) is None
        )
        return 0

    assert real.in_child(work) == 0


def test_a_starter_that_ends_amidst_a_call_leaves_nobody_waiting() -> None:
    def work() -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, {StarterListener.WAKES})
        starter = os.fork()
        if starter == 0:
            listener = StarterListener("13")
            signal.sigtimedwait({StarterListener.WAKES}, 10)
            os._exit(0 if listener else 1)
        found = real.until(lambda: starter_socket.connect("13", None), "the starter")
        answer = starter_socket.request(found, Request("resume"))
        assert os.waitpid(starter, 0)[1] == 0
        return 0 if answer.state == "ended" else 1

    assert real.in_child(work) == 0


def test_a_caller_that_says_nothing_sensible_is_passed_over() -> None:
    def work() -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, {StarterListener.WAKES})
        listener = StarterListener("14")
        for text in (b"", b"suspend\n", b"[]\n", b"\xff" * 9 + b"\n"):
            caller = starter_socket.connect("14", None)
            assert caller is not None
            caller.sendall(text)
            caller.close()
            assert list(listener.calls()) == []
        return 0

    assert real.in_child(work) == 0
