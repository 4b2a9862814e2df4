# SPDX-License-Identifier: MIT
"""Run one link of a chain, inside its batch job, as its owner.

It sees to it that another link waits behind it (behind the first, server_jobs.submit() does), then
it becomes the job: from the newest image, or by running the user's script.  The script runs below a
shell that says when it is done; that shell is in every image, so whichever link gets there ends the
chain.
"""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Sequence
from typing import NoReturn

from torqueckpt import layout, log, paths
from torqueckpt.batch.server import connect
from torqueckpt.chain import server_jobs
from torqueckpt.errors import (
    ChainStopped,
    JobStillRuns,
    StoreMissing,
    TorqueCkptError,
    UnknownChain,
)
from torqueckpt.process import privileges
from torqueckpt.process.inherited import environment
from torqueckpt.request import RestartRequest
from torqueckpt.restart import claiming, door
from torqueckpt.resubmit.resubmit import ANSWER_SECONDS
from torqueckpt.settings import Settings
from torqueckpt.store import access, chain, journal
from torqueckpt.store.chain import Chain, End, Link, Links
from torqueckpt.store.filesystem import translated
from torqueckpt.store.store import OwnerStore

_STILL_ENDING_SECONDS = 60.0

_RESTORE_FAILED = (45, 46)  # RestoreFailed, RestoreTimeout


# Batch systems signal all processes of a job: those are for the script, which gets them as always.
# After TERM it has its time to end, and has not ended by itself; a moment later, it may come.
RUN = """trap : HUP INT QUIT USR1 USR2 ALRM VTALRM PROF XCPU PWR
torqueckpt_ended=
trap torqueckpt_ended=y TERM
"$@"
status=$?
sleep 1
[ -n "$torqueckpt_ended" ] || "$0" link-ended {chain} $status
exit $status
"""


Given = dict[bytes, bytes]


def begin(present: str, script: bytes, words: Sequence[str], settings: Settings) -> int:
    """Be the first link: run the script, or go on with it when this very job was requeued."""
    owner_store = _own_store(settings)
    found = chain.of_job(owner_store, present)
    if found is None or not _is_same(found, present, script):
        chain.forget_old(owner_store, settings)
        found = chain.make(owner_store, present, int(time.time()))
        given = b"\0".join(name + b"=" + value for name, value in environment().items())
        with translated(found.directory.path):
            found.directory.write_whole(layout.SCRIPT, script, 0o700, limit=layout.SCRIPT_BYTES)
            found.directory.write_whole(
                layout.WORDS, b"".join(os.fsencode(word) + b"\0" for word in words)
            )
            found.directory.write_whole(layout.ENVIRONMENT, given)
        found.write(Links(present, os.environ.get("PBS_O_WORKDIR", os.getcwd()), ()))
    return _go_on(found, owner_store, present, settings)


def go_on(first: str, present: str, settings: Settings) -> int:
    """Be a later link; UnknownChain when the first one never began."""
    owner_store = _own_store(settings)
    found = chain.of_job(owner_store, first)
    if found is None:
        remedy = ": its first job never began on this store"
        raise UnknownChain(owner=owner_store.path.name, job=first, remedy=remedy)
    return _go_on(found, owner_store, present, settings)


def _go_on(found: Chain, owner_store: OwnerStore, present: str, settings: Settings) -> int:
    end = found.end()
    if end is not None:
        if end.how == chain.ENDED:
            log.info(f"{present}: chain {found.first} ended in {end.job} with {end.status}")
            return end.status
        raise ChainStopped(job=found.first, reason=end.why)
    known = found.read()
    lineage, generation = newest(owner_store, known)
    first_time = not known.links
    if not any(each.job == present for each in known.links):
        _stop_at_limits(found, known, (lineage, generation), present, settings)
        host = os.uname().nodename
        link = Link(present, host, int(time.time()), lineage, generation)
        known = Links(known.first, known.directory, (*known.links, link))
        found.write(known)
    _see_to_the_next(found, known, present, owner_store.path.name, settings)
    if not generation:
        if not first_time:
            _stop_unless_rerunable(found, present, settings)
            _tell(f"job {found.first} has no image yet: its script runs from the beginning")
        run_script(found, first_time)
    _wait_until_over(owner_store, lineage, settings)
    request = RestartRequest(
        job_id=lineage,
        present_job=present,
        generation=_older(owner_store, lineage, known),
    )
    door.resume(request, settings)


