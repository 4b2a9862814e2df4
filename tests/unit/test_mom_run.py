# SPDX-License-Identifier: MIT
"""mom-run changes nothing of a job but the way it is started."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_CALL = "import sys; from torqueckpt.hooks.mom_run import main; sys.exit(main(sys.argv[1:]))"
_REPOSITORY = Path(__file__).resolve().parents[2]
_SHOW = b"""tr '\\0' '|' </proc/$$/cmdline; tr '\\0' '|' </proc/$$/environ
exec grep -E '^Sig(Blk|Ign)' /proc/self/status
"""


def run(argv: list[str], environment: dict[bytes, bytes], program: str | None = None) -> str:
    answer = subprocess.run(
        argv,
        executable=program,
        env=environment,
        cwd=_REPOSITORY,
        input=_SHOW,
        capture_output=True,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.decode("utf-8", "surrogateescape")


def from_mom_run(environment: dict[bytes, bytes], *shell: str) -> str:
    return run([sys.executable, "-c", _CALL, *shell], environment)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {b"PBS_JOBID": b"1.srv", b"HOME": b"/nonexistent"},
        {b"LANG": b"C", b"LC_ALL": b"POSIX"},
        {b"ODD": b"a=b\n\xff", b"LC_CTYPE": b"xx"},
    ],
)
def test_the_shell_is_a_login_shell_with_moms_environment_and_signals(
    environment: dict[bytes, bytes],
) -> None:
    started_by_mom = run(["-bash"], environment, "/bin/bash")
    assert started_by_mom.startswith("-bash|")
    assert from_mom_run(environment, "/bin/bash") == started_by_mom


def test_arguments_of_the_shell_are_passed_on() -> None:
    shown = from_mom_run({}, "/bin/sh", "-s", "one word", "*")
    assert shown.startswith("-sh|-s|one word|*|")


def test_a_shell_that_cannot_be_started_is_said_by_the_system() -> None:
    answer = subprocess.run([sys.executable, "-c", _CALL, "/nonexistent"], capture_output=True)
    assert answer.returncode == 254
    assert answer.stderr == b"mom-run: /nonexistent: No such file or directory\n"
    assert subprocess.run([sys.executable, "-c", _CALL], stderr=-3).returncode == 254


_WITH = (
    "import sys; from pathlib import Path; from torqueckpt import paths, settings\n"
    "paths.settings_file = lambda: Path(sys.argv[1])\n"
    "paths.program = lambda *_: Path(sys.argv[2])\n"
    "from torqueckpt.hooks.mom_run import main; sys.exit(main(sys.argv[3:]))"
)


def started_with(
    settings: str, place: Path, *shell: str, told: str = "echo $0 $CR"
) -> subprocess.CompletedProcess[str]:
    """mom-run under these settings; `again` stands for the installed program."""
    file, again = place / "torqueckpt.toml", place / "again"
    file.write_text(settings)
    (place / "with.py").write_text(_WITH)
    argv = [sys.executable, str(place / "with.py"), str(file), str(again)]
    again.write_text(f'#!/bin/sh\nexec {" ".join(argv)} "$@"\n')
    again.chmod(0o755)
    return subprocess.run(
        [*argv, *shell],
        cwd=_REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(_REPOSITORY), "TMPDIR": str(place)},
        input=told,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(("login", "shown"), [("true", "-bash"), ("false", "bash")])
def test_a_site_may_have_it_start_no_login_shell(tmp_path: Path, login: str, shown: str) -> None:
    done = started_with(f"login_shell = {login}\n", tmp_path, "/bin/bash", told="echo $0\n")
    assert (done.stdout, done.stderr) == (f"{shown}\n", "")


def test_an_interactive_job_is_told_at_once_that_it_cannot_be_checkpointed() -> None:
    ours, its = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", _CALL, "/bin/sh", "-c", 'echo "shell $0"; exit 3', "its own"],
        cwd=_REPOSITORY,
        stdin=its,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        said = running.communicate()[0]
    for fd in (ours, its):
        os.close(fd)
    told = "torqueckpt: an interactive job cannot be checkpointed; submit a script for that\n"
    assert (said, running.returncode) == (f"{told}shell its own\n", 3)


def test_with_blcr_the_login_shell_comes_by_way_of_cr_run(tmp_path: Path) -> None:
    cr_run = tmp_path / "cr_run"
    cr_run.write_text('#!/bin/sh\nCR=loaded exec "$@"\n')
    cr_run.chmod(0o755)
    told = f'checkpointer = "blcr"\nblcr_dir = "{tmp_path}"\n'
    done = started_with(told, tmp_path, "/bin/bash")
    assert (done.stdout, done.stderr, done.returncode) == ("-bash loaded\n", "", 0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('checkpointer = "dmtcp"\ndmtcp_dir = "/nonexistent"\n', ""),
        ('checkpointer = "blcr"\nblcr_dir = "/nonexistent"\n', "started without cr_run"),
        ("not toml at all [", ""),
        ('checkpointer = "criu"\n', ""),
    ],
)
def test_what_is_missing_or_wrong_starts_the_job_all_the_same(
    tmp_path: Path, settings: str, said: str
) -> None:
    done = started_with(settings, tmp_path, "/bin/bash")
    assert (done.stdout, done.returncode) == ("-bash\n", 0)
    assert said in done.stderr and bool(said) == bool(done.stderr)


def script(place: Path, text: str) -> Path:
    path = place / "12.SC"
    path.write_text(text)
    path.chmod(0o755)
    return path


def dmtcp(place: Path) -> str:
    """Settings with a dmtcp_launch that tells what it was given, then does as it was told."""
    launch = place / "dmtcp_launch"
    launch.write_text('#!/bin/sh\necho launch "$@"\nwhile [ "$1" != --no-gzip ]; do shift; done\n')
    with launch.open("a") as file:
        file.write('shift; exec "$@"\n')
    launch.chmod(0o755)
    return f'checkpointer = "dmtcp"\ndmtcp_dir = "{place}"\n'


def test_with_dmtcp_the_script_is_launched_and_the_shell_stays_outside(tmp_path: Path) -> None:
    path = script(tmp_path, '#!/bin/sh\necho job "$@"; read -r line || echo nothing to read\n')
    done = started_with(dmtcp(tmp_path), tmp_path, "/bin/bash", told=f"{path} one 'two three'\n")
    launched, job, rest = done.stdout.splitlines()
    assert (job, rest, done.stderr) == ("job one two three", "nothing to read", "")
    assert launched.endswith(f"--no-gzip {path} one two three")
    assert "--new-coordinator --coord-port 0 --port-file" in launched


def test_a_script_without_a_first_line_is_the_shells(tmp_path: Path) -> None:
    path = script(tmp_path, "echo $BASH_VERSION\n")
    done = started_with(dmtcp(tmp_path), tmp_path, "/bin/bash", told=f"{path}\n")
    assert f"/bin/bash {path}\n" in done.stdout
    assert done.stdout.splitlines()[1].startswith("5.")


@pytest.mark.parametrize("words", ["resume 1.srv", "link --chain 1.srv"])
def test_a_resume_job_is_not_launched_again(tmp_path: Path, words: str) -> None:
    (tmp_path / "torqueckpt").write_text("#!/bin/sh\necho resumed\n")
    (tmp_path / "torqueckpt").chmod(0o755)
    path = script(tmp_path, f"#!/bin/sh\nexec {tmp_path}/torqueckpt {words}\n")
    done = started_with(dmtcp(tmp_path), tmp_path, "/bin/bash", told=f"{path}\n")
    assert (done.stdout, done.stderr) == ("resumed\n", "")


def test_without_dmtcp_launch_the_script_runs_all_the_same(tmp_path: Path) -> None:
    path = script(tmp_path, "#!/bin/sh\necho job\nexit 7\n")
    missing = 'checkpointer = "dmtcp"\ndmtcp_dir = "/nonexistent"\n'
    done = started_with(missing, tmp_path, "/bin/bash", told=f"{path}\n")
    assert (done.stdout, done.returncode) == ("job\n", 7)
    assert "started without DMTCP: checkpointer dmtcp: /nonexistent/dmtcp_launch" in done.stderr


_CRIU = 'checkpointer = "criu"\n'
_KEEPS = """import ctypes, os, sys
found = ctypes.c_int()
ctypes.CDLL(None).prctl(37, ctypes.byref(found), 0, 0, 0)
print(found.value, sys.argv[1:], os.environ["_"] == sys.argv[0])
"""


_WAITS_FOR_ALL = """import os
os.system("sleep 30 >/dev/null 2>&1 & echo $!")
count = 0
if os.fork():
    try:
        while os.wait():
            count += 1
    except ChildProcessError:
        print(count)
