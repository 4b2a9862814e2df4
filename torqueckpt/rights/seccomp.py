# SPDX-License-Identifier: MIT
"""Refuse the system calls that no dump needs, in this process and all that it starts (libseccomp).

A list of what is refused, not of what is allowed: a dump that fails on a kernel with a new call
would be an image lost.  Most of them want a capability that a dump does not have; the list stands
behind that.  Changes of ids are not in it: it is loaded by root, who then becomes the owner.
"""

from __future__ import annotations

import ctypes
import errno
import os

_LIBRARY = "libseccomp.so.2"
_OF_KERNEL = "/proc/sys/kernel/seccomp/actions_avail"
# seccomp.h of libseccomp
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000 | errno.EPERM
_BAD_ARCHITECTURE = 2
_EQUAL, _GREATER = 4, 6

_CALLS = (
    # mounts and namespaces
    *("mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "open_tree", "move_mount"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"),
    # the node
    *("reboot", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module"),
    *("swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "sethostname", "setdomainname"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "syslog", "vhangup"),
    *("iopl", "ioperm", "open_by_handle_at", "fanotify_init"),
    # the kernel's large interfaces
    *("bpf", "perf_event_open", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("add_key", "request_key", "keyctl", "mq_open", "mq_unlink"),
    # others' memory and processors, which also change what the job runs with
    *("process_vm_writev", "process_madvise", "migrate_pages", "move_pages"),
    *("ioprio_set", "sched_setscheduler", "sched_setattr", "setpriority"),
)
_FAMILIES = (1, 2, 10, 16)  # unix, inet, inet6, netlink
_NETLINK, _PROTOCOLS, _LAST = 16, (0, 4), 31  # NETLINK_ROUTE, NETLINK_SOCK_DIAG


class _Compare(ctypes.Structure):
    """scmp_arg_cmp: a condition on an argument of the call."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("mask", ctypes.c_uint64),
    )


def available() -> bool:
    """Whether this node has the library, and its kernel filters of system calls."""
    try:
        ctypes.CDLL(_LIBRARY)
        return os.path.exists(_OF_KERNEL)
    except OSError:
        return False


def refuse_what_no_dump_needs() -> None:
    """Load the filter, which lasts for ever; OSError where it cannot be, also without libseccomp.

    It sets no_new_privs too.
    """
    library = ctypes.CDLL(_LIBRARY)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_ALLOW))
    if not context:
        raise OSError(errno.ENOMEM, "seccomp_init")
    if os.uname().machine == "x86_64":  # criu tries a call of 32 bits, to know whether it can
        _done(library.seccomp_arch_add(context, library.seccomp_arch_resolve_name(b"x86")))
    _done(library.seccomp_attr_set(context, _BAD_ARCHITECTURE, _ERRNO))

    def refuse(call: str, *conditions: tuple[int, int, int]) -> None:
        number = library.seccomp_syscall_resolve_name(call.encode())
        given = (_Compare * len(conditions))(*(_Compare(*each, 0) for each in conditions))
        if number >= 0:  # else this architecture has no such call, or the library is older
            _done(library.seccomp_rule_add_array(context, _ERRNO, number, len(given), given))

    for call in _CALLS:
        refuse(call)
    for family in range(max(_FAMILIES)):
        if family not in _FAMILIES:
            refuse("socket", (0, _EQUAL, family))
    refuse("socket", (0, _GREATER, max(_FAMILIES)))
    for protocol in range(_LAST + 1):
        if protocol not in _PROTOCOLS:
            refuse("socket", (0, _EQUAL, _NETLINK), (2, _EQUAL, protocol))
    _done(library.seccomp_load(context))


def _done(result: int) -> None:
    if result < 0:
        raise OSError(-result, "libseccomp")
