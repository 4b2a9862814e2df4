# SPDX-License-Identifier: MIT
"""cr_restart, as BLCR has it (source: its man page): goes on from a file of cr_checkpoint's.

    cr_restart [-q] [--relocate OLD=NEW]… [--run-on-fail-KIND=COMMAND]… [-f] FILE

It stays as the job's parent and ends with its status; 125 where there was no restart.  COMMAND is
run by the caller's shell then: KIND is args, temp (a process number in use), env or perm.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Callable
from typing import NoReturn

from torqueckpt import errors, settings
from torqueckpt.checkpointers.criu.log import TAKEN
from torqueckpt.settings import Settings
from torqueckpt.shims import command, dump, images
from torqueckpt.store import journal

_KINDS = {
    "temp": (errors.RestoreTimeout, errors.Busy, errors.JobStillRuns),
    "env": (
        errors.CheckpointerMissing,
        errors.CheckpointerRefused,
        errors.CheckpointerTooOld,
        errors.KernelTooOld,
    ),
    "args": (errors.BadArguments, errors.NotAnImage, errors.UnknownJob, errors.NoImage),
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("cr_restart", allow_abbrev=False)
    parser.add_argument("-q", "--quiet", action="store_true", help="no messages")
    for option in ("--run", "--restore-pid"):
        parser.add_argument(option, action="store_true", help="accepted: it is so in any case")
    parser.add_argument("--relocate", action="append", default=[], metavar="OLD=NEW")
    for kind in ("success", "failure", "fail-args", "fail-temp", "fail-env", "fail-perm"):
        parser.add_argument(f"--run-on-{kind}", metavar="COMMAND")
    parser.add_argument("--version", action="version", version=f"%(prog)s {command.BLCR}")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("-f", "--file", metavar="FILE", type=command.place)
    which.add_argument("place", metavar="FILE", nargs="?", type=command.place)
    asked = parser.parse_args(argv)
    place = asked.file or asked.place

    def action() -> int:
        chosen = settings.load()
        found, owner = images.find(place, chosen), dump.owner_of_name(place)
        options = [word for each in asked.relocate for word in ("--relocate", each)]
        commands = {name: text for name, text in vars(asked).items() if name.startswith("run_on_")}
        if not any(commands.values()):
            dump.resume(found, owner, *options)
        status = _in_a_child(lambda: dump.resume(found, owner, *options))
        kind = _failure(found.lineage, chosen) if status == errors.OWN_FAILURE else ""
        for name in [f"run_on_fail_{kind}", "run_on_failure"] if kind else ["run_on_success"]:
            if commands[name]:
                subprocess.call(commands[name], shell=True)  # what the caller wrote, as the caller
        return status

    return command.run("cr_restart", asked.quiet, action)


def _in_a_child(action: Callable[[], NoReturn]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            action()
        finally:
            os._exit(errors.OWN_FAILURE)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def _failure(lineage: str, chosen: Settings) -> str:
    """BLCR's kind of failure of the last restart; "" when the job itself ended so."""
    code, reason = journal.why_not_restarted(lineage, chosen)
    if not code:
        return ""
    if TAKEN in reason:
        return "temp"
    codes = {each.exit_code: kind for kind, group in _KINDS.items() for each in group}
    return codes.get(code, "perm")
