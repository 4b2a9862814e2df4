# SPDX-License-Identifier: MIT
"""Check what the kernel allows: its age, tracing, SELinux, limits, process numbers, the clock."""

from __future__ import annotations

import ctypes
import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path

from torqueckpt.checkpoint import pre_dump
from torqueckpt.doctor.checks import Check, Node, failure, ok, warning
from torqueckpt.findings import Finding
from torqueckpt.process import memory
from torqueckpt.process.job_processes import running
from torqueckpt.restart import image_view

_FEW_PIDS = 32768  # the usual kernel.pid_max: a busy node uses them up within minutes
_FEW_FILES = 4096
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 256  # more than a struct timex has anywhere


def release(node: Node) -> Iterator[Finding]:
    found = os.uname().release
    needed = node.checkpointer.needs_kernel if node.checkpointer is not None else (0, 0)
    numbers = tuple(int(part) for part in re.findall(r"[0-9]+", found)[:2])
    if numbers < needed:
        least = ".".join(map(str, needed))
        yield failure(
            f"Linux {found}, and the checkpointer needs {least}",
            f"boot Linux {least} or later, or set checkpointer = to one for this kernel",
        )
    else:
        yield ok(f"Linux {found}")


def yama(node: Node) -> Iterator[Finding]:
    scope = _number("/proc/sys/kernel/yama/ptrace_scope")
    if scope == 3:
        fix = "put kernel.yama.ptrace_scope = 1 into /etc/sysctl.d and boot: 3 lasts until then"
        yield failure("Yama lets nobody trace a process", fix)
    elif scope and node.settings.criu_sys_ptrace:
        fix = "kernel.yama.ptrace_scope = 0 in /etc/sysctl.d, and take criu_sys_ptrace out"
        yield warning("CRIU gets sys_ptrace: every process of this node (criu_sys_ptrace)", fix)
    elif scope:
        fix = "kernel.yama.ptrace_scope = 0 in /etc/sysctl.d"
        yield failure(f"Yama's ptrace_scope is {scope}: CRIU may not trace a job", fix)
    else:
        yield ok("any process may be traced by its user" if scope == 0 else "no Yama")


def selinux(node: Node) -> Iterator[Finding]:
    if _number("/sys/fs/selinux/enforce") == 1:
        store = node.settings.store
        fix = f"restorecon -R {store}; after a failed dump ask: ausearch -m avc -ts recent"
        yield warning("SELinux enforces its policy, and torqueckpt brings none of its own", fix)
    else:
        yield ok("SELinux enforces nothing")


def access_lists(node: Node) -> Iterator[Finding]:
    """Check that a restore can show its job's owner, and nobody else, the copies that it reads."""
    if image_view.keeps_access_lists():
        yield ok("/run keeps them")
    else:
        told = "/run keeps none, and no image is restored where others could read it"
        yield failure(told, "have a tmpfs on /run, of a kernel with CONFIG_TMPFS_POSIX_ACL")


def limits(node: Node) -> Iterator[Finding]:
    """Check pbs_mom's limits, which hooks and jobs inherit; without one, this process's."""
    pid = running("pbs_mom")
    whose, unit = ("pbs_mom", "pbs_mom's unit") if pid else ("this shell", "limits.conf")
    size = resource.prlimit(pid, resource.RLIMIT_FSIZE)[0]  # the soft one: nobody raises it
    if size != resource.RLIM_INFINITY:
        told = f"{whose} may write files of {size >> 20} MiB at most, an image may need more"
        yield failure(told, f"LimitFSIZE=infinity in {unit}, and start it anew")
    files = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    if files != resource.RLIM_INFINITY and files < _FEW_FILES:
        told = f"{whose} may open {files} files, a dump needs all of its job's at once"
        yield warning(told, f"LimitNOFILE=65536 in {unit}, and start it anew")
    if size == resource.RLIM_INFINITY and not files < _FEW_FILES:
        yield ok(f"{whose}: {files} open files, files of any size")


def process_numbers(node: Node) -> Iterator[Finding]:
    most = _number("/proc/sys/kernel/pid_max") or 0
    if most <= _FEW_PIDS:
        told = f"kernel.pid_max is {most}: others soon have the numbers that a restart needs"
        fix = "echo kernel.pid_max=4194304 >/etc/sysctl.d/torqueckpt.conf; sysctl --system"
        yield warning(told, fix)
    else:
        yield ok(f"kernel.pid_max is {most}")


def clock(node: Node) -> Iterator[Finding]:
    libc = ctypes.CDLL(None)
    if libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)) == _TIME_ERROR:
        fix = "run chronyd or another NTP client; nodes that share a store compare times"
        yield warning("the kernel says that nobody keeps its clock right", fix)
    else:
        yield ok("kept right by NTP")


def changed_pages(node: Node) -> Iterator[Finding]:
    """Check that memory can be dumped while a job runs; without that each dump is a full one."""
    full = "each image is written while its job stands still"
    if not memory.dirty_ones_are_tracked():
        yield ok(f"the kernel does not track them: {full}")
    elif node.checkpointer is None or not node.checkpointer.pre_dump_checks():
        yield ok(f"the kernel tracks them, and the checkpointer does not use it: {full}")
    elif why := pre_dump.refused(node.checkpointer, node.nobody):
        yield ok(f"the kernel tracks them, and {why}: {full} (docs/performance.md)")
    elif node.settings.pre_dump == "off":
        yield ok(f'the kernel tracks them: pre_dump = "auto" would use it, now {full}')
    elif _number("/proc/sys/fs/pipe-user-pages-soft"):
        told = "memory is dumped while jobs run, and pipes of a few pages make it slow"
        yield warning(told, "put fs.pipe-user-pages-soft = 0 into /etc/sysctl.d; sysctl --system")
    else:
        yield ok("memory is dumped while jobs run, and what has changed while they stand still")


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None


CHECKS = (
    Check("kernel", "release", release),
    Check("kernel", "Yama", yama),
    Check("kernel", "SELinux", selinux),
    Check("kernel", "access lists", access_lists),
    Check("kernel", "limits", limits),
    Check("kernel", "process numbers", process_numbers),
    Check("kernel", "clock", clock),
    Check("kernel", "changed pages", changed_pages),
)
