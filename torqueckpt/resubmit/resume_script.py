# SPDX-License-Identifier: MIT
"""Write resume_job.sh, the script that a user submits to have his job go on."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import NamedTuple

from torqueckpt import layout, log, paths, render, typed_json
from torqueckpt.batch import directives, qsub_options, resource_requests
from torqueckpt.errors import NoImage
from torqueckpt.identity import Owner
from torqueckpt.log import one_line
from torqueckpt.manifest import Directive, Manifest
from torqueckpt.settings import Settings
from torqueckpt.store import access, marks
from torqueckpt.store.lineage import Lineage

_LETTER = re.compile(r"[A-Za-z]")


_BARE = re.compile(r"[A-Za-z0-9_@%+=:,./\[\]^-]+")


class ResumeSource(NamedTuple):
    """The image that a resume job goes on from, and what the job is to ask for.

    script: the directives of the job's script, None where they are not known.
    """

    manifest: Manifest
    asked: list[Directive]
    script: list[Directive] | None = None


def image_of(job: str, owner: Owner, settings: Settings, generation: int | None) -> ResumeSource:
    """Find the image to go on from; UnknownJob, or NoImage when there is no such generation."""
    with access.lineage_of(job, owner, settings) as (_, lineage):
        numbers = lineage.numbers()
        if not numbers or (generation is not None and generation not in numbers):
            which = f" of generation {generation}" if generation is not None else ""
            raise NoImage(job=job, which=which)
        manifest = lineage.generation(generation or numbers[-1]).manifest()
        marks.wanted(lineage)
        asked = read(lineage) or qsub_options.of_script(manifest.job.directives)
        return ResumeSource(manifest, asked, script_of(lineage))


def text(
    image: ResumeSource,
    job: str,
    settings: Settings,
    generation: int | None,
    options: tuple[str, ...] = (),
) -> str:
    """The script that goes on from the image; `job` is how the user named it.

    options are more words for `torqueckpt resume`.
    """
    lines, remarks = _directives(image, image.manifest.job.name, settings)
    words = (*(("--generation", str(generation)) if generation else ()), *options)
    return render.render(
        "torque/resume_job.sh.j2",
        {
            "directives": lines,
            "remarks": remarks,
            "job": job,
            "which": f"generation {generation}" if generation else "its newest image",
            "program": str(paths.program("bin", "torqueckpt")),
            "options": "".join(f" {shlex.quote(word)}" for word in words),
        },
    )


def array_text(
    image: ResumeSource,
    title: str,
    array: str,
    wanted: str,
    members: list[tuple[int, str]],
    settings: Settings,
    options: tuple[str, ...] = (),
) -> str:
    """The script with which members of an array go on, each new number with its old job.

    wanted is the option of qsub that asks for these numbers.
    """
    lines, remarks = _directives(image, title, settings)
    return render.render(
        "torque/resume_array.sh.j2",
        {
            "directives": [*lines, wanted],
            "remarks": remarks,
            "array": array,
            "members": members,
            "program": str(paths.program("bin", "torqueckpt")),
            "options": "".join(f" {shlex.quote(word)}" for word in options),
        },
    )


def _directives(image: ResumeSource, title: str, settings: Settings) -> tuple[list[str], list[str]]:
    """The lines of options for qsub, and remarks on them."""
    manifest, wanted = image.manifest, list(image.asked)
    if title and not any(d.option == "N" for d in wanted):
        wanted.insert(0, Directive("N", title))
    if manifest.job.spec and not any(d.option == "c" for d in wanted):
        wanted.append(Directive("c", manifest.job.spec))
    remarks = []
    if not settings.store_shared:
        wanted = resource_requests.on_node(wanted, manifest.host)
        remarks.append(
            f"The image lies on {one_line(manifest.host)} only, so the job is sent there."
        )
    lines, more = directive_lines(wanted)
    return lines, [*remarks, *more]


def directive_lines(wanted: Iterable[Directive]) -> tuple[list[str], list[str]]:
    """The texts after #PBS, and remarks; options that no such line can hold are among these."""
    lines, remarks = [], []
    for each in wanted:
        if each.option == resource_requests.REMARK:
            remarks.append(one_line(each.value))
        elif _LETTER.fullmatch(each.option) and each.value.isprintable():
            word = "" if each.option in directives.WITHOUT_VALUE else f" {_word(each.value)}"
            lines.append(f"-{each.option}{word}")
        else:
            told = one_line(f"-{each.option} {each.value}")
            remarks.append(f"Left out, no line can hold it: {told}")
    return lines, remarks


def _word(value: str) -> str:
    return value if _BARE.fullmatch(value) else shlex.quote(value)


class Remembered(NamedTuple):
    job: str
    directives: tuple[Directive, ...]


def keep(lineage: Lineage, job: str, directives: Iterable[Directive]) -> None:
    found = Remembered(job, tuple(directives))
    lineage.directory.write_whole(layout.ASKED, typed_json.dump(found))


def read(lineage: Lineage) -> list[Directive]:
    """Read the options that were kept with the images; none when nobody has kept them."""
    try:
        data = typed_json.load(lineage.directory.read(layout.ASKED))
        return list(typed_json.from_json(Remembered, data).directives)
    except FileNotFoundError:
        return []
    except (OSError, typed_json.Malformed) as torn:
        log.warning(f"{lineage.path}/{layout.ASKED}: {torn}")
        return []


def script_of(lineage: Lineage) -> list[Directive] | None:
    """The directives of the script that MOM had of the job; None when no image has kept it."""
    try:
        with lineage.directory.sub(layout.KEPT) as kept:
            names = [name for name in kept.names() if name.endswith(".SC")]
            texts = [kept.read(name, layout.SCRIPT_BYTES) for name in names]
    except OSError as missing:
        log.info(f"{lineage.path}/{layout.KEPT}: {missing}")
        return None
    found = [directives.read(text.decode("utf-8", "replace")) for text in texts]
    return [each for of_one in found for each in of_one] if found else None
