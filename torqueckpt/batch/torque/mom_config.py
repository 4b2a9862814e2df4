# SPDX-License-Identifier: MIT
"""Write and check TORQUE's mom_priv/config; tell which releases take periodic checkpoints.

Sources: contracts/torque.md, and its reader in 6.1.  A misplaced #if of October 2015 keeps MOM's
timer from ever being armed in the releases that came later.
"""

from __future__ import annotations

import re
from pathlib import Path

from torqueckpt import paths
from torqueckpt.batch.mom_config import Dialect
from torqueckpt.settings import Settings

_KNOWN = """
    alias_server_name alloc_par_cmd apbasil_path apbasil_protocol attempt_to_make_dir
    auto_ideal_load auto_max_load check_poll_time checkpoint_interval checkpoint_run_exe
    checkpoint_script clienthost configversion cputmult cray_check_rur cuda_visible_devices
    down_on_error enablemomrestart exec_with_exec ext_pwd_retry force_overwrite ideal_load
    igncput ignmem ignvmem ignwalltime job_exit_wait_time job_oom_score_adjust
    job_output_file_umask job_starter job_starter_run_privileged jobdirectory_sticky
    jobstartblocktime log_directory log_file_max_size log_file_roll_depth log_file_suffix
    log_keep_days logevent login_node loglevel max_conn_timeout_micro_sec
    max_join_job_wait_time max_load max_updates_before_sending memory_pressure_duration
    memory_pressure_threshold mom_hierarchy_retry_time mom_host mom_oom_immunize
    node_check_interval node_check_script nodefile_suffix nospool_dir_list pbsclient pbsserver
    preexec presetup_prologue prologalarm rcp_cmd rcpcmd reduce_prolog_checks
    reject_job_submission remote_checkpoint_dirs remote_reconfig reporter_mom
    resend_join_job_wait_time restart_script restricted source_login_batch
    source_login_interactive spool_as_final_name status_update_time thread_unlink_calls timeout
    tmpdir usecp use_smt varattr wallmult xauthpath
"""


_REPEATABLE = """
    alias_server_name nospool_dir_list pbsclient pbsserver
    remote_checkpoint_dirs restricted usecp varattr
"""


DIALECT = Dialect(
    system="TORQUE",
    known=frozenset(_KNOWN.split()),
    repeatable=frozenset(_REPEATABLE.split()),
    by_first_word=frozenset(),
    longest_line=118,
    comments_after_text=True,
    folds_case=True,
    unknown_means="pbs_mom passes over the line",
    unknown_stops=False,
    same_as={"clienthost": "pbsserver", "rcpcmd": "rcp_cmd"},
)


# Options of `torqueckpt configure` that become lines of the block.
OPTIONS = {name: name for name in ("pbsserver", "usecp", "logevent", "loglevel")}


_SCRIPTS = ("checkpoint_script", "restart_script", "checkpoint_run_exe")


_LONGEST_STARTER = 64 * 1024


_VERSION = re.compile(r"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?(?:\.h([0-9]+))?")

# release → the first of it whose timer stands still: patch level, hotfix
_BROKEN_FROM = {(4, 2): (10, 2), (5, 0): (3, 0), (5, 1): (2, 0), (6, 0): (0, 0), (6, 1): (0, 0)}

_WORKS = ((2, 5), (4, 1))


def block(sbin: Path, pointer_dir: Path, interval_minutes: int) -> list[tuple[str, str]]:
    """The lines of our block.

    Without checkpoint_run_exe every checkpointable job dies at its start.
    """
    return [
        ("checkpoint_script", str(sbin / "mom-checkpoint")),
        ("restart_script", str(sbin / "mom-restart")),
        ("checkpoint_run_exe", str(sbin / "mom-run")),
        ("checkpoint_interval", str(interval_minutes)),
        ("remote_checkpoint_dirs", str(pointer_dir)),
    ]


def against(name: str, value: str, settings: Settings) -> tuple[str, str] | None:
    """What a line of the site's takes from checkpoints, and what to do; None for most lines."""
    if name == "job_starter" and not _names_mom_run(value):
        what = "jobs start by it, not by mom-run: a daemon that one leaves forbids its checkpoints"
        return what, f'have {value} end in: exec {paths.program("sbin", "mom-run")} "$@"'
    if name == "source_login_batch" and settings.login_shell and _is_off(value):
        what = "not so for jobs with -c: mom-run starts their shell as a login shell"
        return what, f"login_shell = false in {paths.settings_file()}"
    if name == "source_login_interactive" and _is_off(value):
        what = "not so for jobs with -c: mom-run starts their shell as a login shell"
        return what, "qsub -I without -c: no interactive job can be checkpointed"
    if name == "wallmult" and _is_a_factor(value):
        what = (
            "MOM counts walltimes so, torqueckpt by the clock: last checkpoints of chains are late"
        )
        return what, "take it out where jobs have TORQUECKPT_CHAIN or come by torqueckpt submit"
    return None


def _names_mom_run(starter: str) -> bool:
    """Whether a $job_starter hands on to mom-run, as far as a look into it tells."""
    try:
        with open(starter, "rb") as file:
            lines = file.read(_LONGEST_STARTER).splitlines()
    except OSError:
        return False
    return any(b"mom-run" in line for line in lines if not line.lstrip().startswith(b"#"))


def _is_a_factor(value: str) -> bool:
    try:
        return float(value) != 1
    except ValueError:
        return False


def _is_off(value: str) -> bool:
    """As pbs_mom reads it."""
    return value[:1] in ("f", "F", "n", "N", "0") or value.lower() == "off"


def script_of(name: str, value: str) -> Path | None:
    """The program that a directive names; None when it names none."""
    return Path(value) if name in _SCRIPTS else None


def works(version: str) -> bool | None:
    """Whether MOM's own timer works, by its pbs_version.

    None for a release that nobody has tried.
    """
    found = _VERSION.search(version)
    if found is None:  # what is built from its repository calls itself master
        return False if version == "master" else None
    major, minor, patch, hotfix = (int(part or 0) for part in found.groups())
    if (major, minor) in _BROKEN_FROM:
        return (patch, hotfix) < _BROKEN_FROM[major, minor]
    return True if (major, minor) in _WORKS else None
