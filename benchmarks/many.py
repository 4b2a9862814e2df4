# SPDX-License-Identifier: MIT
"""A store with very many images: copies of a real one, its files hard links to save the room.

It lies in memory, since what is measured there is found in the page cache anyway, and a disk would
take very long to make it and to take it away.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import ours
from benchmarks.place import Place, newest, started
from torqueckpt.safe_files import Directory
from torqueckpt.store import index
from torqueckpt.store.store import OwnerStore

_GENERATIONS = 10  # of each job
_LINKS = 1000  # a file system allows a file only so many names


class Many:
    """Images of jobs 1.bench, 2.bench, … in the place's store."""

    def __init__(self, where: Place) -> None:
        self._user, self._site = where.user, where.site
        self._root = Path(tempfile.mkdtemp(prefix="tckpt-many-", dir="/dev/shm"))
        self._root.chmod(0o755)
        (self._root / "jobs").mkdir()
        self._site.other_store = self._root
        self._site.configure()
        self._directory = self._root / "jobs" / where.user.name
        self._ids = self._directory / "ids"
        self._template = self._root / "template"
        self.jobs = 0
        with started(where, 1) as (running, job):
            ours.checkpoint(running, job)
            made, _ = newest(running)
            shutil.copytree(made, self._template)
        self._manifest: dict[str, Any] = json.loads((self._template / "manifest.json").read_bytes())
        self.files = len(self._manifest["manifest"]["image"])

    @property
    def images(self) -> int:
        return self.jobs * _GENERATIONS

    def grow(self, images: int) -> None:
        """Make more of them until there are so many."""
        self._ids.mkdir(exist_ok=True)
        while self.images < images:
            self.jobs += 1
            self._add(f"{self.jobs}.bench")
        _with_index(self._directory)
        owner = f"{self._user.uid}:{self._user.gid}"
        subprocess.run(["/bin/chown", "-hR", owner, self._directory], check=True)

    def remove(self) -> None:
        shutil.rmtree(self._root)
        self._site.other_store = None
        self._site.configure()

    def _add(self, job: str) -> None:
        body = self._manifest["manifest"]
        name = f"{job}@{1_700_000_000 + self.jobs}"
        body["job"]["id"], body["lineage"] = job, name
        (self._ids / job).symlink_to(name)
        source = self._source()
        for number in range(1, _GENERATIONS + 1):
            made = self._directory / name / str(number)
            (made / "image").mkdir(parents=True)
            (made / "work").mkdir()
            for file in source.iterdir():
                os.link(file, made / "image" / file.name)
            body["generation"] = number
            (made / "manifest.json").write_text(json.dumps(self._manifest))
        for path in (self._directory / name, *(self._directory / name).glob("[1-9]*")):
            path.chmod(0o700)

    def _source(self) -> Path:
        """The image files to link to."""
        found = self._template / f"image.{self.images // _LINKS}"
        if not found.exists():
            shutil.copytree(self._template / "image", found)
        return found


def _with_index(owners: Path) -> None:
    """As the checkpoints of these jobs would have left them."""
    for lineage in OwnerStore(Directory.open(owners)).lineages():
        index.renew(lineage)
