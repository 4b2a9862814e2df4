# SPDX-License-Identifier: MIT
"""Start a job's processes, and the checkpoint script, in the shape that pbs_mom gives them."""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from torqueckpt.batch.local.control import Caller
from torqueckpt.batch.local.site import Site
from torqueckpt.batch.local.spool import Spool
from torqueckpt.batch.local.submission import Submission
from torqueckpt.process import privileges, system_calls

_PATH = "/usr/local/bin:/usr/bin:/bin"


_COMMENT_BYTES = 4096  # as much of stderr as MOM takes for the job's comment


def start_job(job: str, submission: Submission, spool: Spool, site: Site) -> int:
    """Start the login shell that reads the script's path from a pipe.

    Gives its pid, the session leader's.

    A job that may be checkpointed comes to that shell by way of mom-run, as at pbs_mom.

    Its child, the shell that runs the spooled script, is the exec PID.
    """
    out, err = spool.open_outputs(job, submission.owner, submission.joined)
    read_end, write_end = os.pipe()
    command = shlex.join([str(spool.script(job)), *submission.arguments])
    if submission.more_arguments:  # for the user's shell to take apart, as MOM has it
        command += f" {submission.more_arguments}"
    os.write(write_end, command.encode("utf-8", "surrogateescape") + b"\n")
    os.close(write_end)
    pid = os.fork()
    if pid == 0:
        _become_leader(job, submission, spool, site, (read_end, out, err))
    for fd in (read_end, out, err):
        os.close(fd)
    return pid


def _become_leader(
    job: str, submission: Submission, spool: Spool, site: Site, stdio: tuple[int, int, int]
) -> None:
    """Become the job's session leader, in the forked child; never returns."""
    try:
        os.setsid()
        os.umask(0o022 if submission.umask is None else submission.umask)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and exec would pass that on
            signal.signal(ignored, signal.SIG_DFL)
        shell = submission.shell or _own_shell(submission)
        environment = _environment(job, submission, spool, shell)
        for target, source in enumerate(stdio):
            os.dup2(source, target)
        os.dup2(0, 9)  # pbs_mom leaves the pipe open there too
        system_calls.join_new_session_keyring()
        privileges.drop(submission.owner)
        os.closerange(10, 4096)
        for fd in range(3, 9):
            _close(fd)
        os.chdir(submission.work_dir or submission.submit_dir)
        if submission.spec.checkpointable:
            os.execve(site.run_program, [str(site.run_program), shell], environment)
        os.execve(shell, ["-" + os.path.basename(shell)], environment)
    except OSError as problem:
        os.write(2, f"torqueckpt: job {job} cannot be started: {problem}\n".encode())
    finally:
        os._exit(254)


def _environment(job: str, submission: Submission, spool: Spool, shell: str) -> dict[str, str]:
    return {
        **submission.variables,
        **submission.names(job),
        "LANG": "C.UTF-8",
        "PATH": _PATH,
        "SHELL": shell,
        "PBS_ENVIRONMENT": "PBS_BATCH",
        "PBS_NODEFILE": str(spool.node_file(job)),
        "PBS_NODENUM": "0",
        "PBS_O_PATH": _PATH,
        "PBS_O_SHELL": _own_shell(submission),
        "PBS_TASKNUM": "1",
        "PBS_VNODENUM": "0",
    }


def _own_shell(submission: Submission) -> str:
    return pwd.getpwuid(submission.owner.uid).pw_shell or "/bin/sh"


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        return  # was not open


class Hook:
    """A running mom-checkpoint; select() on `output`, then spoke() reads it."""

    def __init__(
        self, words: Iterable[str], mom_priv: Path, name: str, caller: Caller | None, end: bool
    ) -> None:
        self.name = name
        self.began = time.monotonic()
        self.caller = caller
        self.end = end
        self._comment = b""
        # Unquoted, as pbs_mom writes it: whoever fills `words` sees to it that no shell minds them.
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", " ".join(words) + "  2>&1 1>/dev/null"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PWD": str(mom_priv)},
            cwd=mom_priv,
        )

    @property
    def output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def spoke(self) -> bool:
        """Read what it prints; True once its output has ended."""
        block = os.read(self.output.fileno(), 65536)
        self._comment = (self._comment + block)[:_COMMENT_BYTES]
        return not block

    def end_of_it(self) -> tuple[int, str]:
        """Wait for its end; gives its exit status and the comment.

        Called after spoke() was True.
        """
        self.output.close()
        return self._process.wait(), self._comment.decode("utf-8", "replace").strip()
