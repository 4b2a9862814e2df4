# SPDX-License-Identifier: MIT
"""One image of a job: the checkpointer's files, the manifest, its scratch and log (layout.py)."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from torqueckpt import layout, manifest
from torqueckpt.errors import ImageDamaged, ManifestMissing, ManifestTorn, SignatureWrong
from torqueckpt.manifest import ImageFile, Manifest, Parsed
from torqueckpt.safe_files import Directory
from torqueckpt.store import seal
from torqueckpt.typed_json import Malformed


class Generation:
    """A generation's directory, held open; used only while acting as its owner."""

    def __init__(self, number: int, directory: Directory) -> None:
        self.number = number
        self.directory = directory

    @property
    def path(self) -> Path:
        return self.directory.path

    @property
    def image_dir(self) -> Path:
        return self.path / layout.IMAGE

    @property
    def work_dir(self) -> Path:
        return self.path / layout.WORK

    def manifest(self, key: bytes | None = None) -> Manifest:
        """Read the manifest; with a key, only one that was signed with it.

        ManifestMissing, ManifestTorn or SignatureWrong.
        """
        with self._reading_manifest():
            parsed = self._parsed()
            if key is not None and not manifest.signed(parsed, key):
                raise SignatureWrong(path=self.path / layout.MANIFEST)
            return manifest.decode(parsed)

    def manifest_signed_or_not(self, key: bytes) -> tuple[Manifest, bool]:
        """What the manifest says, and whether it was signed with the key.

        One that was not is its owner's word.  ManifestMissing or ManifestTorn.
        """
        with self._reading_manifest():
            parsed = self._parsed()
            return manifest.decode(parsed), manifest.signed(parsed, key)

    def _parsed(self) -> Parsed:
        return manifest.parse(self.directory.read(layout.MANIFEST, layout.MANIFEST_BYTES))

    @contextmanager
    def _reading_manifest(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as missing:
            raise ManifestMissing(path=self.path / layout.MANIFEST) from missing
        except (Malformed, OSError) as torn:
            raise ManifestTorn(path=self.path / layout.MANIFEST, problem=torn) from torn

    def write_manifest(self, data: Manifest, key: bytes) -> None:
        encoded = manifest.encode(data, key)
        self.directory.write_whole(layout.MANIFEST, encoded, limit=layout.MANIFEST_BYTES)

    @contextmanager
    def sealing(self, packs: Callable[[str], bool] = lambda _: False) -> Iterator[list[ImageFile]]:
        """Inside, the image is written safely to the disk.

        Afterwards, the list names all its files.

        Files that `packs` names are compressed.
        """
        with self.directory.sub(layout.IMAGE) as image, seal.sealing(image, packs) as files:
            yield files
        with self.directory.sub(layout.WORK) as work:
            work.sync()

    def forget_log(self, verb: str) -> None:
        """Remove the checkpointer's last log of this kind.

        One that fails before it opens its log would seem to have failed for the old reason.
        """
        with self.directory.make(layout.WORK) as work:
            work.remove(f"{verb}.log")

    def looks_whole(self, recorded: Manifest) -> bool:
        """Whether all files are there with their sizes; verify() also reads them."""
        try:
            with self.directory.sub(layout.IMAGE) as image:
                return _sizes(image) == recorded.sizes
        except OSError:
            return False

    def verify(
        self,
        recorded: Manifest,
        read: Callable[[int], None] | None = None,
        but: Collection[str] = (),
    ) -> None:
        """Read every file of the image and compare; ImageDamaged names the first that differs.

        `read` is told how many bytes were read, piece by piece.  but: files of which only the size
        is compared; verify_content() is for them.
        This comes before any restore: CRIU hangs on a truncated image and restores a flipped bit in
        silence (contracts/criu.md).
        """
        try:
            with self.directory.sub(layout.IMAGE) as image:
                sizes = _sizes(image)
        except OSError as problem:
            raise self._damaged(recorded, str(problem)) from problem
        for file in recorded.image:
            if file.name not in sizes:
                raise self._damaged(recorded, f"{file.name} is missing")
            if sizes.pop(file.name) != file.size:
                raise self._damaged(recorded, f"{file.name} has another size")
        if sizes:
            raise self._damaged(recorded, f"{min(sizes)} does not belong to it")
        names = {file.name for file in recorded.image}.difference(but)
        self.verify_content(recorded, names, read)

    def verify_content(
        self,
        recorded: Manifest,
        names: Collection[str],
        read: Callable[[int], None] | None = None,
    ) -> None:
        """Read and compare these files alone, whose sizes verify() has compared."""
        try:
            with self.directory.sub(layout.IMAGE) as image:
                for file in recorded.image:
                    if file.name in names and _checksum(image, file.name, read) != file.xxh3:
                        raise self._damaged(recorded, f"{file.name} has another checksum")
        except OSError as problem:
            raise self._damaged(recorded, str(problem)) from problem

    def _damaged(self, recorded: Manifest, problem: str) -> ImageDamaged:
        return ImageDamaged(job=recorded.job.id, generation=self.number, problem=problem)


def _sizes(image: Directory) -> dict[str, int]:
    return {e.name: e.stat(follow_symlinks=False).st_size for e in image.entries()}


def _checksum(image: Directory, name: str, read: Callable[[int], None] | None) -> str:
    fd = image.open_file(name, os.O_RDONLY)
    try:
        return seal.digest(fd, read)
    finally:
        os.close(fd)
