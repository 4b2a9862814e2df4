# SPDX-License-Identifier: MIT
"""Start a program as a hostile caller would: in each way that exec, sudo and MOMs pass on."""

from __future__ import annotations

from collections.abc import Iterable

_BEFORE = """\
import ctypes, os, resource, signal, sys, tempfile
libc = ctypes.CDLL(None, use_errno=True)

def done(answer):
    if answer < 0:
        sys.exit(f"not possible here: {os.strerror(ctypes.get_errno())}")

def capset(effective, permitted, inheritable):
    each = (effective, permitted, inheritable)
    halves = [word >> shift & 0xffffffff for shift in (0, 32) for word in each]
    done(libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*halves)))

def capabilities(name):
    status = open("/proc/self/status").read()
    return int(status.split(name + ":")[1].split()[0], 16)

def at_most(name, soft, hard=None):
    limit = getattr(resource, "RLIMIT_" + name)
    resource.setrlimit(limit, (soft, resource.getrlimit(limit)[1] if hard is None else hard))
"""

# What anybody can do to what he starts.
BY_ANYBODY = {
    "umask": "os.umask(0)",
    "ignored signals": "for n in (1, 2, 14, 15, 17, 64): signal.signal(n, signal.SIG_IGN)",
    "held back signals": "signal.pthread_sigmask(signal.SIG_BLOCK, [10, 14, 15])",
    "timers": "[signal.setitimer(each, 3000) for each in (0, 1, 2)]",
    "nice": "os.setpriority(os.PRIO_PROCESS, 0, 19)",
    "idle class": "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))",
    "one cpu": "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})",
    "oom_score_adj": "open('/proc/self/oom_score_adj', 'w').write('1000')",
    "personality": "done(libc.personality(0x0020000))",  # UNAME26
    "subreaper": "done(libc.prctl(36, 1, 0, 0, 0))",
    "pdeathsig": "done(libc.prctl(1, 9, 0, 0, 0))",
    "timer slack": "done(libc.prctl(29, 10**9, 0, 0, 0))",
    "ioprio": "done(libc.syscall(251, 1, 0, 3 << 13))",  # idle
    "soft limits": "at_most('CPU', 600); at_most('FSIZE', 1 << 30); at_most('NOFILE', 90)",
    "core": "at_most('CORE', resource.getrlimit(resource.RLIMIT_CORE)[1])",
    "gone directory": "os.chdir(tempfile.mkdtemp()); os.rmdir(os.getcwd())",
    "descriptors": "os.dup2(0, 77)",
    "exec securebits": "libc.prctl(28, 0x500, 0, 0, 0)",  # since Linux 6.14
}
# What takes root, or a right that CRIU was once given.
BY_ROOT = {
    "no_setuid_fixup": "done(libc.prctl(28, 4, 0, 0, 0))",
    "locked securebits": "done(libc.prctl(28, 0xc, 0, 0, 0))",
    "no root": "done(libc.prctl(28, 1, 0, 0, 0))",
    "no ambient raise": "done(libc.prctl(28, 0x40, 0, 0, 0))",
    "inheritable": "p = capabilities('CapPrm'); capset(p, p, 1 << 12)",
    "ambient": "p = capabilities('CapPrm'); capset(p, p, 1 << 12);"
    "done(libc.prctl(47, 2, 12, 0, 0))",
    "bounding": "done(libc.prctl(24, 6, 0, 0, 0))",  # setgid
    "no_new_privs": "done(libc.prctl(38, 1, 0, 0, 0))",
    "seccomp": "allow = ctypes.create_string_buffer(b'\\x06\\0\\0\\0\\0\\0\\xff\\x7f');"
    "at = ctypes.addressof(allow);"
    "program = (ctypes.c_uint64 * 2)(1, at);"
    "done(libc.prctl(22, 2, ctypes.byref(program), 0, 0))",
    "another real id": "os.setresuid(65534, 0, 0)",
    "hard limit": "done(libc.prctl(24, 24, 0, 0, 0)); at_most('FSIZE', 4096, 4096)",
}


def argv(ways: Iterable[str], *program: str, python: str = "/usr/bin/python3") -> list[str]:
    """argv that runs `program` with all that these ways leave it."""
    lines = [(BY_ANYBODY | BY_ROOT)[way] for way in ways]
    text = "\n".join([_BEFORE, *lines, "os.execv(sys.argv[1], sys.argv[1:])"])
    return [python, "-I", "-c", text, *program]
