# SPDX-License-Identifier: MIT
"""Verify an image's memory, which is nearly all of it, while it is restored.

The checkpointer holds the restored tree still until that is done, and ends it where it is damaged:
not one instruction of the job runs before every byte of its image was verified.  All that the
checkpointer interprets is verified before it begins.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from torqueckpt.checkpointers import registry
from torqueckpt.errors import ImageDamaged, TorqueCkptError
from torqueckpt.identity import Owner
from torqueckpt.manifest import Manifest
from torqueckpt.process.worker import OwnerWorker, WorkerFailed
from torqueckpt.settings import Settings
from torqueckpt.store.generation import Generation

VARIABLE = "TORQUECKPT_VERIFIED"  # of the pipe that at-freeze waits at

_WORTH_IT = 64 * 1024 * 1024  # bytes; less is verified before the checkpointer would be held

_SLOWEST = 10 * 1024 * 1024  # bytes a second that a store gives at least

_REPORTS_SECONDS = 60


class _Verified(NamedTuple):
    """The verifier's result: what is wrong with the image, "" for nothing."""

    defect: str


class MemoryVerifier:
    """Verifies one image's memory in a worker; close() ends it."""

    def __init__(self, owner: Owner, settings: Settings) -> None:
        self._owner, self._settings = owner, settings
        self._worker: OwnerWorker[_Verified] | None = None
        self._waits = -1
        self._manifest: Manifest | None = None
        self.found_damage = False

    def takes(self, manifest: Manifest) -> frozenset[str]:
        """The files of this image that it verifies during the restore; nobody need do it before."""
        try:
            checkpointer = registry.load(manifest.checkpointer, self._settings)
        except (TorqueCkptError, ImportError):  # which is no fault of the image's
            return frozenset()
        if not checkpointer.can_hold_restored:
            return frozenset()
        found = {
            file.name: file.size for file in manifest.image if checkpointer.is_memory(file.name)
        }
        return frozenset(found) if sum(found.values()) >= _WORTH_IT else frozenset()

    def begin(self, generation: Generation, manifest: Manifest, names: frozenset[str]) -> None:
        self._manifest = manifest
        self._waits, says = os.pipe()
        maker = os.getpid()

        def read(count: int) -> None:
            if os.getppid() != maker:  # killed: its lineage's lock shall not be ours
                os._exit(1)

        def verified() -> _Verified:
            os.close(self._waits)
            try:
                generation.verify_content(manifest, names, read)
            except ImageDamaged as damaged:
                return _Verified(str(damaged.details["problem"]))
            with suppress(BrokenPipeError):  # the restore has failed
                os.write(says, b"whole\n")
            return _Verified("")

        self._worker = OwnerWorker(self._owner, verified, self.seconds + _REPORTS_SECONDS)
        os.close(says)

    @property
    def seconds(self) -> float:
        """How many seconds the verification may take."""
        return self._manifest.bytes / _SLOWEST if self._manifest is not None else 0

    def waits_at(self) -> tuple[int, ...]:
        """The descriptor at which a restore is to wait, none when nothing is to be waited for.

        ImageDamaged when damage was found already.
        """
        if self._worker is not None and self._worker.is_over():
            self.refuse_damaged()
        return (self._waits,) if self._worker is not None else ()

    def refuse_damaged(self) -> None:
        """Wait until all is verified; ImageDamaged when it is damaged."""
        if self._worker is None or self._manifest is None:
            return
        worker, self._worker = self._worker, None
        try:
            defect = worker.result(_Verified).defect
        except WorkerFailed as failed:
            defect = f"it could not be verified: {failed}"
        if defect:
            self.found_damage = True
            manifest = self._manifest
            raise ImageDamaged(job=manifest.job.id, generation=manifest.generation, problem=defect)

    def close(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
        if self._waits >= 0:
            os.close(self._waits)
            self._waits = -1
