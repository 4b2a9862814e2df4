# SPDX-License-Identifier: MIT
"""Small programs that get hold of a resource, wait, and check that it is as it was.

Each text is Python: what stands above the line `pause()` comes before the dump, what stands below
it after the restart.
"""

from __future__ import annotations

from torqueckpt.doctor.trial import GO, HELD

# What CRIU cannot save for a user; such a job runs on after its refusal.
REFUSED = ("SysV shared memory", "POSIX message queue", "inotify")

_BEGIN = f"""
import ctypes, errno, fcntl, mmap, os, select, signal, socket, struct, sys, threading, time

ctypes.CDLL("librt.so.1", ctypes.RTLD_GLOBAL)  # older C libraries have timers and queues there
libc = ctypes.CDLL(None, use_errno=True)


def call(result):
    if result == -1:
        number = ctypes.get_errno()
        if number in (errno.ENOSYS, errno.EPERM, errno.EACCES):
            print("not here:", os.strerror(number), flush=True)
            os._exit(0)
        raise OSError(number, os.strerror(number))
    return result


def pause():
    print({HELD.strip()!r}, flush=True)
    while not os.path.exists({GO!r}):
        time.sleep(0.02)


"""
# At once: an interpreter that ends takes its handlers away first, and a timer would kill it then.
_END = """
print("as it was", flush=True)
os._exit(7)
"""

