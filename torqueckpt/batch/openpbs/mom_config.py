# SPDX-License-Identifier: MIT
"""Write and check OpenPBS's mom_priv/config (source: contracts/openpbs.md, and its reader)."""

from __future__ import annotations

from pathlib import Path

from torqueckpt.batch.mom_config import Dialect
from torqueckpt.batch.openpbs.calls import REQUEUE
from torqueckpt.settings import Settings

_KNOWN = """
    action alien_attach alien_kill alps_client alps_confirm_empty_timeout
    alps_confirm_switch_timeout alps_release_jitter alps_release_timeout alps_release_wait_time
    attach_allow checkpoint_path clienthost configversion cputmult enforce
    gen_nodefile_on_sister_mom ideal_load job_launch_delay jobdir_root kbd_idle logevent
    max_check_poll max_load max_poll_downtime min_check_poll momname port prologalarm
    reject_root_scripts report_hook_checksums restart_background restart_transmogrify
    restrict_user restrict_user_exceptions restrict_user_maxsysid restricted
    sister_join_job_alarm spool_size suspendsig tmpdir usecp vnode_per_numa_node
    vnodedef_additive wallmult
"""

_REPEATABLE = "clienthost enforce restricted usecp"

DIALECT = Dialect(
    system="OpenPBS",
    known=frozenset(_KNOWN.split()),
    repeatable=frozenset(_REPEATABLE.split()),
    by_first_word=frozenset(["action"]),
    longest_line=511,
    comments_after_text=False,
    folds_case=False,
    unknown_means="pbs_mom ends when it reads this",
    unknown_stops=True,
)

# Options of `torqueckpt configure` that become lines of the block; there is no $loglevel.
OPTIONS = {"pbsserver": "clienthost", "usecp": "usecp", "logevent": "logevent"}

# The words that our programs get.  The first one tells this call from TORQUE's, which is a number.
_CALL = "openpbs %sid %jobid %login %taskid %path"


def block(sbin: Path, pointer_dir: Path, timeout_seconds: int) -> list[tuple[str, str]]:
    """The lines of our block.  The restart has no time limit: it waits for the server.

    MOM has to wait for the restart (no restart_transmogrify): it would kill a job with a walltime
    limit.  Of a script that takes too long MOM kills the one process, so the limit is above all of
    ours.
    """
    checkpoint, restart = sbin / "mom-checkpoint", sbin / "mom-restart"
    return [
        ("action", f"checkpoint {timeout_seconds} !{checkpoint} {_CALL} 0"),
        ("action", f"checkpoint_abort {timeout_seconds} !{checkpoint} {_CALL} 15"),
        ("action", f"restart 0 !{restart} {_CALL} {REQUEUE}"),
        ("restart_background", "true"),
        ("restart_transmogrify", "false"),
        ("checkpoint_path", str(pointer_dir)),
    ]


def against(name: str, value: str, settings: Settings) -> tuple[str, str] | None:
    """What a line of the site's takes from checkpoints, and what to do; None for most lines."""
    if name == "reject_root_scripts" and value[:1].lower() in ("1", "t", "y"):
        what = "pbs_mom takes no hook from its server, and jobs go on by torqueckpt's launch hook"
        return what, "take it out"
    return None


def script_of(name: str, value: str) -> Path | None:
    """The program that a directive names; None when it names none."""
    words = value.split()
    if name == "action" and len(words) > 2 and words[2].startswith("!"):
        return Path(words[2][1:])
    return None
