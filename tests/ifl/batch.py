# SPDX-License-Identifier: MIT
"""An installed batch system to test against: where it is, who submits, and what it can do."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import accounts
from torqueckpt.ifl.errors import error_class

REPOSITORY = Path(__file__).resolve().parents[2]
ANSWER_SECONDS = 20
_PROBE = (
    "import sys; from torqueckpt.ifl import Connection, Library\n"
    "with Connection(library=Library(sys.argv[1])) as pbs:\n"
    "    print(pbs.server, pbs.server_status().version)\n"
)
# What such a program imports is imported before root is given up.
_BECOME = """
import os, pwd, sys
import pbs, PBSQuery
user, program = pwd.getpwnam(sys.argv[1]), compile(open(sys.argv[2]).read(), sys.argv[2], "exec")
sys.argv = sys.argv[2:]
os.initgroups(user.pw_name, user.pw_gid); os.setgid(user.pw_gid); os.setuid(user.pw_uid)
os.environ["HOME"] = user.pw_dir
os.chdir(user.pw_dir)
exec(program, {"__name__": "__main__", "__doc__": None})
"""


@dataclass(frozen=True)
class Batch:
    """One installation with a server that answers."""

    prefix: Path
    library: Path
    server: str
    version: str
    is_openpbs: bool

    def environment(self) -> dict[str, str]:
        """For programs that use it."""
        added = {
            "TORQUECKPT_PBS_LIBRARY": str(self.library),
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/torqueckpt/compat/toplevel",
            "PATH": f"{self.prefix}/bin:{os.environ['PATH']}",
        }
        return {**os.environ, **added}

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, env=self.environment(), capture_output=True, text=True, timeout=600
        )

    def as_user(
        self, user: pwd.struct_passwd, method: str, *arguments: object, times: int = 1
    ) -> Any:
        """What a Connection's method gives in a process of that user; PbsError as it comes."""
        words = [user.pw_name, str(self.library), method, json.dumps(arguments), str(times)]
        done = self.run(sys.executable, "-m", "tests.ifl.as_user", *words)
        assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
        answer = json.loads(done.stdout)
        if "error" in answer:
            call, text, number = answer["error"]
            raise error_class(number, self.is_openpbs)(call=call, text=text, number=number)
        return answer["result"]

    def example_as(
        self, user: pwd.struct_passwd, name: str, *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        """The same as another user, who need not be able to read this tree."""
        program = str(REPOSITORY / "docs" / "examples" / name)
        return self.run(sys.executable, "-c", _BECOME, user.pw_name, program, *arguments)

    def example(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of docs/examples as it would run where the package is installed."""
        program = REPOSITORY / "docs" / "examples" / name
        return self.run(sys.executable, str(program), *arguments)


def find(variable: str, library_name: str, is_openpbs: bool) -> tuple[Batch | None, str]:
    """The installation below $variable, or of the pbs_server on PATH; and a line on what was found.

    OpenPBS is told from TORQUE by its library.
    """
    prefix = os.environ.get(variable)
    if not prefix:
        program = shutil.which("pbs_server")
        if program is None:
            return None, f"DID NOT RUN: no pbs_server on PATH, and {variable} is not set"
        prefix = str(Path(program).resolve().parents[1])
    library = Path(prefix, "lib", library_name)
    if not library.exists():
        return None, f"DID NOT RUN: there is no {library}"
    if os.geteuid() != 0:
        return None, "DID NOT RUN: they submit as another user and need root"
    if is_openpbs and "PBS_CONF_FILE" not in os.environ:
        configuration = Path(prefix, "etc", "pbs.conf")
        if configuration.exists():
            os.environ["PBS_CONF_FILE"] = str(configuration)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, str(library)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return None, f"DID NOT RUN: the server of {prefix} does not answer"
    if done.returncode != 0:
        last_line = done.stderr.strip().splitlines()[-1]
        return None, f"DID NOT RUN: {prefix}: {last_line}"
    server, version = done.stdout.split()
    batch = Batch(Path(prefix), library, server, version, is_openpbs)
    return batch, f"run with {prefix}, version {version}, server {server}"


def ordinary_user() -> pwd.struct_passwd | None:
    """Who submits: $TORQUECKPT_TEST_USER, else the last ordinary user with a home."""
    named = os.environ.get("TORQUECKPT_TEST_USER")
    if named:
        return pwd.getpwnam(named)
    users = [
        user
        for user in pwd.getpwall()
        if 1000 <= user.pw_uid < 60000 and Path(user.pw_dir).is_dir()
        if not user.pw_name.startswith(accounts.BEGINNING)  # they go with their tests
    ]
    return users[-1] if users else None


def until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait for what a server does in its own time."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"not within {seconds} s: {what}"
        time.sleep(0.1)
