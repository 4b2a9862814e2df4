# SPDX-License-Identifier: MIT
"""DMTCP beside ours: the same job under dmtcp_launch, its image not compressed."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.place import Place, script
from tests.support import wait_until

_PYTHON = ("/usr/bin/python3", "-u")
_QUIET = {"DMTCP_LOG_FILE": "/dev/null", "DMTCP_QUIET": "2"}


def tools() -> Path | None:
    """The directory of DMTCP's programs: DMTCP_BIN, or where the PATH finds them."""
    found = shutil.which("dmtcp_launch", path=os.environ.get("DMTCP_BIN") or None)
    return Path(found).parent if found else None


class Dmtcp:
    """One job under a coordinator of its own."""

    def __init__(self, where: Place, programs: Path, mebibytes: int) -> None:
        self._where, self._tools = where, programs
        self._program, self.job = script(where, mebibytes)
        self._images = where.user.directory()
        self._process = self._launch("dmtcp_launch", "--no-gzip", *_PYTHON, str(self._program))
        wait_until(lambda: "line 1\n" in (self._images / "out").read_text(), 300)
        time.sleep(0.5)

    def checkpoint(self) -> tuple[float, float]:
        """Seconds that it takes, with its image on the disk, and that the job stood still."""
        for old in self._written():
            old.unlink()
        before = time.monotonic()
        self._command("--bcheckpoint")
        for image in self._written():
            fd = os.open(image, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
        after = time.monotonic()
        time.sleep(0.1)
        return after - before, self.job.longest_gap(before, after)

    def restart(self) -> float:
        """Seconds from the call to the job's first step."""
        self.end()
        before = time.monotonic()
        self._process = self._launch("dmtcp_restart", *map(str, self._written()))
        return self.job.ran_again(before) - before

    def end(self) -> None:
        self._command("--quit")
        self._process.wait(60)

    def _written(self) -> list[Path]:
        return sorted(self._images.glob("ckpt_*.dmtcp"))

    def _launch(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        port = self._images / "port"
        port.unlink(missing_ok=True)
        own = ("--new-coordinator", "--coord-port", "0", "--port-file", str(port))
        places = ("--ckptdir", str(self._images), "--tmpdir", str(self._images))
        with open(self._images / "out", "ab") as out:
            return subprocess.Popen(
                self._argv(name, *own, *places, *words),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=self._images,
            )

    def _command(self, word: str) -> None:
        port = (self._images / "port").read_text().strip()
        argv = self._argv("dmtcp_command", "--coord-port", port, word)
        subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)

    def _argv(self, name: str, *words: str) -> list[str]:
        quiet = [f"{key}={value}" for key, value in _QUIET.items()]
        return self._where.user.argv("/usr/bin/env", *quiet, str(self._tools / name), *words)
