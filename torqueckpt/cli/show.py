# SPDX-License-Identifier: MIT
"""Looking into images: show, diff."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator

import click

from torqueckpt import settings
from torqueckpt.cli import ownership, tables
from torqueckpt.errors import InvalidJobId
from torqueckpt.images import show
from torqueckpt.images.show import Inside
from torqueckpt.log import one_line
from torqueckpt.manifest import Process
from torqueckpt.typed_json import plain

_user = click.option("--user", metavar="USER", help="Whose images (root).")
_json = click.option("--json", "as_json", is_flag=True, help="For programs.")
_FEW_KIB = 64  # of memory that an image holds: smaller areas are told together


@click.command("show")
@click.argument("job", metavar="JOB|IMAGE")
@click.option("--generation", type=click.IntRange(min=1), metavar="N", help="Not the newest.")
@click.option("--environment", is_flag=True, help="Of the job's first process, secrets masked.")
@click.option("--all", "everything", is_flag=True, help="Small parts of its memory one by one too.")
@_user
@_json
def show_command(
    job: str,
    generation: int | None,
    environment: bool,
    everything: bool,
    user: str | None,
    as_json: bool,
) -> None:
    """Show what is in an image: processes, memory, open files and what happens to them, sockets.

    \b
    torqueckpt show 12.node1
    torqueckpt show 12.node1 --generation 3 --environment
    torqueckpt show /var/spool/checkpoint/4711.12.node1
    """
    chosen = settings.load()
    try:
        job = ownership.job_or_lineage(job)
    except InvalidJobId:
        job, owner, number = show.named(job, chosen)
        generation, user = generation or number, user or owner
    seen = show.look(job, ownership.owner_of(job, chosen, user), chosen, generation, environment)
    manifest = seen.manifest
    if as_json:
        running = plain(seen.live) if seen.live is not None else None
        facts = {**plain(manifest), "bytes": manifest.bytes, "whole": seen.whole, "live": running}
        facts["details"] = {**plain(seen.details), "unread": seen.unread}
        click.echo(json.dumps(facts, indent=1))
        return
    for line in _heading(seen):
        click.echo(one_line(line))
    processes = tables.table("pid", "process", "directory")
    for deep, process in _tree(manifest.processes):
        name = f"{'  ' * deep}{process.name}"
        processes.add_row(*map(one_line, (str(process.pid), name, process.cwd)))
    tables.show(processes)
    _show_files(seen)
    _show_opened(seen)
    _show_memory(seen, everything)
    for variable in seen.details.environment:
        click.echo(one_line(variable))


def _heading(seen: Inside) -> Iterator[str]:
    manifest = seen.manifest
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.created))
    yield f"{manifest.job.id} generation {manifest.generation} of lineage {manifest.lineage}"
    yield f"{manifest.job.name} of {manifest.job.owner}, in {manifest.job.submit_dir}"
    version = manifest.checkpointer_version
    yield f"{manifest.checkpointer} {version} on {manifest.host}, kernel {manifest.kernel}"
    yield (
        f"{tables.size(manifest.bytes)}, {when}, frozen {manifest.frozen_us / 1000:.0f} ms, "
        f"dump {manifest.wall_ms} ms, {'whole' if seen.whole else 'NOT WHOLE'}"
    )
    if seen.details.cpu:
        lacking = [name for name in seen.details.cpu.split() if name not in show.processor()]
        here = f", and this node's has no {' '.join(lacking)}" if lacking else ""
        yield f"needs a processor with {seen.details.cpu}{here}"
    if seen.unread:
        yield f"its image cannot be looked into: {seen.unread}"
    yield from (f"would not come back as it was: {doubt}" for doubt in manifest.doubts)
    yield from (each for each in manifest.remarks if each not in manifest.doubts)


def _tree(processes: tuple[Process, ...]) -> Iterator[tuple[int, Process]]:
    """Each process with its depth, children below their parents, each once whatever they say."""
    children: dict[int, list[Process]] = defaultdict(list)
    known = {each.pid for each in processes}
    for each in processes:
        children[each.ppid if each.ppid in known and each.ppid != each.pid else 0].append(each)
    waiting, seen = [(0, each) for each in reversed(children[0])], set()
    while waiting:
        deep, process = waiting.pop()
        if process.pid not in seen:
            seen.add(process.pid)
            yield deep, process
            waiting += [(deep + 1, each) for each in reversed(children[process.pid])]


def _show_files(seen: Inside) -> None:
    policies = {each.path: each.policy for each in seen.manifest.watched}
    policies.update({each.path: "kept copy" for each in seen.manifest.kept})
    policies.update({each.path: f"new {each.name}" for each in seen.manifest.streams})
    made = tables.table("pid", "fd", "offset", "size", "at a restart", "file")
    for file in seen.manifest.files:
        if file.fd < 0 and not file.mapped:  # programs and libraries
            continue
        name = one_line(file.path) + (" (deleted)" if file.deleted else "")
        policy = one_line(policies.get(file.path, ""))
        made.add_row(*map(str, (file.pid, file.fd, file.offset, file.size)), policy, name)
    tables.show(made)


def _show_opened(seen: Inside) -> None:
    if not seen.details.opened:
        return
    made = tables.table("pid", "fd", "open", "")
    for each in seen.details.opened:
        made.add_row(str(each.pid), str(each.fd), each.kind, one_line(each.what))
    tables.show(made)


def _show_memory(seen: Inside, everything: bool) -> None:
    """Print memory, the largest first; saved: what of it the image holds, the rest is in files."""
    if not seen.details.memory:
        return
    made = tables.table("pid", "saved", "mapped", "memory")
    small = [each for each in seen.details.memory if each.saved < _FEW_KIB << 10]
    for each in sorted(seen.details.memory, key=lambda each: -each.saved):
        if everything or each not in small:
            sizes = (tables.size(each.saved), tables.size(each.size))
            made.add_row(str(each.pid), *sizes, one_line(each.name))
    if small and not everything:
        saved, size = sum(each.saved for each in small), sum(each.size for each in small)
        told = f"{len(small)} others, see --all"
        made.add_row("", tables.size(saved), tables.size(size), told)
    tables.show(made)


@click.command("diff")
@click.argument("job")
@click.argument("before", metavar="GEN1", type=click.IntRange(min=1))
@click.argument("after", metavar="GEN2", type=click.IntRange(min=1))
@_user
@_json
def diff_command(job: str, before: int, after: int, user: str | None, as_json: bool) -> None:
    """Tell in what two images of JOB differ: processes, files, sockets, memory.

    \b
    torqueckpt list --job 12.node1
    torqueckpt diff 12.node1 3 4
    """
    chosen = settings.load()
    job = ownership.job_or_lineage(job)
    owner = ownership.owner_of(job, chosen, user)
    one, other = (show.look(job, owner, chosen, number) for number in (before, after))
    found = show.differences(one, other)
    if as_json:
        click.echo(json.dumps([plain(each) for each in found], indent=1))
        return
    made = tables.table("what", "name", f"generation {before}", f"generation {after}")
    for each in found:
        made.add_row(*map(one_line, (each.what, each.name, each.before, each.after)))
    tables.show(made)


COMMANDS = (show_command, diff_command)