"""


def test_the_script_gets_the_processes_of_the_job_that_have_lost_their_parent(
    tmp_path: Path,
) -> None:
    shell = tmp_path / "bash"
    shell.symlink_to(sys.executable)
    path = script(tmp_path, f"#!{shell}\n{_KEEPS}")
    told = f"{path} one 'two three'\n"
    done = started_with(_CRIU, tmp_path, "/bin/bash", told=told)
    assert done.stdout.startswith("1 ['one', 'two three'] True\n"), done.stderr


def test_the_shell_stays_where_mom_has_it_exec_the_script(tmp_path: Path) -> None:
    """$exec_with_exec: else the script would be the leader, and its child what is dumped."""
    path = script(tmp_path, "#!/bin/bash\necho $(ps -o comm= -p $PPID) $1\nexit 5\n")
    told = f"exec {path} one\necho and then $?\n"
    done = started_with(_CRIU, tmp_path, "/bin/bash", told=told)
    assert done.stdout == "bash one\nand then 5\n", done.stderr


def test_a_script_that_waits_for_all_its_children_does_not_wait_for_a_daemon(
    tmp_path: Path,
) -> None:
    path = script(tmp_path, f"#!{sys.executable}\n{_WAITS_FOR_ALL}")
    done = started_with(_CRIU, tmp_path, "/bin/bash", told=f"{path}\n")
    daemon, waited = map(int, done.stdout.split())
    assert waited == 1
    os.kill(daemon, signal.SIGKILL)


@pytest.mark.parametrize("before", ["", "/usr/bin/env "])
def test_a_shell_that_waits_for_every_child_is_given_none(tmp_path: Path, before: str) -> None:
    ksh = tmp_path / "ksh"
    ksh.symlink_to(sys.executable)
    path = script(tmp_path, f"#!{before}{ksh}\n{_KEEPS}")
    done = started_with(_CRIU, tmp_path, "/bin/bash", told=f"{path}\n")
    assert done.stdout.startswith("0 [] True\n"), done.stderr


@pytest.mark.parametrize(
    ("shell", "text", "shown"),
    [
        ("/bin/bash", "echo ${BASH_VERSION:+bash} $0", "bash"),
        ("/bin/sh", "echo ${BASH_VERSION:+bash} sh", "sh"),
        ("/bin/tcsh", "#\necho $version:q", "tcsh"),
        ("/bin/csh", "#\nset words = (a b)\necho $#words-words", "2-words"),
        ("/bin/csh", "echo ${0##*.}", "SC"),
    ],
)
def test_a_script_without_a_first_line_is_run_by_whom_the_shell_would_have_had_run_it(
    tmp_path: Path, shell: str, text: str, shown: str
) -> None:
    if not Path(shell).exists():
        pytest.skip(f"{shell} is not installed")
    path = script(tmp_path, f"{text}\n")
    done = started_with(_CRIU, tmp_path, shell, told=f"{path}\n")
    assert shown in done.stdout.split(), done
    alone = subprocess.run([shell], input=f"{path}\n", capture_output=True, text=True)
    assert alone.stdout.splitlines()[-1] == done.stdout.splitlines()[-1]


def test_a_script_that_cannot_be_run_is_said_and_the_shell_goes_on(tmp_path: Path) -> None:
    told = f"{tmp_path}/none\necho $?\n"
    done = started_with(_CRIU, tmp_path, "/bin/bash", told=told)
    assert "none: No such file or directory" in done.stderr
    assert done.stdout == "126\n"


def test_what_is_not_a_scripts_path_reaches_the_shell_as_it_is(tmp_path: Path) -> None:
    done = started_with(_CRIU, tmp_path, "/bin/bash", told="exec echo one\n")
    assert done.stdout == "one\n"
