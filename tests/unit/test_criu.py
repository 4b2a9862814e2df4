# SPDX-License-Identifier: MIT
"""criu's command lines, and its version in what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.base import Checkpointer, Dump, Restore
from torqueckpt.checkpointers.criu import criu, limits, log
from torqueckpt.errors import CheckpointerMissing, CheckpointerRefused
from torqueckpt.process.proc import Stat
from torqueckpt.process.resources import Holdings
from torqueckpt.settings import Settings

_IMAGE, _WORK = Path("/store/1/image"), Path("/store/1/work")
_BOTH = {"--unprivileged", "--shell-job", "--file-locks", "--ext-unix-sk"}


@pytest.fixture
def backend() -> Checkpointer:
    return registry.load("criu", Settings(criu_path=Path("/opt/criu")))


def _dump(stopped: bool = False, tcp: bool = False) -> Dump:
    return Dump(4242, _IMAGE, _WORK, stopped, tcp)


def _after(argv: list[str], option: str) -> str:
    assert argv.count(option) == 1, option
    return argv[argv.index(option) + 1]


def test_a_dump_names_tree_and_directories_and_leaves_the_tree_running(
    backend: Checkpointer,
) -> None:
    argv = backend.dump_argv(_dump())
    assert argv[:2] == ["/opt/criu", "dump"]
    assert set(argv) >= _BOTH | {"--leave-running"}
    assert _after(argv, "--tree") == "4242"
    assert _after(argv, "--images-dir") == str(_IMAGE)
    assert _after(argv, "--work-dir") == str(_WORK)
    assert _after(argv, "--log-file") == "dump.log"
    assert _after(argv, "--ghost-limit") == "64M"
    assert "--leave-stopped" not in argv and "--tcp-established" not in argv


def test_a_dump_that_ends_the_job_leaves_the_tree_stopped_for_as_long_as_the_image_is_not_safe(
    backend: Checkpointer,
) -> None:
    argv = backend.dump_argv(_dump(stopped=True))
    assert "--leave-stopped" in argv and "--leave-running" not in argv


def test_a_pre_dump_copies_pages_once_the_tree_runs_again_and_calls_nobody(
    backend: Checkpointer,
) -> None:
    dump = _dump()._replace(before=_IMAGE.with_name("before"), at_freeze=Path("/lib/at-freeze"))
    argv = backend.pre_dump_argv(dump)
    assert argv[:2] == ["/opt/criu", "pre-dump"]
    assert set(argv) >= _BOTH | {"--track-mem"}
    assert _after(argv, "--tree") == "4242"
    assert _after(argv, "--pre-dump-mode") == "read"
    assert _after(argv, "--images-dir") == _after(argv, "--work-dir") == "/store/1/before"
    assert _after(argv, "--log-file") == "pre-dump.log"
    assert not {"--action-script", "--leave-running", "--leave-stopped"} & set(argv)


def test_only_a_dump_with_a_pre_dump_tracks_memory_and_finds_it_beside_the_image(
    backend: Checkpointer,
) -> None:
    argv = backend.dump_argv(_dump()._replace(before=_IMAGE.with_name("before")))
    assert "--track-mem" in argv
    assert _after(argv, "--prev-images-dir") == "../before"
    assert not {"--track-mem", "--prev-images-dir"} & set(backend.dump_argv(_dump()))


def test_a_pre_dump_needs_changed_pages_and_pages_of_zeros_to_be_told(
    backend: Checkpointer,
) -> None:
    asked = [argv[-2:] for argv in backend.pre_dump_checks()]
    assert asked == [["--feature", "mem_dirty_track"], ["--feature", "pagemap_scan"]]
    assert all(argv[:3] == backend.check_argv() for argv in backend.pre_dump_checks())


def test_tcp_is_never_closed_and_never_locked_with_iptables(backend: Checkpointer) -> None:
    argv = backend.dump_argv(_dump(tcp=True))
    assert "--tcp-established" in argv and "--tcp-close" not in argv
    assert _after(argv, "--network-lock") == "skip"
    restored = backend.restore_argv(Restore(_IMAGE, _WORK, True, ()))
    assert "--tcp-established" in restored and "--tcp-close" not in restored
    assert "--tcp-established" not in backend.restore_argv(Restore(_IMAGE, _WORK, False, ()))


def test_a_restored_tree_is_the_child_of_who_restores_it(backend: Checkpointer) -> None:
    argv = backend.restore_argv(Restore(_IMAGE, _WORK, False, ()))
    assert argv[:2] == ["/opt/criu", "restore"]
    assert set(argv) >= _BOTH | {"--restore-detached", "--restore-sibling"}
    assert _after(argv, "--images-dir") == str(_IMAGE)
    assert _after(argv, "--work-dir") == str(_WORK)
    assert _after(argv, "--log-file") == "restore.log"


def test_dump_and_restore_share_the_options_that_make_an_image_acceptable(
    backend: Checkpointer,
) -> None:
    dumped = backend.dump_argv(_dump())
    restored = backend.restore_argv(Restore(_IMAGE, _WORK, False, ()))
    assert set(criu._COMMON) <= set(dumped) & set(restored)


def test_an_inherited_file_is_named_without_its_leading_slash(backend: Checkpointer) -> None:
    inherited = ((11, "/var/spool/torque/spool/12.srv.OU"), (12, "/home/my dir/12.srv.SC"))
    argv = backend.restore_argv(Restore(_IMAGE, _WORK, False, inherited))
    found = [argv[n + 1] for n, word in enumerate(argv) if word == "--inherit-fd"]
    assert found == [
        "fd[11]:var/spool/torque/spool/12.srv.OU",
        "fd[12]:home/my dir/12.srv.SC",
    ]


def test_net_admin_is_asked_for_only_with_established_tcp_and_where_root_says_so(
    backend: Checkpointer,
) -> None:
    without = set(backend.capabilities(False))
    assert without == {"checkpoint_restore"}
    assert set(backend.capabilities(True)) == without
    assert backend.tcp_library is not None
    trusted = criu.Criu(Settings(criu_net_admin=True))
    assert set(trusted.capabilities(False)) == without
    assert set(trusted.capabilities(True)) == without | {"net_admin"}
    assert trusted.tcp_library is None


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("Can't fork for 4242: File exists", 30),
        ("Pid 17 do not match expected 4242 (task 4242)", 30),
        ("Unable to create a thread: -17", 30),
        ("Unable to open /dev/ptmx with specified index 5", 30),
        ("Can't bind inet socket back: Address already in use", 80),
        ("Unable to create a thread: -11", 0),
        ("Can't setgroups([1002 gid 0]): -1", 0),
    ],
)
def test_a_restore_waits_for_what_may_be_free_soon_and_for_nothing_else(
    backend: Checkpointer, line: str, seconds: int
) -> None:
    reason = log.reason_in(f"(00.1) pie: 7: Error (criu/x.c:1): {line}\n")
    assert backend.passes_seconds(reason, 30) == seconds


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("Version: 4.2.1\n", "4.2.1"),
        ("Version: 4.2\nGitID: v4.2-13-gabcdef\n", "4.2"),
        ("Warn  (criu/kerndat.c:1): x\nVersion: 4.2.1\n", "4.2.1"),
        ("", ""),
        ("criu: error while loading shared libraries", ""),
        ("GitID: v4.2", ""),
    ],
)
def test_the_version_is_read_from_what_criu_prints(
    backend: Checkpointer, output: str, version: str
) -> None:
    assert backend.version(output) == version
    assert backend.version_argv() == ["/opt/criu", "--version"]


def test_a_dump_without_its_last_files_is_no_image(backend: Checkpointer, tmp_path: Path) -> None:
    dump = Dump(4242, tmp_path / "image", tmp_path / "work", False, False)
    for made in (dump.image_dir, dump.work_dir):
        made.mkdir()
    assert backend.incomplete(dump) == "inventory.img was not written"
    (dump.image_dir / "inventory.img").touch()
    assert backend.incomplete(dump) == "stats-dump was not written"
    (dump.work_dir / "stats-dump").touch()
    assert backend.incomplete(dump) == ""


def test_a_checkpointer_that_nobody_knows_is_named() -> None:
    with pytest.raises(CheckpointerMissing, match="cryo"):
        registry.load("cryo", Settings())


@pytest.fixture
def yama(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file in which a kernel with Yama says what a process may trace."""
    file = tmp_path / "ptrace_scope"
    monkeypatch.setattr(criu, "_YAMA", file)
    return file


