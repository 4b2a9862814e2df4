# SPDX-License-Identifier: MIT
"""A second node on this machine: host name, boot, processes and mounts of its own; the store is
shared, and what else the two have in common is what a test leaves in common."""

from __future__ import annotations

import secrets
import subprocess
import uuid
from pathlib import Path

from tests.namespaces import Namespaces
from tests.support import LIMIT_SECONDS, Site, User

SCRIPT = """#!/bin/sh
#PBS -N {name}
exec {program} resume {words} {job}
"""


class Node(Namespaces):
    def __init__(self, host: str, site: Site) -> None:
        super().__init__(host)
        self.site = site
        self.put("/proc/sys/kernel/random/boot_id", f"{uuid.uuid4()}\n")
        spool = self.root / "spool"
        spool.mkdir()
        self.bind(spool, site.spool)

    def start(self, user: User, job: str, directory: Path, *words: str) -> Resumed:
        """`torqueckpt resume WORDS JOB` as a job of this node."""
        name = f"on-{self.host}"
        text = SCRIPT.format(
            name=name, program=self.site.program, words=" ".join(words), job=f"'{job}'"
        )
        script = user.script(text, directory, f"resume-{secrets.token_hex(4)}.sh")
        argv = self.argv(
            *(self.site.program, "run", "--user", user.name, "-c", "enabled", script),
            directory=directory,
        )
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return Resumed(process, directory, name)

    def resume(self, user: User, job: str, directory: Path, *words: str) -> Resumed:
        started = self.start(user, job, directory, *words)
        started.wait()
        return started

    def has_taken(self, number: int) -> None:
        """Some process here has this number."""
        self.check(
            *(
                "sh",
                "-c",
                f"echo {number - 1} >/proc/sys/kernel/ns_last_pid; sleep 6000 >/dev/null 2>&1 &",
            ),
        )
        assert (self.inside("/proc") / str(number) / "stat").exists()


class Resumed:
    def __init__(self, process: subprocess.Popen[str], directory: Path, name: str) -> None:
        self._process, self._directory, self._name = process, directory, name
        self.status = -1
        self.job = ""
        self.told = ""

    def runs(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> int:
        out, self.told = self._process.communicate(timeout=LIMIT_SECONDS)
        self.status, self.job = self._process.returncode, out.strip()
        return self.status

    def _delivered(self, kind: str) -> str:
        number = self.job.partition(".")[0]
        return (self._directory / f"{self._name}.{kind}{number}").read_text()

    def out(self) -> str:
        return self._delivered("o")

    def err(self) -> str:
        return self._delivered("e") + self.told
