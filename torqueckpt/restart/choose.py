# SPDX-License-Identifier: MIT
"""Choose the image that a restart goes on from: the newest that is whole, or the one asked for.

Every byte is verified, which can take long: a StepProgress shows people who wait how far it is.
Programs of daemons show nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from torqueckpt import log
from torqueckpt.errors import ForeignImage, NoImage, TorqueCkptError
from torqueckpt.files import check
from torqueckpt.identity import Owner
from torqueckpt.manifest import Manifest
from torqueckpt.request import RestartRequest
from torqueckpt.restart.verify import MemoryVerifier
from torqueckpt.store.generation import Generation
from torqueckpt.store.lineage import Lineage

# Told what begins and how many bytes it will take, it gives what is to be told each count of them.
StepProgress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def no_progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    yield lambda count: None


def choose(
    lineage: Lineage,
    request: RestartRequest,
    key: bytes | None,
    progress: StepProgress = no_progress,
    verifier: MemoryVerifier | None = None,
) -> tuple[Generation, Manifest]:
    """Find and verify the generation asked for, or the newest that is whole.

    What `verifier` takes of its memory is verified during the restore.

    With a key only signed ones count.  When none is good the newest one's defect is the error.  One
    that would not come back, as far as is known, is left for an older one.
    """
    if request.generation is not None:
        numbers = [request.generation]
    else:  # newest first, but the one that is hinted at before them all
        numbers = sorted(lineage.numbers(), key=lambda n: (n == request.hint, n), reverse=True)
    first: TorqueCkptError | None = None
    left: list[int] = []
    while numbers:
        each = numbers.pop(0)
        try:
            generation = lineage.generation(each)
            recorded = generation.manifest(key)
            why = would_not_come_back(recorded, request) if each not in left else ""
            if why:
                log.warning(f"generation {each} is left for an older one: {why}")
                left.append(each)
                numbers.append(each)  # the last resort
                continue
            later = verifier.takes(recorded) if verifier is not None else ()
            with progress(f"verify generation {each}", recorded.bytes) as read:
                generation.verify(recorded, read, later)
            if verifier is not None and later:
                verifier.begin(generation, recorded, later)
            return generation, recorded
        except TorqueCkptError as defect:
            log.warning(f"generation {each}: {defect}")
            first = first or defect
    raise first or NoImage(job=lineage.first_job, which="")


def would_not_come_back(manifest: Manifest, request: RestartRequest) -> str:
    """Why an image is not worth a try, of one that was doubtful when it was made; "" when it is."""
    if request.generation is not None or request.moves or not manifest.doubts:
        return ""
    now, copied = check.unreachable(manifest.files), manifest.copied
    gone = (f"{path} {why}" for path, why in now if path not in copied)
    return next(iter((*manifest.never, *gone)), "")


def chosen(
    lineage: Lineage,
    request: RestartRequest,
    owner: Owner,
    key: bytes | None,
    progress: StepProgress = no_progress,
    verifier: MemoryVerifier | None = None,
) -> Manifest:
    """Choose the image, verify it, and check that it is this owner's own; else ForeignImage."""
    _, manifest = choose(lineage, request, key, progress, verifier)
    if manifest.job.uid != owner.uid or manifest.lineage != lineage.name:
        raise ForeignImage(
            path=lineage.path, owner=manifest.job.owner, uid=manifest.job.uid, caller=owner.name
        )
    return manifest