def _is_same(found: Chain, present: str, script: bytes) -> bool:
    """Whether this is the present job's chain, not one of an earlier job that had the same id."""
    return (
        found.first == present
        and found.end() is None
        and found.directory.read(layout.SCRIPT, layout.SCRIPT_BYTES) == script
    )


def newest(owner_store: OwnerStore, known: Links) -> tuple[str, int]:
    """The lineage and number of the chain's newest image; ("", 0) when there is none."""
    for each in reversed(known.links):
        lineage = owner_store.lineage_of(each.job)
        number = lineage.newest_number() if lineage is not None else 0
        if lineage is not None and number:
            return lineage.name, number
    return "", 0


def idle_links(known: Links, now: tuple[str, int]) -> int:
    """How many links in a row, up to now, have made no image."""
    count = 0
    for each in reversed(known.links):
        if (each.lineage, each.generation) != now:
            break
        count += 1
    return count


def ended(name: str, status: int, settings: Settings) -> None:
    """End the chain: the shell that ran the user's script says that the script is done."""
    owner = privileges.owner_of_uid(os.getuid())
    owner_store = access.owner_store(owner, settings)
    found = chain.of_job(owner_store, name)
    if found is None:
        raise UnknownChain(owner=owner.name, job=name, remedy="")
    present = _runs_it(owner_store, found.read())
    try:
        found.write_end(End(chain.ENDED, status, present, int(time.time()), ""))
    finally:
        server_jobs.cancel_waiting(found.first, present, owner.name, settings, _tell)


def _runs_it(owner_store: OwnerStore, known: Links) -> str:
    """The job that does the work now.

    The last link, or a job that somebody else has resumed it as.
    """
    lineage = owner_store.lineage_of(newest(owner_store, known)[0])
    try:
        live = lineage.live() if lineage is not None else None
    except TorqueCkptError as torn:
        log.warning(str(torn))
        live = None
    return live.job if live is not None and live.restored else known.links[-1].job


def _see_to_the_next(
    found: Chain, known: Links, present: str, user: str, settings: Settings
) -> None:
    """Have one link wait behind this one; where none can, the job says so and goes on."""
    host = None if settings.store_shared else os.uname().nodename
    try:
        with connect(settings, timeout_seconds=ANSWER_SECONDS) as pbs:
            jobs = server_jobs.of_chain(pbs, found.first, user)
            waiting = [job for job in jobs if job.id != present and job.waits]
            if waiting:
                server_jobs.tie_to_this_node(pbs, waiting[0], settings)
            elif present != found.first:  # which is being submitted just now, with the next
                server_jobs.set_up_next(pbs, found.first, present, known.directory, host)
    except TorqueCkptError as refusal:
        _tell(f"no job may be waiting to go on after this one: {refusal}")


def _stop_at_limits(
    found: Chain, known: Links, now: tuple[str, int], present: str, settings: Settings
) -> None:
    idle, why = idle_links(known, now), ""
    if len(known.links) >= settings.chain_links:
        why = f"{len(known.links)} links are all that chain_links allows"
    elif idle >= settings.chain_idle_links:
        why = f"{idle} links one after the other made no image (chain_idle_links)"
    if why:
        found.write_end(End(chain.STOPPED, 0, present, int(time.time()), why))
        raise ChainStopped(job=found.first, reason=why)


