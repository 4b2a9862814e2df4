# SPDX-License-Identifier: MIT
"""The matrix of --full: one small program for each kind of resource, held and restarted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torqueckpt.doctor.checks import Check, Node, Told, failure, ok, warning
from torqueckpt.doctor.resource_programs import PROGRAMS, REFUSED, program
from torqueckpt.doctor.trial import HELD, Trial
from torqueckpt.errors import TorqueCkptError

_STATUS = 7
_NOT_HERE = "not here"  # a program's first word where the kernel does not let users have it


class _Kind(NamedTuple):
    name: str

    def look(self, node: Node) -> Iterator[Told]:
        if node.user is None:
            yield warning("not tried: no user was named", "torqueckpt doctor --job-user USER")
            return
        try:
            made = Trial(program(self.name), node.user, node.settings, python=True).outcome()
        except (TorqueCkptError, OSError) as failed:
            yield failure(f"not tried: {failed}", "mend what is told above")
            return
        as_it_was = made.status == _STATUS and made.out == f"{HELD}as it was\n"
        if made.out.startswith(_NOT_HERE):
            yield ok(f"users cannot have it on this kernel ({made.out.strip()})")
        elif made.refused and as_it_was:
            if self.name in REFUSED:
                reason = made.why.partition("cannot be dumped: ")[2]
                yield ok(f"refused before the dump, the job ran on: {reason}")
            else:
                yield failure(f"refused: {made.why}", "docs/resources.md; mend what is told above")
        elif made.why:
            yield failure(made.why, "docs/resources.md; mend what is told above")
        elif as_it_was:
            yield ok("restored as it was")
        else:
            last = made.err.strip().splitlines()[-1:] or [f"status {made.status}"]
            yield failure(f"restored, but not as it was: {last[0]}", "report it, with this table")


CHECKS = tuple(Check("resources", name, _Kind(name).look) for name in PROGRAMS)
