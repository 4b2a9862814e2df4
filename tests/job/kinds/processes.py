# SPDX-License-Identifier: MIT
"""Processes, threads, and what the kernel keeps for each."""

from __future__ import annotations

from tests.job.kinds.kind import REFUSED, WARNED, Kind

KINDS = (
    Kind(
        "zombie child",
        """
child = os.fork()
if child == 0:
    os._exit(5)
pause()
assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 5
""",
    ),
    Kind(
        "stopped child",
        """
child = subprocess.Popen(["/usr/bin/sleep", "1000"])
child.send_signal(signal.SIGSTOP)
os.waitpid(child.pid, os.WUNTRACED)
pause()
time.sleep(0.5)  # it is stopped a moment after the others run
assert open(f"/proc/{child.pid}/stat").read().split()[2] == "T"
child.send_signal(signal.SIGCONT)
child.terminate()
assert child.wait() == -15
""",
    ),
    Kind(
        "child in a session of its own",
        """
child = subprocess.Popen(["/usr/bin/sleep", "1000"], start_new_session=True)
pause()
assert os.getsid(child.pid) == child.pid
child.kill()
child.wait()
""",
    ),
    Kind(
        "child in a process group of its own",
        """
child = subprocess.Popen(["/usr/bin/sleep", "1000"], preexec_fn=os.setpgrp)
pause()
assert os.getpgid(child.pid) == child.pid and os.getsid(child.pid) == os.getsid(0)
child.kill()
child.wait()
""",
    ),
    Kind(
        "grandchildren in shells and pipelines",
        """
line = "(sleep 0.1; echo one; while [ ! -e go ]; do sleep 0.05; done; echo two) | cat >out; exit 3"
child = subprocess.Popen(["/bin/sh", "-c", line])
pause()
assert child.wait() == 3 and open("out").read() == "one\\ntwo\\n"
""",
    ),
    Kind(
        "threads",
        """
gate, done = threading.Event(), []
workers = [threading.Thread(target=lambda n=n: (gate.wait(), done.append(n))) for n in range(8)]
for each in workers:
    each.start()
pause()
gate.set()
for each in workers:
    each.join()
assert sorted(done) == list(range(8))
""",
    ),
    Kind(
        "multiprocessing pool",
        """
import multiprocessing
pool = multiprocessing.Pool(2)
assert pool.map(abs, [-1, -2]) == [1, 2]
pause()
assert pool.map(abs, range(-9, 0)) == list(range(9, 0, -1))
pool.terminate()
""",
    ),
    Kind(
        "parent that waits in vfork",
        """
code = '''
import ctypes
libc = ctypes.PyDLL(None)
if libc.vfork() == 0:
    while libc.access(b"go", 0):
        libc.usleep(20000)
    libc._exit(0)
'''
child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
while open(f"/proc/{child.pid}/stat").read().split()[2] != "D":
    time.sleep(0.01)
pause()
child.wait()  # however it ends: its stack was its child's too
""",
        REFUSED,
        "vfork",
    ),
    Kind(
        "names, death signal and reaper (prctl)",
        """
call(libc.prctl(36, 1, 0, 0, 0))
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
child = os.fork()
if child == 0:
    call(libc.prctl(15, b"renamed", 0, 0, 0))
    call(libc.prctl(1, signal.SIGUSR1, 0, 0, 0))
    signal.sigwait({signal.SIGTERM})
    found = ctypes.c_int()
    call(libc.prctl(2, ctypes.byref(found), 0, 0, 0))
    os._exit(found.value)
pause()
assert open(f"/proc/{child}/comm").read() == "renamed\\n"
os.kill(child, signal.SIGTERM)
assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == signal.SIGUSR1
reaper = ctypes.c_int()
call(libc.prctl(37, ctypes.byref(reaper), 0, 0, 0))
assert reaper.value == 1
""",
    ),
    Kind(
        "resource limits",
        """
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 400))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
pause()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, 400)
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
""",
    ),
    Kind(
        "nice value and scheduling policy",
        """
os.nice(5)
child = subprocess.Popen(["/usr/bin/sleep", "1000"])
os.sched_setscheduler(child.pid, os.SCHED_BATCH, os.sched_param(0))
pause()
assert os.nice(0) == 5 and os.sched_getscheduler(child.pid) == os.SCHED_BATCH
child.kill()
child.wait()
""",
    ),
    Kind(
        "CPU affinity",
        """
mine = {max(os.sched_getaffinity(0))}
os.sched_setaffinity(0, mine)
pause()
until = time.monotonic() + 300
while os.sched_getaffinity(0) != mine and time.monotonic() < until:
    time.sleep(0.05)  # threads get theirs a moment after they run
assert os.sched_getaffinity(0) == mine
""",
        WARNED,
        "pinned",
    ),
    Kind(
        "no new privileges",
        """
call(libc.prctl(38, 1, 0, 0, 0))
pause()
assert "NoNewPrivs:\\t1\\n" in open("/proc/self/status").read()
""",
    ),
    Kind(
        "program that made itself undumpable",
        """
call(libc.prctl(4, 0, 0, 0, 0))
pause()
""",
        REFUSED,
        "not be read",
    ),
    Kind(
        "program that may be executed but not read",
        """
child = subprocess.Popen(["./program", "1000"])
while "program" not in open(f"/proc/{child.pid}/comm").read():
    time.sleep(0.01)
pause()
child.kill()
child.wait()
""",
        REFUSED,
        "not be read",
        outside="program",
    ),
    Kind(
        "command below sg (or newgrp, sudo, su)",
        """
import grp
if not os.path.exists("/usr/bin/sg"):
    raise PermissionError("sg")
group = grp.getgrgid(os.getgid()).gr_name
child = subprocess.Popen(["/usr/bin/sg", group, "-c", "echo $$ >pid; exec sleep 1000"])
while not os.path.exists("pid") or not open("pid").read():
    time.sleep(0.01)
if os.stat(f"/proc/{child.pid}").st_uid == os.getuid():
    raise PermissionError("sg that stays as root")
pause()
os.kill(int(open("pid").read()), signal.SIGKILL)
child.wait()
""",
        REFUSED,
        "for sg submit with -W group_list=GROUP",
    ),
    Kind(
        "traced child",
        """
child = os.fork()
if child == 0:
    call(libc.ptrace(0, 0, None, None))
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(0)
os.waitpid(child, 0)
pause()
os.kill(child, signal.SIGKILL)
""",
        REFUSED,
        "traced",
    ),
    Kind(
        "job on two nodes",
        """
if os.environ.get("PBS_NODEFILE") != PLACE + "/nodes":
    open("nodes", "w").write("node1\\nnode1\\nnode2\\n")
    os.environ["PBS_NODEFILE"] = PLACE + "/nodes"
    os.execv(sys.argv[0], sys.argv)
pause()
""",
        REFUSED,
        "2 nodes",
        dumped=True,
    ),
    Kind(
        "process whose first thread has ended",
        """
child = os.fork()
if child == 0:
    threading.Thread(target=lambda: time.sleep(10_000)).start()
    libc.syscall(60, 0)
while ") Z " not in open(f"/proc/{child}/stat").read():
    time.sleep(0.01)
pause()
os.kill(child, signal.SIGKILL)
""",
        REFUSED,
        "first thread has ended",
    ),
    Kind(
        "process that shares its descriptors (CLONE_FILES)",
        """
child = libc.syscall(56, 0x400 | 17, None, None, None, None)
if child == 0:
    time.sleep(10_000)
pause()
made = os.open("/dev/null", os.O_RDONLY)
assert os.path.exists(f"/proc/{child}/fd/{made}")
os.kill(child, signal.SIGKILL)
""",
    ),
    Kind(
        "thread with descriptors of its own",
        """
begun = []
threading.Thread(
    target=lambda: begun.append(libc.unshare(0x400)) or time.sleep(10_000), daemon=True
).start()
while not begun:
    time.sleep(0.01)
pause()
""",
    ),
)
