# SPDX-License-Identifier: MIT
"""What a restored process notices of this node: CPU, process numbers, file systems."""

from __future__ import annotations

import os
import re
from pathlib import Path

from torqueckpt.process import proc

# Those of x86's flags that stand for instructions, or for registers that a process has (source:
# Linux, arch/x86/include/asm/cpufeatures.h); the others are the kernel's own business.  A program,
# the C library first of all, chooses by them once, when it starts.
_INSTRUCTIONS = re.compile(
    r"fpu|cx8|cx16|cmov|mmx|mmxext|fxsr|fxsr_opt|sse[0-9a-z_]*|pni|ssse3|pclmulqdq|movbe|popcnt|"
    r"aes|xsave[cs]?|xsaveopt|xgetbv1|avx[0-9a-z_]*|f16c|fma4?|rdrand|rdseed|bmi[12]|adx|abm|"
    r"lahf_lm|3dnow\w*|xop|tbm|sha\w*|sm[34]|gfni|vaes|vpclmulqdq|clflush\w*|clwb|cldemote|clzero|"
    r"movdir\w*|amx_\w+|fsgsbase|rdtscp|rdpid|rtm|pku|waitpkg|serialize|user_shstk"
)


SHARED = (
    "nfs",
    "nfs4",
    "lustre",
    "gpfs",
    "beegfs",
    "cephfs",
    "ceph",
    "glusterfs",
    "fuse.glusterfs",
)


def features(cpuinfo: str = "/proc/cpuinfo") -> tuple[str, ...]:
    """The instruction sets of the first processor; of ARM, RISC-V and POWER all features."""
    with open(cpuinfo, encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, words = line.partition(":")
            if name.strip() == "flags":
                return tuple(sorted(filter(_INSTRUCTIONS.fullmatch, set(words.split()))))
            if name.strip() in ("Features", "isa", "cpu"):  # ARM, RISC-V, POWER
                return tuple(sorted(set(words.split())))
    return ()


def largest_number() -> int:
    """The largest process or thread number of this node."""
    with open("/proc/sys/kernel/pid_max") as file:
        return int(file.read()) - 1


def holder(number: int) -> str:
    """Who has this process or thread number now; "" when it is free."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:  # another user's
        pass
    found = proc.stat(number)
    if found is None:  # hidden from us (hidepid), or just gone
        return "another user's process"
    return f"{found.name}, {'which has ended' if found.ended else 'which runs'}"


def kind_of(path: Path) -> str:
    """The kind of a path's file system as mount(8) calls it, as in ext4, nfs4; "" when unknown."""
    import psutil  # not every node has it, and a hook would wait for its import

    mounted = {each.mountpoint: each.fstype for each in psutil.disk_partitions(all=True)}
    real = Path(os.path.realpath(path))
    return next((mounted[str(at)] for at in (real, *real.parents) if str(at) in mounted), "")
