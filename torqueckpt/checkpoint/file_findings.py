# SPDX-License-Identifier: MIT
"""What preflight says of the files that a tree writes: which of them would not come back."""

from __future__ import annotations

import os
from collections.abc import Iterator

from torqueckpt import file_rules
from torqueckpt.checkpoint import looking
from torqueckpt.checkpointers.finding import HAZARD, NOTE, Finding, finding
from torqueckpt.errors import BadFileRule
from torqueckpt.files import record
from torqueckpt.process import proc
from torqueckpt.settings import Settings

_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR


def of_tree(members: list[proc.Stat], leader_pid: int, settings: Settings) -> Iterator[Finding]:
    """One for each file that can be changed in place, with no copy of it in an image."""
    root = members[0]
    try:
        rules = looking.rules(root.pid, leader_pid, settings)
    except BadFileRule as bad:
        what = "no checkpoint is taken with a rule that means nothing"
        yield finding(HAZARD, root, str(bad), what, "correct it (docs/files.md)")
        return
    by_pid = {each.pid: each for each in members}
    seen = {file.path: file for file in record.open_files(members) if not file.deleted}
    for path, policy in record.written(tuple(seen.values()), rules).items():
        file = seen[path]
        limit = settings.snapshot_limit_mib
        if policy == file_rules.SNAPSHOT and file.size > limit * 1024 * 1024:
            what = f"larger than {limit} MiB, so no copy of it is made, and changes in place stay"
            remedy = "raise snapshot_limit_mib"
            yield finding(HAZARD, by_pid[file.pid], path, what, remedy)
        elif policy == file_rules.ROLLBACK and file.flags & _ACCESS == os.O_RDWR:
            what = "open for reading and writing; a restart undoes what is appended, nothing else"
            remedy = f"if it is changed in place: TORQUECKPT_FILES={path}=snapshot"
            yield finding(NOTE, by_pid[file.pid], path, what, remedy)
