# SPDX-License-Identifier: MIT
"""Check that there is room for another image, before anything of a job is touched."""

from __future__ import annotations

from collections.abc import Callable

from torqueckpt.checkpoint.target import Target
from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.errors import StoreFull
from torqueckpt.process import memory, proc
from torqueckpt.safe_files import Directory
from torqueckpt.settings import Settings
from torqueckpt.store import filesystem
from torqueckpt.store.generation import Generation
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore

MIB = 1024 * 1024


def refuse_without(
    owner_store: OwnerStore, lineage: Lineage, target: Target, depth: int, settings: Settings
) -> None:
    """Raise StoreFull when the next image would not fit, or exceed the reserve or the quota."""
    needed = _predicted(target)
    left = filesystem.free(owner_store.directory) - settings.reserve_mib * MIB
    if needed > left:
        raise StoreFull(
            path=settings.store,
            problem=f"the next image needs about {_mib(needed)}, {_mib(max(left, 0))} are left"
            f" beside a reserve of {settings.reserve_mib} MiB",
        )
    if settings.user_quota_mib:
        spare = lineage.numbers()[: -depth + 1] if depth > 1 else lineage.numbers()
        going = sum(_bytes(lineage.generation(number).directory) for number in spare)
        taken = filesystem.below(owner_store.directory)
        after = taken.bytes - going + needed
        if taken.unknown:
            problem = f"what is in there cannot be counted: {taken.unknown}"
            raise StoreFull(path=owner_store.path, problem=problem)
        if after > settings.user_quota_mib * MIB:
            raise StoreFull(
                path=owner_store.path,
                problem=f"{_mib(after)} with the next image, and each user may have"
                f" {settings.user_quota_mib} MiB",
            )


def for_pre_dump(owner_store: OwnerStore, tree: list[proc.Stat], settings: Settings) -> bool:
    """Whether there is room for what a pre-dump has written, for the dump, and for both merged."""
    left = filesystem.free(owner_store.directory) - settings.reserve_mib * MIB
    return 3 * memory.to_dump(tree) <= left


def packs(
    checkpointer: Checkpointer, generation: Generation, depth: int, settings: Settings
) -> Callable[[str], bool]:
    """Choose which files of a new image are compressed (setting `compress`)."""
    if settings.compress == "space":
        left = filesystem.free(generation.directory) - settings.reserve_mib * MIB
        wanted = left < depth * _bytes(generation.directory)
    else:
        wanted = settings.compress == "on"
    return checkpointer.packs if wanted else lambda _: False


def _predicted(target: Target) -> int:
    """Predict an image's size by the tree's memory.

    Where much of that is empty, by the last image.
    """
    in_memory, image = memory.to_dump(target.tree), target.last
    last = image.manifest.bytes if image is not None and not image.manifest.packed else 0
    return min(in_memory, 2 * last) if last else in_memory


def _bytes(directory: Directory) -> int:
    return filesystem.below(directory).bytes


def _mib(count: int) -> str:
    return f"{-(-count // MIB)} MiB"