PROGRAMS = {
    "memory": """
kept = os.urandom(8 << 20)
check = hash(kept)
pause()
assert hash(bytes(kept)) == check
""",
    "shared memory of a tree": """
page = mmap.mmap(-1, 4096)
page[:5] = b"first"
child = os.fork()
if child == 0:
    while page[:5] != b"write":
        time.sleep(0.02)
    page[:5] = b"child"
    os._exit(3)
pause()
page[:5] = b"write"
assert os.waitpid(child, 0)[1] == 3 << 8 and page[:5] == b"child"
""",
    "POSIX shared memory": """
name = f"/dev/shm/torqueckpt-{os.getpid()}"
with open(name, "w+b") as file:
    file.truncate(4096)
    page = mmap.mmap(file.fileno(), 4096)
page[:4] = b"kept"
pause()
assert page[:4] == b"kept" and open(name, "rb").read(4) == b"kept"
os.unlink(name)
""",
    "memfd": """
made = os.memfd_create("torqueckpt")
os.write(made, b"kept")
pause()
assert os.pread(made, 9, 0) == b"kept"
""",
    "SysV shared memory": """
libc.shmat.restype = ctypes.c_void_p
segment = call(libc.shmget(0, 4096, 0o1600))
address = libc.shmat(segment, None, 0)
libc.shmctl(segment, 0, None)
ctypes.memset(address, 65, 1)
pause()
assert ctypes.string_at(address, 1) == b"A"
""",
    "file": """
file = open("written", "w+b", buffering=0)
file.write(b"before ")
pause()
file.write(b"after")
file.seek(0)
assert file.read() == b"before after"
""",
    "deleted file": """
file = open("deleted", "w+b", buffering=0)
file.write(b"kept")
os.unlink("deleted")
pause()
assert os.pread(file.fileno(), 9, 0) == b"kept"
""",
    "mapped file": """
with open("mapped", "w+b") as file:
    file.truncate(4096)
    page = mmap.mmap(file.fileno(), 4096)
page[:4] = b"kept"
pause()
page[4:8] = b"more"
assert open("mapped", "rb").read(8) == b"keptmore"
""",
    "file locks": """
record, whole = open("record", "w"), open("whole", "w")
fcntl.lockf(record, fcntl.LOCK_EX)
fcntl.flock(whole, fcntl.LOCK_EX)
pause()
child = os.fork()
if child == 0:
    for lock, name in ((fcntl.lockf, "record"), (fcntl.flock, "whole")):
        try:
            lock(open(name, "w"), fcntl.LOCK_EX | fcntl.LOCK_NB)
            os._exit(1)
        except BlockingIOError:
            pass
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
""",
    "pipe with data": """
read_end, write_end = os.pipe()
os.write(write_end, b"on its way")
pause()
assert os.read(read_end, 99) == b"on its way"
""",
    "FIFO": """
os.mkfifo("fifo")
both = os.open("fifo", os.O_RDWR)
os.write(both, b"on its way")
pause()
assert os.read(both, 99) == b"on its way"
""",
    "socketpair": """
one, other = socket.socketpair()
one.send(b"on its way")
pause()
assert other.recv(99) == b"on its way"
other.send(b"back")
assert one.recv(99) == b"back"
""",
    "UNIX socket that listens": """
ear = socket.socket(socket.AF_UNIX)
ear.bind("ear")
ear.listen()
pause()
mouth = socket.socket(socket.AF_UNIX)
mouth.connect("ear")
ear.accept()[0].send(b"hello")
assert mouth.recv(9) == b"hello"
""",
    "TCP socket that listens": """
ear = socket.create_server(("127.0.0.1", 0))
pause()
mouth = socket.create_connection(ear.getsockname())
ear.accept()[0].send(b"hello")
assert mouth.recv(9) == b"hello"
""",
    "TCP connection within": """
ear = socket.create_server(("127.0.0.1", 0))
mouth = socket.create_connection(ear.getsockname())
heard = ear.accept()[0]
mouth.send(b"on its way")
pause()
assert heard.recv(99) == b"on its way"
heard.send(b"back")
assert mouth.recv(99) == b"back"
""",
    "UDP socket": """
ear = socket.socket(type=socket.SOCK_DGRAM)
ear.bind(("127.0.0.1", 0))
pause()
mouth = socket.socket(type=socket.SOCK_DGRAM)
mouth.sendto(b"hello", ear.getsockname())
assert ear.recv(9) == b"hello"
""",
    "pseudo terminal": """
master, slave = os.openpty()
os.write(master, b"typed\\n")
pause()
assert os.read(slave, 99) == b"typed\\n"
""",
    "threads": """
go = threading.Event()
results = []
threads = [threading.Thread(target=lambda: (go.wait(), results.append(1))) for _ in range(4)]
for each in threads:
    each.start()
pause()
go.set()
for each in threads:
    each.join()
assert len(results) == 4
""",
    "interval timer": """
fired = []
signal.signal(signal.SIGALRM, lambda *_: fired.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
pause()
before = len(fired)
time.sleep(1)
assert len(fired) > before and signal.getitimer(signal.ITIMER_REAL)[1] == 0.1
""",
    "POSIX timer": """
fired = []
signal.signal(signal.SIGUSR1, lambda *_: fired.append(1))
event = struct.pack("qii48x", 0, signal.SIGUSR1, 0)
timer = ctypes.c_void_p()
call(libc.timer_create(1, event, ctypes.byref(timer)))
call(libc.timer_settime(timer, 0, struct.pack("4q", 0, 100_000_000, 0, 100_000_000), None))
pause()
before = len(fired)
time.sleep(1)
assert len(fired) > before
""",
    "timerfd": """
made = call(libc.timerfd_create(1, os.O_NONBLOCK))
call(libc.timerfd_settime(made, 0, struct.pack("4q", 0, 100_000_000, 0, 100_000_000), None))
pause()
os.read(made, 8)
assert select.select([made], [], [], 5)[0]
""",
    "epoll and eventfd": """
made = call(libc.eventfd(0, os.O_NONBLOCK))
watch = select.epoll()
watch.register(made, select.EPOLLIN)
pause()
assert watch.poll(0) == []
os.write(made, struct.pack("Q", 5))
assert watch.poll(1) == [(made, 1)] and struct.unpack("Q", os.read(made, 8)) == (5,)
""",
    "signals": """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
os.kill(os.getpid(), signal.SIGUSR2)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pause()
assert signal.SIGUSR2 in signal.sigpending()
assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
os.kill(os.getpid(), signal.SIGTERM)
""",
    "zombie": """
child = os.fork()
if child == 0:
    os._exit(5)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
pause()
assert os.waitpid(child, 0) == (child, 5 << 8)
""",
    "children and their numbers": """
child = os.fork()
if child == 0:
    os.setsid()
    signal.pause()
pause()
assert os.getsid(child) == child
os.kill(child, signal.SIGTERM)
assert os.waitpid(child, 0) == (child, signal.SIGTERM)
""",
    "inotify": """
made = call(libc.inotify_init1(os.O_NONBLOCK))
call(libc.inotify_add_watch(made, b".", 0x100))
pause()
""",
    "POSIX message queue": """
queue = call(libc.mq_open(b"/torqueckpt-doctor", os.O_CREAT | os.O_RDWR, 0o600, None))
libc.mq_unlink(b"/torqueckpt-doctor")
pause()
""",
}


def program(name: str) -> str:
    return _BEGIN + PROGRAMS[name].lstrip("\n") + _END
