# SPDX-License-Identifier: MIT
"""Chains of jobs on a batch system of the tests' own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.batch.private import PrivateBatch
from tests.support import User, count_script


def status(batch: PrivateBatch, owner: User, chain: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(
        batch.check(batch.torqueckpt, "status", "--json", chain, user=owner)
    )
    return told


def submit(batch: PrivateBatch, owner: User, script: Path, *options: str) -> str:
    batch.skip_where_dependencies_hang()
    words = ("submit", *batch.limits_of(script, *options), *options, script.name)
    done = batch.run(batch.torqueckpt, *words, user=owner, directory=script.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def traced(trace: Path, last: int, pause: float = 0.1) -> str:
    """A job that counts, also into a file that nobody brings back: what was done twice shows."""
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
    # What waits is deleted a moment later.
    told["links"] = [link for link in told["links"] if link["began_from"]]
    return told, told["links"][-1]["job"]


def running_link(
    batch: PrivateBatch, owner: User, chain: str, number: int, seconds: float = 90
) -> dict[str, Any]:
    """That link of the chain, once it runs."""

    def look() -> dict[str, Any] | None:
        links = status(batch, owner, chain)["links"]
        found = links[number - 1] if len(links) >= number else {"state": ""}
        return found if found["state"] == "R" and found["began_from"] else None

    found: dict[str, Any] = batch.wait(
        look, f"link {number}", seconds, lambda: status(batch, owner, chain)
    )
    return found
