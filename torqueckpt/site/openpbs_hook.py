# SPDX-License-Identifier: MIT
"""Put OpenPBS's launch hook in place, and tell what the server does not let this node's root do.

Only qmgr on the server's own host, by root, can import a hook; the server then sends it to every
MOM.  So on other nodes it is only looked whether it has come.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from torqueckpt import layout, paths
from torqueckpt.batch.mom_config import in_file
from torqueckpt.batch.openpbs import launch_hook
from torqueckpt.batch.server import connect, lets_operate
from torqueckpt.errors import TorqueCkptError
from torqueckpt.findings import HAZARD, Finding
from torqueckpt.render import render
from torqueckpt.run import run
from torqueckpt.settings import Settings

ALARM_SECONDS = 90  # more than the hook itself waits for an answer
_ANSWER_SECONDS = 10
_QMGR_SECONDS = 60
_ARRIVES_WITHIN_SECONDS = 30
_ADVICE = (
    "on the server's host, as root: torqueckpt configure openpbs --apply, or "
    "qmgr < torqueckpt-launch.qmgr, which --output DIR writes"
)


def text(settings: Settings) -> bytes:
    """The hook's script."""
    values = {
        "program": str(paths.program("bin", "torqueckpt")),
        "owners": str(settings.store / layout.JOBS),
    }
    return render("openpbs/launch_hook.py.j2", values).encode()


def check(mom_priv: Path, settings: Settings) -> list[Finding]:
    """What is not as it should be; the server's side only where it answers."""
    return [*_at_mom(mom_priv, settings), *_at_server(settings)]


def put(mom_priv: Path, pbs_conf: Mapping[str, str], settings: Settings) -> Iterator[str]:
    """Have the server take the hook; gives what was done.

    Nothing is done where the server is another host's, nor where all is as it should be.
    """
    if not _is_servers_host(mom_priv, pbs_conf) or not check(mom_priv, settings):
        return
    with tempfile.NamedTemporaryFile(prefix="torqueckpt-", suffix=".hook") as file:
        file.write(text(settings))
        file.flush()
        _qmgr(pbs_conf, f"create hook {launch_hook.NAME}")  # or it is there
        for line in (
            f"set hook {launch_hook.NAME} event = execjob_launch",
            f"set hook {launch_hook.NAME} alarm = {ALARM_SECONDS}",
            f"import hook {launch_hook.NAME} application/x-python default {file.name}",
        ):
            refused = _qmgr(pbs_conf, line)
            if refused:
                yield f"qmgr: {refused}"
                return
    yield "the launch hook is in place at the server"
    until = time.monotonic() + _ARRIVES_WITHIN_SECONDS
    while _at_mom(mom_priv, settings) and time.monotonic() < until:
        time.sleep(0.2)


def remove(mom_priv: Path, pbs_conf: Mapping[str, str]) -> Iterator[str]:
    """Have the server forget the hook; gives what was done."""
    if _is_servers_host(mom_priv, pbs_conf) and launch_hook.place(mom_priv).exists():
        refused = _qmgr(pbs_conf, f"delete hook {launch_hook.NAME}")
        yield f"qmgr: {refused}" if refused else "the server has forgotten the launch hook"


def _at_mom(mom_priv: Path, settings: Settings) -> Iterator[Finding]:
    path = launch_hook.place(mom_priv)
    try:
        same = path.read_bytes().strip() == text(settings).strip()
    except OSError:
        told = "the launch hook is not there: no job goes on by itself from its image"
        yield in_file(str(path), 0, told, _ADVICE)
        return
    if not same:
        yield in_file(str(path), 0, "the launch hook is not up to date", _ADVICE)


def _at_server(settings: Settings) -> Iterator[Finding]:
    try:
        with connect(settings, timeout_seconds=_ANSWER_SECONDS) as pbs:
            answer = pbs.server_status(("managers", "operators"))
            if not pbs.is_openpbs or lets_operate(answer):
                return
    except TorqueCkptError:  # the doctor says so
        return
    me = f"root@{socket.getfqdn()}"
    told = f"{me} is no operator of it: jobs that OpenPBS restarts wait for that"
    yield Finding(HAZARD, answer.name, told, f"qmgr -c 'set server operators += {me}'")


def _is_servers_host(mom_priv: Path, pbs_conf: Mapping[str, str]) -> bool:
    here, server = os.uname().nodename, pbs_conf.get("PBS_SERVER", "")
    return (mom_priv.parent / "server_priv" / "hooks").is_dir() and (
        here.partition(".")[0].lower() == server.partition(".")[0].lower()
    )


def _qmgr(pbs_conf: Mapping[str, str], line: str) -> str:
    """Run one line; gives what it was refused with, or ""."""
    program = Path(pbs_conf.get("PBS_EXEC", "/opt/pbs"), "bin", "qmgr")
    environment = {
        name: os.environ[name] for name in ("PBS_CONF_FILE", "HOME") if name in os.environ
    }
    done = run(
        [str(program), "-c", line],
        timeout_seconds=_QMGR_SECONDS,
        environment=environment,
        as_root=True,
    )
    return "" if done.ok else done.last_line() or f"status {done.status}: {line}"
