# SPDX-License-Identifier: MIT
"""What a checkpoint looks at while the job stands still: which rules there are for its files."""

from __future__ import annotations

import os

from torqueckpt import file_rules, log
from torqueckpt.checkpoint.target import Target
from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.errors import BadFileRule, TorqueCkptError
from torqueckpt.files.record import Task
from torqueckpt.manifest import Manifest, Rule
from torqueckpt.process import proc
from torqueckpt.settings import Settings
from torqueckpt.store.generation import Generation
from torqueckpt.store.lineage import Lineage


def task(
    checkpointer: Checkpointer,
    target: Target,
    generation: Generation,
    lineage: Lineage,
    scripts: dict[str, str],
    sources: list[int],
    settings: Settings,
) -> Task:
    made = _last(lineage)
    if made and not proc.environment(target.root.pid):  # restored by one that does not show it
        known = tuple(rule._replace(complete=True) for rule in made.rules)
    else:
        known = rules(target.root.pid, target.leader_pid, settings)
    return Task(
        root=target.root,
        rules=known,
        streams=tuple(sources),
        spooled=tuple(scripts),
        lineage=lineage.directory,
        store=str(settings.store),
        foreign=checkpointer.own_directories(target.root.pid, generation.image_dir),
        prefix=str(generation.number),
        copy_limit=settings.snapshot_limit_mib * 1024 * 1024,
        earlier={file.path: file for file in made.watched} if made else {},
    )


def _last(lineage: Lineage) -> Manifest | None:
    numbers = lineage.numbers()
    try:
        return lineage.generation(numbers[-1]).manifest() if numbers else None
    except TorqueCkptError as torn:  # then all is copied again
        log.warning(str(torn))
        return None


def rules(root_pid: int, leader_pid: int, settings: Settings) -> tuple[Rule, ...]:
    """The job's before the site's: from the environment that the tree was started with, which it
    also has after a restart, and its leader's: some shells drop what no shell could have set."""
    environment = {**proc.environment(leader_pid), **proc.environment(root_pid)}
    items = [*file_rules.of_job(environment), *settings.files]
    if not items:
        return ()
    directory = environment.get("PBS_O_WORKDIR") or environment.get("LS_SUBCWD", "")
    if not os.path.isdir(directory):  # moved (--relocate), or never known
        directory = os.readlink(f"/proc/{root_pid}/cwd")
    try:
        return tuple(file_rules.read(items, directory, environment))
    except file_rules.BadRule as bad:
        raise BadFileRule(problem=bad) from bad
