# SPDX-License-Identifier: MIT
"""A job longer than its queue's walltime is done in several, one behind the other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from tests.private_batch import LONG, PrivateBatch
from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque


@contextmanager
def service(batch: PrivateBatch, margin: int, **options: object) -> Iterator[None]:
    """`torqueckpt periodic`, quick to ask."""
    batch.configure(
        periodic_poll_seconds=1, periodic_grace_seconds=0, chain_margin_seconds=margin, **options
    )
    with Popen(batch.argv(batch.torqueckpt, "periodic")) as running:
        try:
            yield
            assert running.poll() is None
        finally:
            batch.run("pkill", "-f", "torqueckpt periodic")  # there is none but ours in there


def status(batch: PrivateBatch, owner: User, chain: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(
        batch.check(batch.torqueckpt, "status", "--json", chain, user=owner)
    )
    return told


def submit(batch: PrivateBatch, owner: User, script: Path, *options: str) -> str:
    words = ("submit", *options, script.name)
    done = batch.run(batch.torqueckpt, *words, user=owner, directory=script.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def traced(trace: Path, last: int, pause: float = 0.1) -> str:
    """A job that counts, and says so in a file that nobody brings back: what was done twice shows."""
    text = count_script(last, pause=pause)
    return text.replace("echo line $i", f"echo line $i; echo $i >>{trace}")


def wait_for_end(
    batch: PrivateBatch, owner: User, chain: str, seconds: float
) -> tuple[dict[str, Any], str]:
    """The chain's status once it has ended, and its last job."""

    def look() -> dict[str, Any] | None:
        told = status(batch, owner, chain)
        return told if told["state"] not in ("runs", "waits", "over") else None

    told = batch.wait(look, "the chain's end", seconds, lambda: status(batch, owner, chain))
    return told, told["links"][-1]["job"]


def test_a_job_of_several_walltimes_is_done_with_nothing_repeated(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    trace = directory / "trace"
    script = owner.script(traced(trace, 400), directory)
    with service(torque, margin=3, files=[f"{trace}=ignore"]):
        chain = submit(torque, owner, script, "-l", "walltime=15", "-v", "A=1")
        told, last = wait_for_end(torque, owner, chain, 240)
        ended = torque.wait_for_state(last, "C", 60)
    print(json.dumps(told["links"], indent=1))
    repeated = len(trace.read_text().split()) - 400
    print(f"{len(told['links'])} links, {repeated} lines of 0.1 s repeated")
    assert (told["state"], told["exit_status"], ended["exit_status"]) == ("ended", 7, "7")
    assert [link["end"] for link in told["links"]][:-1] == ["checkpointed"] * 3
    assert repeated == 0
    assert torque.delivered(last, directory)[0] == lines(400)
