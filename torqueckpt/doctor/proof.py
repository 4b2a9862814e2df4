# SPDX-License-Identifier: MIT
"""Prove that jobs come back: each is dumped, ended, restored, and compared with an untouched one.

With --full one small program more for each kind of resource.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torqueckpt.doctor.checks import Check, Node, failure, ok, warning
from torqueckpt.doctor.resource_programs import PROGRAMS, REFUSED, program
from torqueckpt.doctor.trial import GO, HELD, Outcome, Trial
from torqueckpt.errors import TorqueCkptError
from torqueckpt.findings import Finding

# It remembers what only its memory holds, counts into its output and into a file, and tells which
# cgroups it is in, before and after.
_STATUS = 7

_JOB = f"""
secret=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \\n')
cgroups() {{ while read -r line; do echo "cgroup $line"; done </proc/$$/cgroup; }}
cgroups
echo "secret $secret"
exec 3>file
i=0
while [ ! -e {GO} ]; do
    i=$((i + 1))
    echo "line $i"
    echo "line $i" >&3
    [ $i -ne 3 ] || echo {HELD.strip()}
    sleep 0.05
done
cgroups
echo "secret $secret"
echo "file $(wc -l <file)"
exit {_STATUS}
"""


_AS_ABOVE = "fix what is said above; torqueckpt-exit-codes(7); the system log has the details"
_KINDS = "fix what is said above; torqueckpt-resources(7)"
_TELL = "torqueckpt doctor --full names the kind of resource; report it with that table"


_STATUS = 7

_NOT_HERE = "not here"  # a program's first word where the kernel does not let users have it


def proof(node: Node) -> Iterator[Finding]:
    if node.user is None:
        yield warning("not tried: no user was named", "torqueckpt doctor --job-user USER")
        return
    try:
        outcome = Trial(_JOB, node.user, node.settings, python=False).outcome()
    except (TorqueCkptError, OSError) as failed:
        yield failure(f"the job of {node.user.name} could not be tried: {failed}", _AS_ABOVE)
        return
    if outcome.why:
        yield failure(f"a job of {node.user.name}: {outcome.why}", _AS_ABOVE)
        return
    wrong = list(_differences(outcome))
    for each in wrong:
        yield failure(f"a job of {node.user.name} came back, but {each}", _TELL)
    if not wrong:
        times = ", ".join(f"{step} {ms} ms" for step, ms in outcome.times.items())
        yield ok(
            f"a job of {node.user.name} was dumped, killed, restored, and is as it was: {times}"
        )
    yield from _cgroups(outcome)


def _differences(outcome: Outcome) -> Iterator[str]:
    lines = outcome.out.splitlines()
    counted = [line for line in lines if line.startswith("line ")]
    secrets = {line for line in lines if line.startswith("secret ")}
    if outcome.status != _STATUS:
        yield f"ended with {outcome.status} instead of {_STATUS}"
    if counted != [f"line {n}" for n in range(1, len(counted) + 1)]:
        yield "its output has lines twice, or not at all"
    if len(secrets) != 1:
        yield "its memory is another"
    if f"file {len(counted)}" not in lines:
        yield "its file does not have what it wrote"


def _cgroups(outcome: Outcome) -> Iterator[Finding]:
    """Check that sudo leaves what it starts in the job's cgroup: with pam_systemd it does not."""
    told = [line for line in outcome.out.splitlines() if line.startswith("cgroup ")]
    before, after = told[: len(told) // 2], told[len(told) // 2 :]
    if not told or before != after:
        fix = "make install writes the sudo rule with !pam_session; is another rule before it?"
        yield failure("the restart left the cgroup of the job that it was started in", fix)
    else:
        yield ok("the restart stays in its job's cgroups")


class _Kind(NamedTuple):
    name: str

    def look(self, node: Node) -> Iterator[Finding]:
        if node.user is None:
            yield warning("not tried: no user was named", "torqueckpt doctor --job-user USER")
            return
        try:
            outcome = Trial(program(self.name), node.user, node.settings, python=True).outcome()
        except (TorqueCkptError, OSError) as failed:
            yield failure(f"not tried: {failed}", "fix what is said above")
            return
        as_it_was = outcome.status == _STATUS and outcome.out == f"{HELD}as it was\n"
        if outcome.out.startswith(_NOT_HERE):
            yield ok(f"users cannot have it on this kernel ({outcome.out.strip()})")
        elif outcome.refused and as_it_was:
            if self.name in REFUSED:
                reason = outcome.why.partition("cannot be dumped: ")[2]
                yield ok(f"refused before the dump, the job ran on: {reason}")
            else:
                yield failure(f"refused: {outcome.why}", _KINDS)
        elif outcome.why:
            yield failure(outcome.why, _KINDS)
        elif as_it_was:
            yield ok("restored as it was")
        else:
            last = outcome.err.strip().splitlines()[-1:] or [f"status {outcome.status}"]
            yield failure(f"restored, but not as it was: {last[0]}", "report it, with this table")


CHECKS = (Check("proof", "dump and restart", proof),)


RESOURCE_CHECKS = tuple(Check("resources", name, _Kind(name).look) for name in PROGRAMS)
