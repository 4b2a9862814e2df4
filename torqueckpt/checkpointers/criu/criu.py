# SPDX-License-Identifier: MIT
"""CRIU 4.2 or later, run as the job's owner (facts: its manual, and measured on 4.2.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torqueckpt import paths
from torqueckpt.checkpointers.base import Checkpointer, Dump, ImageDetails, ImageFacts, Restore
from torqueckpt.checkpointers.criu import felt, limits, log, lost, rights, sockets, watches
from torqueckpt.checkpointers.criu.stream import CriuStream
from torqueckpt.findings import Finding
from torqueckpt.manifest import PACKED, Ceiling, Manifest
from torqueckpt.process.other_names import OtherName
from torqueckpt.process.resources import Holdings
from torqueckpt.settings import Settings

_PAGES = re.compile(r"pages-[0-9]+\.img")
_LOGS = {"dump": "dump.log", "restore": "restore.log", "pre-dump": "pre-dump.log"}
# The second is the kernel's call that tells pages of zeros from others.  Without it a criu that is
# not root's takes memory that was given back, and only read since, for memory that has not changed,
# and the job would go on with what had been there before.
_PRE_DUMP_NEEDS = ("mem_dirty_track", "pagemap_scan")

# On both sides, or a tree that one accepts the other refuses.
_COMMON = (
    "--unprivileged",
    "--no-default-config",
    "--shell-job",  # the exec PID is no session leader: it joins the session of who restores it
    "--file-locks",
    *("--ghost-limit", f"{limits.GHOST_LIMIT_MIB}M"),  # deleted files up to this size
    "--ext-unix-sk",  # a datagram socket to a daemon outside, as syslog's
    "--manage-cgroups=ignore",  # a restored job belongs to its new job's cgroup
)
# The kernel keeps the addresses of a connection whose processes were killed for a minute; more than
# that, since what a try has left of the tree may hold its pids for some seconds.
_TIME_WAIT_SECONDS = 80
_YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
_NOBODY_TRACES = 3  # until the next boot
_NO_LIBRARY = "an established connection, and tcp-repair.so, which CRIU needs for such, is missing"
_LIBRARY_REMEDY = (
    "install a C compiler and run make install again; or set criu_net_admin = true, which gives "
    "CRIU the node's whole network"
)


class Criu(Checkpointer):
    """Dumps with --leave-running or --leave-stopped; restores the tree as our own child."""

    name = "criu"
    needs_kernel = (5, 9)  # CAP_CHECKPOINT_RESTORE
    needs_version = (4, 2)  # older ones cannot dump on kernels of today
    dumps_held = True
    can_hold_restored = True
    links_to_repair = ("anon_inode:[timerfd]", "socket:")

    def __init__(self, settings: Settings) -> None:
        self.program = settings.criu()
        self._watched: watches.Found = {}  # by findings(), for the dump
        self._may_trace = settings.criu_sys_ptrace
        self._net_admin = settings.criu_net_admin
        libraries = paths.installation() / "preload"
        self.restore_library: Path = libraries / "restore.so"
        self.dump_library: Path = libraries / "continue-calls.so"
        if not self._net_admin:
            self.tcp_library = libraries / "tcp-repair.so"

    def version_argv(self) -> list[str]:
        return [str(self.program), "--version"]

    def check_argv(self) -> list[str]:
        return [str(self.program), "check", "--unprivileged"]

    def version(self, output: str) -> str:
        found = re.search(r"^Version: ([0-9.]+)", output, re.MULTILINE)
        return found.group(1) if found else ""

    def refused_here(self) -> str:
        scope = _yama_scope()
        if scope == 0 or (self._may_trace and scope != _NOBODY_TRACES):
            return ""
        remedy = "set it to 0 (in /etc/sysctl.d)"
        if scope != _NOBODY_TRACES:
            remedy += ", or criu_sys_ptrace = true, which gives CRIU every process of this node"
        return f"kernel.yama.ptrace_scope is {scope}, so CRIU may not trace a job: {remedy}"

    def capabilities(self, established_tcp: bool) -> tuple[str, ...]:
        tcp = ("net_admin",) if established_tcp and self._net_admin else ()
        yama = ("sys_ptrace",) if self._may_trace and _yama_scope() else ()
        return ("checkpoint_restore", *tcp, *yama)

    def dump_argv(self, dump: Dump) -> list[str]:
        return [
            *self._argv("dump", dump.image_dir, dump.work_dir),
            *("--tree", str(dump.exec_pid)),
            "--leave-stopped" if dump.stopped else "--leave-running",
            *(("--tcp-established", "--network-lock", "skip") if dump.established_tcp else ()),
            *(("--action-script", str(dump.at_freeze)) if dump.at_freeze else ()),
            *(_since(dump.before) if dump.before else ()),
            *(word for name in dump.other_names for word in ("--external", _external(name))),
        ]

    def pre_dump_checks(self) -> list[list[str]]:
        return [[*self.check_argv(), "--feature", name] for name in _PRE_DUMP_NEEDS]

    def pre_dump_argv(self, dump: Dump) -> list[str]:
        assert dump.before is not None
        return [
            *self._argv("pre-dump", dump.before, dump.before),
            *("--tree", str(dump.exec_pid), "--track-mem"),
            *("--pre-dump-mode", "read"),  # pages are copied once the tree runs again
        ]

    def merge(self, image_dir: Path, before: Path) -> int:
        from torqueckpt.checkpointers.criu import pre_dump

        return pre_dump.merge(image_dir, before)

    def restore_argv(self, restore: Restore) -> list[str]:
        return [
            *self._argv("restore", restore.image_dir, restore.work_dir),
            "--restore-detached",
            "--restore-sibling",  # a restored root that is our child: its status can be waited for
            *(("--tcp-established",) if restore.established_tcp else ()),
            *(("--stream",) if restore.streamed else ()),
            *(("--action-script", str(restore.at_freeze)) if restore.at_freeze else ()),
            *(
                word
                for fd, path in restore.inherited
                for word in ("--inherit-fd", f"fd[{fd}]:{path.lstrip('/')}")
            ),
        ]

    def lacks(self, established_tcp: bool) -> str:
        if not established_tcp or self.tcp_library is None or self.tcp_library.is_file():
            return ""
        return f"{_NO_LIBRARY}: {_LIBRARY_REMEDY}"

    def findings(self, held: Holdings) -> list[Finding]:
        found = [*limits.findings(held), *lost.findings(held, self.restore_library)]
        self._watched = watches.paths(held)
        felt_by_job = not self.dump_library.is_file()
        found += watches.findings(held, self._watched, felt_by_job)
        found += felt.findings(held, self.dump_library)
        if self.lacks(established_tcp=True):
            found += sockets.established(held, _NO_LIBRARY, _LIBRARY_REMEDY)
        return found

    def before_dump(self, dump: Dump) -> None:
        if self._watched:
            (dump.work_dir / watches.CACHE).write_bytes(watches.cache(self._watched))

    def refuses_itself(self, found: Finding) -> bool:
        if self._net_admin:  # then it dumps what is half closed
            return False
        return found.what == _NO_LIBRARY or sockets.is_refused_frozen(found)

    def is_of_a_moment(self, reason: str, again: bool) -> bool:
        just_come = log.NO_OTHER_NAME in reason and not again
        return just_come or log.is_of_a_moment(reason)

    def incomplete(self, dump: Dump) -> str:
        # A criu that ran out of room or was killed leaves these two behind unwritten.
        for file in (dump.image_dir / "inventory.img", dump.work_dir / "stats-dump"):
            if not file.is_file():
                return f"{file.name} was not written"
        return ""

    def reason(self, work_dir: Path, verb: str) -> str:
        return log.reason(work_dir / _LOGS[verb])

    def passes_seconds(self, reason: str, pid_wait_seconds: int) -> int:
        if log.ADDRESS_TAKEN in reason:
            return _TIME_WAIT_SECONDS
        return pid_wait_seconds if log.TAKEN in reason else 0

    def highest_descriptor(self, hard_limit: int) -> int:
        return limits.highest_descriptor(hard_limit)

    def numbers(self, manifest: Manifest) -> tuple[int, ...]:
        cores = (re.fullmatch(r"core-([0-9]{1,9})\.img", file.name) for file in manifest.image)
        return tuple(int(core.group(1)) for core in cores if core is not None)

    def decides_rights(self, name: str) -> bool:
        return rights.decides(name)

    def checked_rights(self, data: bytes, ceiling: Ceiling | None) -> bytes:
        return rights.checked(data, ceiling)

    def limited_rights(self, data: bytes, hard_limits: Sequence[int]) -> bytes:
        return rights.limited(data, hard_limits)

    def left_out(self, name: str) -> bool:
        return rights.left_out(name)

    def is_memory(self, name: str) -> bool:
        return self.packs(name[: -len(PACKED)] if name.endswith(PACKED) else name)

    def packs(self, name: str) -> bool:
        return _PAGES.fullmatch(name) is not None

    def stream(self) -> CriuStream:
        return CriuStream()

    def repair(self, dump: Dump) -> list[str]:
        from torqueckpt.checkpointers.criu import mended

        return mended.mend(dump.image_dir, dump.other_names)

    def image_reader(self) -> Callable[[Path, Path], ImageFacts]:
        from torqueckpt.checkpointers.criu import images  # protobuf is slow to import

        return images.read

    def details(self, image_dir: Path, root_pid: int, environment: bool) -> ImageDetails:
        from torqueckpt.checkpointers.criu import details

        return details.read(image_dir, root_pid, environment)

    def edited_files(
        self,
        image_dir: Path,
        name_now: Callable[[str], str],
        positions: Mapping[str, int],
        terminals: Mapping[int, int],
    ) -> dict[str, bytes]:
        from torqueckpt.checkpointers.criu import images, mended, needs

        places = {f"/dev/pts/{was}": f"/dev/pts/{now}" for was, now in terminals.items()}

        def named(path: str) -> str:
            return places.get(path) or name_now(path)

        made = {mended.FILES: images.edited(image_dir, named, positions)}
        if terminals:
            made[needs.TERMINALS] = needs.with_terminals(image_dir, terminals)
        return made

    def _argv(self, verb: str, image_dir: Path, work_dir: Path) -> list[str]:
        return [
            *(str(self.program), verb, *_COMMON),
            *("--libdir", str(self.program.parent)),  # plugins: none lies beside it
            *("--images-dir", str(image_dir), "--work-dir", str(work_dir)),
            *("--log-file", _LOGS[verb], "-v2"),
        ]


def _external(name: OtherName) -> str:
    """A file that criu takes without looking at the name it had; mended.py gives it the other."""
    return f"file[{name.mount:x}:{name.inode:x}]"


def _since(before: Path) -> tuple[str, ...]:
    """The pre-dump's path from the image's directory, where criu makes a link of it."""
    return ("--track-mem", "--prev-images-dir", f"../{before.name}")


def _yama_scope() -> int:
    """What Yama lets a process trace; 0, whatever its user may, also without Yama."""
    try:
        return int(_YAMA.read_text())
    except FileNotFoundError:
        return 0
