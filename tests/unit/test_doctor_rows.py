# SPDX-License-Identifier: MIT
"""What the doctor makes of answers that no server and no file system here gives."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from torqueckpt.checkpointers.criu.criu import Criu
from torqueckpt.doctor import batch_system, cleaners, kernel, programs
from torqueckpt.doctor import store as store_place
from torqueckpt.doctor.checks import Node
from torqueckpt.findings import Finding
from torqueckpt.ifl.records import Server
from torqueckpt.process import memory, node, privileges
from torqueckpt.settings import Settings
from torqueckpt.site import mom


def _server(name: str = "head", **attributes: str) -> Server:
    given: Mapping[str, str] = attributes
    return Server(name, given)


def _node(**options: object) -> Node:
    return Node(Settings(**options), None, None, privileges.owner("nobody"))  # type: ignore[arg-type]


def _fixes(told: list[Finding]) -> list[str]:
    return [each.remedy for each in told if each.severity != "ok"]


def test_root_of_a_node_who_is_no_operator_and_sees_no_other_jobs() -> None:
    fixes = _fixes(
        list(batch_system._rights(_server(managers="root@head", query_other_jobs="False")))
    )
    assert [fix.split("'")[1].split(" += ")[0] for fix in fixes] == [
        "set server operators",
        "set server query_other_jobs = true",
    ]


def test_without_an_operator_what_openpbs_restarts_waits() -> None:
    answer = _server(managers="root@head", query_other_jobs="True")
    (row,) = batch_system._rights(answer, openpbs=True)
    assert row.severity == "failure" and "jobs that OpenPBS restarts wait" in row.what


@pytest.mark.parametrize("who", [f"root@{socket.gethostname()}", "root@*"])
def test_root_of_a_node_who_is_one(who: str) -> None:
    answer = _server(operators=f"ann@head, {who}", query_other_jobs="True")
    assert list(batch_system._rights(answer)) == []


def test_root_of_the_servers_own_host_needs_neither() -> None:
    assert list(batch_system._rights(_server(socket.gethostname()))) == []


@pytest.mark.parametrize(
    ("number", "outcome", "told"),
    [
        (errno.EACCES, "warning", "takes root for nobody"),
        (errno.EPERM, "warning", "takes root for nobody"),
        (errno.ENOSPC, "failure", "is full"),
        (errno.EDQUOT, "failure", "is full"),
        (errno.ENOLCK, "failure", "has no locks"),
        (errno.EROFS, "failure", "Read-only"),
        (errno.ESTALE, "failure", "Stale"),
        (errno.ENOENT, "failure", "No such file"),
        (errno.EFBIG, "failure", "File too large"),
    ],
)
def test_a_store_that_cannot_be_written(number: int, outcome: str, told: str) -> None:
    found = store_place._not_writable(Path("/store"), OSError(number, os.strerror(number)))
    assert found.severity == outcome and told in found.what and found.remedy


@pytest.mark.parametrize(
    ("kind", "shared", "outcome"),
    [
        ("tmpfs", False, "warning"),
        ("nfs4", False, "warning"),
        ("nfs4", True, "ok"),
        ("ext4", True, "warning"),
        ("ext4", False, "ok"),
    ],
)
def test_a_file_system_that_does_not_fit_the_settings(
    monkeypatch: pytest.MonkeyPatch, kind: str, shared: bool, outcome: str
) -> None:
    monkeypatch.setattr(node, "kind_of", lambda path: kind)
    (told,) = store_place.file_system(_node(store_shared=shared))
    assert told.severity == outcome and bool(told.remedy) is (outcome != "ok")


def test_the_file_system_of_a_path_below_a_mount() -> None:
    assert node.kind_of(Path("/proc/self/status")) == "proc"
    assert node.kind_of(Path("/nowhere/at/all")) == node.kind_of(Path("/"))


def test_pages_are_looked_at_without_harm() -> None:
    assert memory.dirty_ones_are_tracked() in (True, False)
    assert memory.dirty_ones_are_tracked() == memory.dirty_ones_are_tracked()


class _Asked(Criu):
    """CRIU, whose answers to checks for a feature are made up: "" for yes."""

    answers: Mapping[str, str]

    def capabilities(self, established_tcp: bool) -> tuple[str, ...]:
        return ()

    def pre_dump_checks(self) -> list[list[str]]:
        return [
            ["/usr/bin/test", "-z", self.answers[argv[-1]], "-a", "-n", argv[-1]]
            for argv in super().pre_dump_checks()
        ]


@pytest.mark.parametrize(
    ("tracks", "answers", "settings", "what"),
    [
        (False, {}, {}, "does not track them: each image is written while its job stands"),
        (
            True,
            {"mem_dirty_track": "no"},
            {},
            "criu, run as a job's owner, lacks mem_dirty_track: each image",
        ),
        (
            True,
            {"pagemap_scan": "no"},
            {},
            "criu, run as a job's owner, lacks pagemap_scan: each image",
        ),
        (True, {}, {}, 'pre_dump = "auto" would use it'),
        (True, {}, {"pre_dump": "auto"}, "memory is dumped while jobs run, and"),
    ],
)
def test_changed_pages_are_no_failure_whatever_the_kernel_and_the_checkpointer_can(
    root: None,
    monkeypatch: pytest.MonkeyPatch,
    tracks: bool,
    answers: dict[str, str],
    settings: dict[str, str],
    what: str,
) -> None:
    monkeypatch.setattr(memory, "dirty_ones_are_tracked", lambda: tracks)
    backend = _Asked(Settings())
    backend.answers = {"mem_dirty_track": "", "pagemap_scan": "", **answers}
    node = _node(**settings)._replace(checkpointer=backend)
    (told,) = kernel.changed_pages(node)
    assert what in told.what
    limited = Path("/proc/sys/fs/pipe-user-pages-soft").read_text().strip() != "0"
    expected = "warning" if settings and limited else "ok"
    assert (told.severity, bool(told.remedy)) == (expected, expected == "warning")


def test_a_kernel_that_tracks_is_of_no_use_without_a_checkpointer_that_asks_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "dirty_ones_are_tracked", lambda: True)
    (told,) = kernel.changed_pages(_node())
    assert (told.severity, told.remedy) == ("ok", "")
    assert "the checkpointer does not use it" in told.what


def test_a_process_that_the_kernel_may_write_into_at_any_time_is_told_from_others() -> None:
    setup = "import ctypes; c = ctypes.c_long(); ctypes.CDLL(None).syscall(206, 8, ctypes.byref(c))"
    waits = "print(flush=True); input()"
    for text, expected in ((waits, False), (f"{setup}; {waits}", True)):
        argv = [sys.executable, "-c", text]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdin is not None
            process.stdout.readline()
            assert memory.written_unseen(process.pid) is expected
            process.stdin.write(b"\n")
            process.stdin.close()
    assert memory.written_unseen(process.pid) is False


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("rm -rf /var/spool/checkpoint/jobs/$2", "failure"),
        ("/usr/bin/find /var/spool/checkpoint -mtime +3 -delete", "failure"),
        ("cd /x && rm -r /var/spool/checkpoint-pointers/*", "failure"),
        ("tmpwatch 240 /tmp", "warning"),
        ('rm -rf "$TMPDIR"', "warning"),
        ("find /dev/shm -user $2 -exec rm {} +", "warning"),
        ("rm -f /var/lock/x", "ok"),
        ("# rm -rf /var/spool/checkpoint", "ok"),
        ("echo /var/spool/checkpoint", "ok"),
        ("charm /tmp", "ok"),
        ("perform /tmp/x", "ok"),
    ],
)
def test_lines_of_an_epilogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, outcome: str
) -> None:
    (tmp_path / "epilogue").write_text(f"#!/bin/sh\n{line}\n")
    here = [(mom.SYSTEMS["torque"], tmp_path)]
    monkeypatch.setattr(cleaners, "mom_priv", lambda: here)
    found = [t for t in cleaners.scripts(_node()) if "epilogue:" in t.what or t.severity == "ok"]
    assert [told.severity for told in found] == [outcome]


@pytest.mark.parametrize(
    ("age", "seconds"),
    [("-", None), ("10d", 864000), ("1w2d", 777600), ("~5h", 18000), ("30", 30), ("0", 0)],
)
def test_ages_of_tmpfiles_rules(age: str, seconds: float | None) -> None:
    assert cleaners._seconds(age) == seconds


@pytest.mark.parametrize(("mode", "outcome"), [("control-group", "warning"), ("process", "ok")])
def test_a_unit_that_ends_the_jobs_with_its_mom(
    place: Path, monkeypatch: pytest.MonkeyPatch, mode: str, outcome: str
) -> None:
    program = place / "systemctl"
    program.write_text(
        f'#!/bin/sh\n[ "$*" = "show -p KillMode x.service" ] && echo KillMode={mode}\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(batch_system, "_SYSTEMCTL", str(program))
    monkeypatch.setattr(batch_system, "_unit_of", lambda pid: "x.service")
    (told,) = batch_system.mom_unit(_node())
    assert told.severity == outcome and f"KillMode={mode}" in told.what or outcome == "ok"


def test_the_unit_of_a_process_that_is_in_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert batch_system._unit_of(0) == "" and batch_system._unit_of(os.getpid()) in (
        "",
        batch_system._unit_of(1),
    )
    monkeypatch.setattr(
        Path, "read_text", lambda self: "1:name=systemd:/system.slice/pbs_mom.service/x\n0::/\n"
    )
    assert batch_system._unit_of(1) == "pbs_mom.service"


def test_a_mom_that_runs_elsewhere_than_usual_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PBS_CONF_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("PBS_HOME", raising=False)
    running = tmp_path / "opt" / "mom_priv"
    assert mom.here(running)[-1] == (mom.SYSTEMS["torque"], running)
    (tmp_path / "pbs.conf").write_text("PBS_HOME=/x\n")
    monkeypatch.setenv("PBS_CONF_FILE", str(tmp_path / "pbs.conf"))
    assert mom.here(running)[-1] == (mom.SYSTEMS["openpbs"], running)


def test_a_pbs_home_is_one_systems_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mom_priv").mkdir()
    monkeypatch.setenv("PBS_HOME", str(tmp_path))
    monkeypatch.setenv("PBS_CONF_FILE", str(tmp_path / "none"))
    assert [system.name for system, _ in mom.here()] == ["torque"]


def test_a_store_that_is_a_file_or_a_users() -> None:
    def wrong(mode: int, uid: int = 0) -> list[str]:
        status = os.stat_result((mode, 1, 1, 1, uid, 0, 0, 0, 0, 0))
        return [fix for _, fix in store_place._wrong(Path("/s"), status)]

    assert wrong(stat.S_IFREG | 0o644) == ["name its real path in the settings"]
    assert wrong(stat.S_IFDIR | 0o755, uid=5) == ["chown root /s"]
    assert wrong(stat.S_IFDIR | 0o700) == wrong(stat.S_IFDIR | 0o775) == ["chmod 0755 /s"]
    assert wrong(stat.S_IFDIR | 0o755) == []


def test_without_the_library_for_dumps_jobs_feel_a_checkpoint(tmp_path: Path) -> None:
    checkpointer = Criu(Settings())
    checkpointer.dump_library = tmp_path / "continue-calls.so"
    fit = _node()._replace(checkpointer=checkpointer)
    (told,) = programs.waiting_calls(fit)
    assert told.severity == "warning" and "EINTR" in str(told) and "C compiler" in told.remedy
    checkpointer.dump_library.touch()
    (told,) = programs.waiting_calls(fit)
    assert told.severity == "ok"