def _stop_unless_rerunable(found: Chain, present: str, settings: Settings) -> None:
    """Stop the chain of a job that must not be run again (qsub -r n)."""
    try:
        with connect(settings, timeout_seconds=ANSWER_SECONDS) as pbs:
            may = pbs.job(present).text("Rerunable") != "False"
    except TorqueCkptError as refusal:
        log.warning(str(refusal))
        may = True
    if not may:
        why = "there is no image to go on from, and it must not be run again (-r n)"
        found.write_end(End(chain.STOPPED, 0, present, int(time.time()), why))
        server_jobs.cancel_waiting(found.first, present, found.owner, settings, _tell)
        raise ChainStopped(job=found.first, reason=why)


def _wait_until_over(owner_store: OwnerStore, name: str, settings: Settings) -> None:
    """Wait while the link before is still ending, lest a failed restart is noted."""
    lineage = owner_store.lineage_of(name)
    until = time.monotonic() + _STILL_ENDING_SECONDS
    while lineage is not None:
        try:
            asked = RestartRequest(name, name)
            claiming.refuse_if_running(owner_store, lineage.live(), asked, settings)
            return
        except JobStillRuns:
            if time.monotonic() > until:
                return  # it is refused then, with the reason
            time.sleep(2)


def _older(owner_store: OwnerStore, name: str, known: Links) -> int | None:
    """The number of an older image, when a link has just failed to restore the newest one.

    Else None.
    """
    before = [each for each in known.links[:-1] if each.lineage == name]
    noted = journal.last(owner_store, "lineage", name)
    lineage = owner_store.lineage_of(name)
    if not before or lineage is None or noted.get("event") != journal.RESTART_FAILED:
        return None
    numbers = lineage.numbers()
    tried = sum(each.generation == numbers[-1] for each in before)
    if noted.get("code") not in _RESTORE_FAILED or tried == 0:
        return None
    return numbers[max(len(numbers) - 1 - tried, 0)]


def _own_store(settings: Settings) -> OwnerStore:
    """Open the user's directory in the store; root makes it."""
    owner = privileges.owner_of_uid(os.getuid())
    try:
        return access.owner_store(owner, settings)
    except StoreMissing:
        door.make_owner_store()
        return access.owner_store(owner, settings)


def _tell(line: str) -> None:
    """Write a line to the job's stderr, where its owner will look."""
    log.info(line)
    os.write(2, f"torqueckpt: {log.one_line(line)}\n".encode("utf-8", "replace"))


def run_script(found: Chain, first_time: bool) -> NoReturn:
    """Become the shell that runs the script by its own interpreter.

    The store may be mounted noexec.
    """
    given: Given = environment()
    if not first_time:
        saved = found.directory.read(layout.ENVIRONMENT).split(b"\0")
        before = dict(item.split(b"=", 1) for item in saved if b"=" in item)
        now = {n: v for n, v in given.items() if n.startswith(b"PBS_") or n == b"TMPDIR"}
        given = {**before, **now}
    path = found.directory.path / layout.SCRIPT
    script = found.directory.read(layout.SCRIPT, layout.SCRIPT_BYTES)
    words = found.directory.read(layout.WORDS).split(b"\0")[:-1]
    argv = [*interpreter(script, given), os.fsencode(path), *words]
    program = os.fsencode(paths.program("bin", "torqueckpt"))
    text = RUN.format(chain=shlex.quote(found.name))
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and exec would pass that on
        signal.signal(ignored, signal.SIG_DFL)
    os.execve("/bin/sh", [b"/bin/sh", b"-c", os.fsencode(text), program, *argv], given)


def interpreter(script: bytes, given: Given) -> list[bytes]:
    """The script's interpreter, as the kernel reads its first line; else the job's shell."""
    line = script.split(b"\n", 1)[0].strip()
    if line.startswith(b"#!") and line[2:].strip():
        return line[2:].strip().split(None, 1)
    return [given.get(b"SHELL") or b"/bin/sh"]