def test_where_yama_keeps_it_from_tracing_it_is_refused_with_both_remedies(yama: Path) -> None:
    yama.write_text("1\n")
    with pytest.raises(CheckpointerRefused) as refused:
        registry.usable_version(registry.load("criu", Settings(criu_path=Path("/bin/true"))))
    assert "set it to 0" in str(refused.value) and "criu_sys_ptrace = true" in str(refused.value)


def test_the_administrator_may_let_it_trace_every_process_of_the_node(yama: Path) -> None:
    yama.write_text("1\n")
    allowed = registry.load("criu", Settings(criu_sys_ptrace=True))
    assert allowed.refused_here() == ""
    assert "sys_ptrace" in allowed.capabilities(False)
    yama.write_text("3\n")
    assert (
        "set it to 0" in allowed.refused_here() and "criu_sys_ptrace" not in allowed.refused_here()
    )


@pytest.mark.parametrize("scope", ["0\n", None])
def test_where_yama_lets_it_it_gets_no_right_to_trace(yama: Path, scope: str | None) -> None:
    if scope is not None:
        yama.write_text(scope)
    for setting in (False, True):
        backend = registry.load("criu", Settings(criu_sys_ptrace=setting))
        assert backend.refused_here() == ""
        assert "sys_ptrace" not in backend.capabilities(False)


def test_it_reads_no_configuration_and_no_plugins_but_the_installations(
    backend: Checkpointer,
) -> None:
    for argv in (backend.dump_argv(_dump()), backend.pre_dump_argv(_dump()._replace(before=_WORK))):
        assert "--no-default-config" in argv
        assert _after(argv, "--libdir") == "/opt"  # where it lies itself, and nothing else does


def test_a_shell_that_is_just_starting_a_program_is_waited_for(
    backend: Checkpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Stat(4711, "sh", "D", 1, 4711, 4711, 1)
    held = Holdings({4711: shell}, [], {}, {}, [], [], {})
    backend.dump_library = Path("/bin/true")
    waits = iter(["kernel_clone", "kernel_clone", "do_wait"])
    monkeypatch.setattr(limits, "waits_in", lambda pid: next(waits))
    assert backend.findings(held) == []
    monkeypatch.setattr(limits, "waits_in", lambda pid: "kernel_clone")
    assert [each.subject for each in backend.findings(held)] == ["vfork"]


def test_a_name_that_has_just_gone_is_looked_for_once_more_and_not_for_ever(
    backend: Checkpointer,
) -> None:
    line = "Error (criu/files-reg.c:1): Can't create link remap for /tmp/x. Use link-remap option."
    reason = log.reason_in(line)
    assert "/tmp/x is open or mapped" in reason
    assert backend.is_of_a_moment(reason, False) and not backend.is_of_a_moment(reason, True)
    assert backend.is_of_a_moment("/tmp/x has just lost that name: checkpoint again", True)
    assert not backend.is_of_a_moment("no space left on the device", False)
