# SPDX-License-Identifier: MIT
"""Look into images for people: what one contains, and how two of the same job differ."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from torqueckpt import layout
from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.base import ImageDetails
from torqueckpt.errors import InvalidJobId, TorqueCkptError
from torqueckpt.identity import Owner, is_lineage_name
from torqueckpt.images import catalogue
from torqueckpt.manifest import Manifest
from torqueckpt.process.worker import OwnerWorker, WorkerFailed
from torqueckpt.records import Live
from torqueckpt.settings import Settings
from torqueckpt.store import access

_SECRET = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL|AUTH|COOKIE|PROXY_CERT", re.IGNORECASE)
_IN_URL = re.compile(r"(//[^/\s:@]*):[^/\s@]*@")
_MASK = "***"
_MASKED_URL = rf"\1:{_MASK}@"


class Inside(NamedTuple):
    """What one image contains.

    unread: why the image itself could not be read; its manifest could.
    """

    manifest: Manifest
    live: Live | None
    whole: bool
    details: ImageDetails
    unread: str = ""


def look(
    job: str, owner: Owner, settings: Settings, number: int | None, environment: bool = False
) -> Inside:
    """Read the newest image, or generation `number`; secrets in its environment are masked."""
    manifest, live, whole = catalogue.recorded(job, owner, settings, number)
    found, unread = ImageDetails(), ""
    try:
        checkpointer = registry.load(manifest.checkpointer, settings)
        with access.lineage_of(job, owner, settings) as (_, lineage):
            place = lineage.generation(manifest.generation).image_dir
            reading = OwnerWorker(
                owner, lambda: checkpointer.details(place, manifest.exec_pid, environment)
            )
            found = reading.result(ImageDetails)
    except (TorqueCkptError, WorkerFailed) as why:
        unread = str(why)
    shown = tuple(map(masked, found.environment))
    return Inside(manifest, live, whole, found._replace(environment=shown), unread)


def masked(variable: str) -> str:
    """Mask the value of NAME=VALUE where the name tells of a secret, and passwords in URLs."""
    name, _, value = variable.partition("=")
    if _SECRET.search(name):
        return f"{name}={_MASK}"
    return f"{name}={_IN_URL.sub(_MASKED_URL, value)}"


def named(text: str, settings: Settings) -> tuple[str, str | None, int | None]:
    """Split an image's path into (job or lineage, owner, generation); InvalidJobId for other paths.

    The path is a job's link in the store, or the directory of a generation.
    """
    path = Path(os.path.abspath(text))
    if path.parent == settings.store and path.is_symlink():
        path = settings.store / os.readlink(path)
    try:
        jobs, owner, lineage, number, *_ = path.relative_to(settings.store).parts
    except ValueError as elsewhere:
        raise InvalidJobId(text=text) from elsewhere
    if (
        jobs != layout.JOBS
        or not is_lineage_name(lineage)
        or not re.fullmatch("[0-9]{1,9}", number)
    ):
        raise InvalidJobId(text=text)
    return lineage, owner, int(number)


def processor() -> list[str]:
    """List the instruction sets of this node's processor by the names that images use."""
    words = Path("/proc/cpuinfo").read_text(errors="replace").split()
    known = {"AVX": "avx", "AVX-512": "avx512f", "PKU": "pku", "AMX": "amx_tile"}
    return [name for name, flag in known.items() if flag in words]


class Difference(NamedTuple):
    """One thing in which two images of a job differ; "" for the image that lacks it."""

    what: str
    name: str
    before: str
    after: str


def differences(one: Inside, other: Inside) -> list[Difference]:
    """List all differences: processes, files, sockets, memory, those that matter most first."""
    found: list[Difference] = []
    for what, of in _COMPARED.items():
        before, after = dict(of(one)), dict(of(other))
        for name in dict.fromkeys([*before, *after]):
            left, right = before.get(name, ""), after.get(name, "")
            if left != right:
                found.append(Difference(what, name, left, right))
    return found


def _processes(each: Inside) -> Iterator[tuple[str, str]]:
    yield from ((f"{p.pid} {p.name}", f"child of {p.ppid}") for p in each.manifest.processes)


def _files(each: Inside) -> Iterator[tuple[str, str]]:
    for file in each.manifest.files:
        if file.fd >= 0:
            gone = ", deleted" if file.deleted else ""
            told = f"{file.size} bytes, at {file.offset}{gone}"
            yield f"{file.path} ({file.pid}, descriptor {file.fd})", told


def _opened(each: Inside) -> Iterator[tuple[str, str]]:
    for thing in each.details.opened:
        yield f"{thing.kind} ({thing.pid}, descriptor {thing.fd})", thing.what or "open"


def _memory(each: Inside) -> Iterator[tuple[str, str]]:
    for area in each.details.memory:
        yield f"{area.name} ({area.pid})", f"{area.saved >> 10} of {area.size >> 10} KiB saved"


def _together(each: Inside) -> Iterator[tuple[str, str]]:
    manifest = each.manifest
    yield "size", f"{manifest.bytes} bytes"
    yield "host", manifest.host
    yield "kernel", manifest.kernel
    yield "checkpointer", f"{manifest.checkpointer} {manifest.checkpointer_version}"
    yield "job", manifest.job.id
    yield "registers", each.details.cpu


_COMPARED = {
    "process": _processes,
    "file": _files,
    "open": _opened,
    "memory": _memory,
    "image": _together,
}
