# SPDX-License-Identifier: MIT
"""Which tests try the remedies that findings on jobs name (tests/unit/test_remedies.py holds both).

A test is a kind of resource that comes back (tests/job/kinds), which has what the remedy names
instead, or a function, as in "tests/job/test_mpi::test_…".  A star stands for what is filled in.
"""

from __future__ import annotations

_CLOSED = "tests/job/test_preflight::test_what_is_over_or_closed_stands_in_no_checkpoints_way"
_FILES = "tests/job/test_file_trouble::"
_NAMED = "tests/unit/test_left_out::test_one_that_leave_out_names_is_told_only"
_LIBRARIES = "tests/install/test_install::"
_WITHOUT = "test_without_a_compiler_a_line_for_each_library_says_what_cannot_be_done"

TRIED: dict[str, tuple[str, ...]] = {
    # checkpoint/preflight.py
    "raise snapshot_limit_mib": (
        _FILES + "test_preflight_names_files_that_could_not_be_brought_back",
    ),
    "if it is changed in place: TORQUECKPT_FILES=*=snapshot": (
        _FILES + "test_two_crashes_with_an_image_after_each",
        "inotify, of a file in /tmp that is written to",
    ),
    "correct it (torqueckpt-files(7))": (
        _FILES + "test_a_rule_with_a_slip_is_told_in_one_line_and_the_job_runs_on",
    ),
    "checkpoint when it has ended": (_CLOSED,),
    "keep it where a boot leaves it, as in the job's directory": ("file open for writing",),
    # checkpoint/left_out.py
    "checkpoint when it has ended, or have leave_out name *": (_CLOSED, _NAMED),
    "have mom-run start the job, or start it in the foreground or with setsid --wait;"
    " or have leave_out name *": (
        "daemon in the session of a process that has ended (double fork)",
        "child in a session of its own",
        _NAMED,
    ),
    "run it on one node, or have leave_out name *": (
        "tests/job/test_mpi::test_with_criu_an_mpi_program_goes_on_once_its_addresses_are_free",
        _NAMED,
    ),
    # checkpointers/criu/descriptors.py
    "close it before the checkpoint": (_CLOSED,),
    "have main() wait for its threads (pthread_join, not pthread_exit)": ("threads",),
    "have the program take it out of the epoll before it closes it": ("epoll",),
    "have the program use ordinary memory": ("private memory", "locked memory (mlock)"),
    "have the program use ordinary or transparent huge pages": ("memfd", "transparent huge pages"),
    "run it from a file": ("program whose file was deleted",),
    "use a pipe without O_DIRECT, or a socketpair of SOCK_SEQPACKET": (
        "pipe with data in it",
        "unix sequenced-packet pair",
    ),
    # checkpointers/criu/limits.py
    "checkpoint again when it has": (_CLOSED,),
    "checkpoint when the program has closed it": (_CLOSED,),
    "close it before": (_CLOSED,),
    "end the debugger or strace": (_CLOSED,),
    "have it watch with inotify (fsnotifywait --inotify)": ("inotify",),
    "have the program keep the file's name": ("file open for writing", "file mapped private"),
    "have the program use POSIX shared memory (MPICH, UCX: UCX_TLS=^sysv)": (
        "POSIX shared memory",
        "tests/job/test_mpi::test_with_criu_an_mpi_program_goes_on_once_its_addresses_are_free",
    ),
    "have the program use a pipe or a socket": ("pipe with data in it", "unix datagram pair"),
    "interactive jobs are not checkpointed: submit it as a batch job": (
        "pseudo terminal inside the tree",
    ),
    "open the file by its other name": ("file open for reading",),
    "raise that limit for jobs, or have the program stay below it": (
        "tests/job/test_large_jobs::test_a_descriptor_beside_the_hard_limit_is_refused_and_the_next"
        "_smaller_comes_back",
    ),
    "run a copy that is readable": ("program whose file was deleted",),
    "start it with LD_PRELOAD=* (torchrun, Node: all that have libuv), or have it use ordinary"
    " reads and writes": ("program that does without io_uring (no-io-uring.so)",),
    # checkpointers/criu/felt.py and lost.py
    "have them set by numactl, for the whole program": ("NUMA memory policy (numactl)",),
    "install a C compiler and run make install again": (_LIBRARIES + _WITHOUT,),
    "install a C compiler and run make install again (x86-64)": (_LIBRARIES + _WITHOUT,),
    # checkpointers/criu/sockets.py and watches.py
    "bind it to an absolute path": ("unix socket, listening and connected, its path renamed",),
    "checkpoint again: as a rule it lasts a moment only": (_CLOSED,),
    "close it, or start the other end in the job": ("unix socket, listening and connected",),
    "give it an absolute path": ("unix datagram socket to a process outside",),
    "have it watch files below its working directory": ("inotify",),
    "start it as `dbus-run-session -- PROGRAM`, with a bus in the job": (
        "D-Bus of the job's own (dbus-run-session)",
    ),
    "start it as `tail ---disable-inotify -f FILE`": ("tail ---disable-inotify -f",),
}

# And why others are not.
UNTRIED = {
    "GODEBUG=multipathtcp=0": "it takes Go; the switch is Go's own",
    "checkpoint within the program, or run it on one node": "it is the job's own matter",
    "else pin it again, for its speed": "it is the job's own matter",
    "have the program ask again in time": "it is the program's own matter",
    "have the program connect anew when it gets no answer": "it is the program's own matter",
    "have the program join it anew when nothing comes": "it is the program's own matter",
    "have the program write its own checkpoints": "it is the program's own matter",
    "nscd closes it after the look-up; checkpoint again": "it takes that daemon",
    "resume before the node is booted, or be patient": "it is said of what may be lost",
    "resume on this node before it is booted again, if the job uses it": "they stay so long",
    "run it outside of containers and unshare": "the same program without them is any other row",
    "run the program without its sandbox": "the same program without it is any other row",
    "sssd closes it when idle (client_idle_timeout); checkpoint again then": "it takes that daemon",
    "start it as `env -u DISPLAY PROGRAM`": "it takes an X server",
    "start it without perf": "the same program without it is any other row",
    "start the program with DBUS_SYSTEM_BUS_ADDRESS=disabled:": "it takes the node's own bus",
}
