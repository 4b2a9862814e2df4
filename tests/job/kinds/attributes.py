# SPDX-License-Identifier: MIT
"""What the kernel keeps for a process, is passed on to its children, and CRIU does not save."""

from __future__ import annotations

from tests.job.kinds.kind import LOST, WARNED, Kind

# In a child, which has it of its own, below a program that has not, and above one that has again
# what the first has.
_STARTED = """
def started(*argv):
    '''The pids of `argv`'s sleep, and of one below it that is started by `reset`.'''
    child = subprocess.Popen([*argv, "/bin/sh", "-c", "sleep 1000 & echo $! >pid; wait"])
    while not os.path.exists("pid") or not open("pid").read():
        time.sleep(0.01)
        if child.poll():
            raise PermissionError(argv[0])
    return child.pid, int(open("pid").read())


def end(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def told(what, *pids):
    return [open(f"/proc/{pid}/{what}").readline().split()[:2] for pid in pids]


"""
_READ = """
libc.ioprio_get = lambda pid: libc.syscall(252, 1, pid)
"""

KINDS = (
    Kind(
        "NUMA memory policy (numactl)",
        _STARTED
        + """
if not os.path.exists("/usr/bin/numactl"):
    raise PermissionError("numactl")
def policies():
    return [each[1] for each in told("numa_maps", os.getpid(), *pids)]
pids = started("/usr/bin/numactl", "--interleave=all")
before = policies()
assert before[0] == "default" and before[1].startswith("interleave") and before[2] == before[1]
pause()
assert policies() == before
end(*pids)
""",
    ),
    Kind(
        "personality (setarch)",
        _STARTED
        + """
def personalities():
    return told("personality", os.getpid(), *pids)
pids = started("/usr/bin/setarch", "-R", "--uname-2.6")
before = personalities()
assert before == [["00000000"], ["00060000"], ["00060000"]]
child = subprocess.Popen(["/usr/bin/setarch", "x86_64", "/usr/bin/sleep", "1000"])
while "sleep" not in open(f"/proc/{child.pid}/comm").read():
    time.sleep(0.01)
pause()
assert personalities() == before and told("personality", child.pid) == [["00000000"]]
end(*pids, child.pid)
""",
    ),
    Kind(
        "memory of a program in which reading implies executing (personality)",
        """
libc.personality(0x400000)
memory = "%x-" % libc.mmap(None, 1 << 20, 1, 0x22, -1, 0)
def rights():
    return next(line.split()[1] for line in open("/proc/self/maps") if line.startswith(memory))
assert rights() == "r-xp"
pause()
assert rights() == "r-xp" and open("/proc/self/personality").read() == "00400000\\n"
""",
    ),
    Kind(
        "priority of input and output (ionice), of processes and threads",
        _STARTED
        + _READ
        + """
def work():
    libc.syscall(251, 1, 0, 2 << 13 | 6)
    ready.set()
    gate.wait()
    found.append(libc.ioprio_get(0))
ready, gate, found = threading.Event(), threading.Event(), []
worker = threading.Thread(target=work, daemon=True)
worker.start()
ready.wait()
pids = started("/usr/bin/ionice", "-c3")
mine = libc.ioprio_get(0)
idle = libc.ioprio_get(pids[1])
assert idle >> 13 == 3 and libc.ioprio_get(pids[0]) == idle
pause()
until = time.monotonic() + 300
while libc.ioprio_get(pids[1]) != idle and time.monotonic() < until:
    time.sleep(0.05)  # they are set in the order of their numbers
gate.set()
worker.join()
assert [libc.ioprio_get(pid) for pid in pids] == [idle] * 2
assert libc.ioprio_get(0) == mine and found == [2 << 13 | 6]
end(*pids)
""",
    ),
    Kind(
        "timer slack",
        """
call(libc.prctl(29, 1, 0, 0, 0))
child = os.fork()
if child == 0:
    call(libc.prctl(29, 70000, 0, 0, 0))
    while not os.path.exists(PLACE + "/go"):
        time.sleep(0.02)
    os._exit(libc.prctl(30, 0, 0, 0, 0) == 70000)
pause()
assert libc.prctl(30, 0, 0, 0, 0) == 1
assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 1
""",
    ),
    Kind(
        "timer slack, of a program with a TCP connection",
        """
ear = socket.create_server(("127.0.0.1", 0))
one = socket.create_connection(ear.getsockname())
two, _ = ear.accept()
call(libc.prctl(29, 1, 0, 0, 0))
pause()
assert libc.prctl(30, 0, 0, 0, 0) == 1
one.send(b"x")
assert two.recv(1) == b"x"
""",
    ),
    Kind(
        "what a core dump holds (coredump_filter)",
        """
open("/proc/self/coredump_filter", "w").write("0x7f")
pause()
until = time.monotonic() + 300
while "7f" not in open("/proc/self/coredump_filter").read() and time.monotonic() < until:
    time.sleep(0.05)
assert open("/proc/self/coredump_filter").read() == "0000007f\\n"
""",
    ),
    Kind(
        "multicast group",
        """
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(("127.0.0.1", 0))
group = socket.inet_aton("239.1.2.3") + socket.inet_aton("127.0.0.1")
one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
pause()
""",
        WARNED,
        "239.1.2.3",
    ),
    Kind(
        "memory policy of a range (mbind), of a program with libnuma",
        """
try:
    numa = ctypes.CDLL("libnuma.so.1")
except OSError:
    raise PermissionError("libnuma")
size = 1 << 20
memory = libc.mmap(None, size, 3, 0x22, -1, 0)
mask = ctypes.c_ulong(1)
call(libc.syscall(237, ctypes.c_void_p(memory), size, 3, ctypes.byref(mask), 64, 0))
pause()
""",
        WARNED,
        "mbind",
    ),
    Kind(
        "session keyring of its own",
        """
def name():
    told = ctypes.create_string_buffer(200)
    call(libc.syscall(250, 6, -3, told, 200))
    return told.value.split(b";")[-1]
call(libc.syscall(250, 1, b"mine"))
assert name() == b"mine"
pause()
assert name() != b"mine"
""",
        LOST,
    ),
    Kind(
        "landlock",
        """
rules = call(libc.syscall(444, struct.pack("Q", 1 << 8), 8, 0))  # makes no regular files
call(libc.prctl(38, 1, 0, 0, 0))
call(libc.syscall(446, rules, 0))
os.close(rules)
def may():
    try:
        open("made", "w").close()
    except PermissionError:
        return False
    return True
assert not may()
pause()
assert may()
""",
        LOST,
    ),
    Kind(
        "sealed memory (mseal)",
        """
memory = ctypes.c_void_p(libc.mmap(None, 4096, 3, 0x22, -1, 0))
call(libc.syscall(462, memory, 4096, 0))
assert libc.mprotect(memory, 4096, 1) == -1
pause()
assert libc.mprotect(memory, 4096, 1) == 0
""",
        LOST,
    ),
    Kind(
        "no memory that is written and executed (PR_SET_MDWE)",
        """
call(libc.prctl(65, 1, 0, 0, 0))
pause()
assert libc.prctl(66, 0, 0, 0, 0) == 0
""",
        LOST,
    ),
    Kind(
        "news of a directory by signals (dnotify)",
        """
got = []
signal.signal(signal.SIGIO, lambda *_: got.append(1))
directory = os.open(".", os.O_RDONLY)
fcntl.fcntl(directory, fcntl.F_NOTIFY, 0x80000004)
def tells():
    got.clear()
    open("made%d" % time.time_ns(), "w").close()
    time.sleep(0.05)
    return bool(got)
assert tells()
pause()
assert not tells()
""",
        LOST,
    ),
)
