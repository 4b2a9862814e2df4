# SPDX-License-Identifier: MIT
"""Descriptors that tell of events, and timers."""

from __future__ import annotations

from tests.job.kinds.kind import REFUSED, Kind

_TIMERFD = """
def timer(first, period):
    made = call(libc.timerfd_create(1, os.O_NONBLOCK))
    parts = [int(first), int(first % 1 * 1e9)]
    parts = [int(period), int(period % 1 * 1e9)] + parts
    call(libc.timerfd_settime(made, 0, struct.pack("4q", *parts), None))
    return made


def fires(made, seconds=300):
    if not select.select([made], [], [], seconds)[0]:
        return 0
    return struct.unpack("Q", os.read(made, 8))[0]


"""

_INOTIFY = """
def events(made, seconds=300):
    if not select.select([made], [], [], seconds)[0]:
        return []
    got, found = os.read(made, 65536), []
    while got:
        wd, mask, _, length = struct.unpack_from("iIII", got)
        found.append((wd, mask & 0xFFFF, got[16 : 16 + length].rstrip(b"\\0").decode()))
        got = got[16 + length :]
    return found


"""

_TAIL = """
file = open("followed", "w")
file.write("one\\n")
file.flush()
def tail(*options):
    argv = ["/usr/bin/tail", *options, "-f", "followed"]
    child = subprocess.Popen(argv, stdout=open("seen", "w"))
    def seen(text):
        until = time.monotonic() + 300
        while open("seen").read() != text and time.monotonic() < until:
            time.sleep(0.05)
        return open("seen").read() == text
    assert seen("one\\n")
    return child, seen
def opened(child):
    return [os.readlink(f"/proc/{child.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{child.pid}/fd")]


"""

KINDS = (
    Kind(
        "epoll",
        """
read_end, write_end = os.pipe()
watch = select.epoll()
watch.register(read_end, select.EPOLLIN)
twin = os.dup(read_end)
watch.register(twin, select.EPOLLIN)
pause()
assert watch.poll(0) == []
os.write(write_end, b"x")
assert sorted(watch.poll(300)) == sorted([(read_end, 1), (twin, 1)])
""",
    ),
    Kind(
        "eventfd",
        """
count = os.eventfd(5) if hasattr(os, "eventfd") else call(libc.eventfd(5, 0))
pause()
assert struct.unpack("Q", os.read(count, 8)) == (5,)
""",
    ),
    Kind(
        "signalfd with a signal in it",
        """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
mask = struct.pack("16Q", 1 << (signal.SIGUSR1 - 1), *[0] * 15)
ear = call(libc.signalfd(-1, mask, 0))
os.kill(os.getpid(), signal.SIGUSR1)
pause()
assert struct.unpack_from("I", os.read(ear, 128)) == (signal.SIGUSR1,)
""",
    ),
    Kind(
        "timerfd, armed",
        _TIMERFD
        + """
made = timer(3600, 0)
soon = timer(2, 0)
pause()
assert fires(soon) == 1 and fires(made, 0) == 0
""",
    ),
    Kind(
        "timerfd, periodic",
        _TIMERFD
        + """
made = timer(0.3, 0.3)
fires(made)
pause()
assert fires(made) and fires(made) and fires(made)
""",
    ),
    Kind(
        "timerfd, periodic, expired and not read",
        _TIMERFD
        + """
made = timer(0.1, 0.1)
time.sleep(0.3)
pause()
assert fires(made) and fires(made) and fires(made)
""",
    ),
    Kind(
        "timerfd, once, expired and not read",
        _TIMERFD
        + """
made = timer(0.1, 0)
time.sleep(0.3)
pause()
assert fires(made) == 1 and fires(made, 0.3) == 0
""",
    ),
    Kind(
        "inotify",
        _INOTIFY
        + """
os.makedirs("below/deeper")
open("below/file", "w").close()
made = call(libc.inotify_init1(os.O_NONBLOCK))
for path in (b".", b"below/deeper", b"gone", b"below/file", b"/etc"):
    if path == b"gone":
        os.mkdir("gone")
    wd = call(libc.inotify_add_watch(made, path, 0x102))
    if path == b"gone":
        libc.inotify_rm_watch(made, wd)
events(made, 0)
pause()
for wd, mask, name in events(made, 0):
    assert name in ("go", "may-end") or mask & 0x8000, name  # or a watch was removed
open("below/deeper/one", "w").close()
assert (2, 0x100, "one") in events(made)
open("two", "w").close()
assert (1, 0x100, "two") in events(made)
with open("below/file", "w") as file:
    file.write("x")
assert (4, 2, "") in events(made)
""",
    ),
    Kind(
        "tail -f",
        _TAIL
        + """
child, seen = tail()
def watches():
    return any("inotify" in each for each in opened(child))
while not watches():
    time.sleep(0.01)
pause()
assert watches()
file.write("two\\n")
file.flush()
assert seen("one\\ntwo\\n")
child.kill()
child.wait()
""",
    ),
    Kind(
        "tail ---disable-inotify -f",
        _TAIL
        + """
child, seen = tail("---disable-inotify")
assert not any("inotify" in each for each in opened(child))
pause()
file.write("two\\n")
file.flush()
assert seen("one\\ntwo\\n")
child.kill()
child.wait()
""",
    ),
    Kind(
        "inotify, of a file in /tmp that is written to",
        _INOTIFY
        + """
import tempfile
file = tempfile.NamedTemporaryFile("w", dir="/tmp")
file.write("one")
file.flush()
made = call(libc.inotify_init())
call(libc.inotify_add_watch(made, file.name.encode(), 2))
pause()
file.write("two")
file.flush()
assert (1, 2, "") in events(made) and open(file.name).read() == "onetwo"
os.unlink(file.name)
""",
    ),
    Kind(
        "inotify, of a directory that is not found",
        """
watch = call(libc.inotify_init())
call(libc.inotify_add_watch(watch, open("far", "rb").read(), 0x100))
pause()
""",
        REFUSED,
        "what path that has was not found",
        outside="far",
    ),
    Kind(
        "fanotify",
        """
watch = call(libc.fanotify_init(0x200, 0))
call(libc.fanotify_mark(watch, 1, ctypes.c_uint64(0x2), -100, b"."))
pause()
""",
        REFUSED,
        "fanotify",
    ),
    Kind(
        "pidfd of a child",
        """
child = subprocess.Popen(["/usr/bin/sleep", "1000"])
handle = os.pidfd_open(child.pid)
pause()
signal.pidfd_send_signal(handle, signal.SIGTERM)
assert child.wait() == -15
""",
    ),
    Kind(
        "interval timer",
        """
fired = []
signal.signal(signal.SIGALRM, lambda *_: fired.append(time.monotonic()))
signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
while not fired:
    time.sleep(0.05)
pause()
before = len(fired)
until = time.monotonic() + 300
while len(fired) < before + 2 and time.monotonic() < until:
    time.sleep(0.05)
assert len(fired) >= before + 2
""",
    ),
    Kind(
        "timer of CPU time",
        """
fired = []
signal.signal(signal.SIGVTALRM, lambda *_: fired.append(1))
signal.setitimer(signal.ITIMER_VIRTUAL, 0.5)
pause()
until = time.monotonic() + 300
while not fired and time.monotonic() < until:
    sum(range(1000))
assert fired
""",
    ),
    Kind(
        "POSIX timer",
        """
fired = []
signal.signal(signal.SIGRTMIN, lambda *_: fired.append(1))
event = struct.pack("qii48x", 0, signal.SIGRTMIN, 0)
timer = ctypes.c_void_p()
call(libc.timer_create(1, event, ctypes.byref(timer)))
call(libc.timer_settime(timer, 0, struct.pack("4q", 0, 200000000, 0, 200000000), None))
while not fired:
    time.sleep(0.05)
pause()
before = len(fired)
until = time.monotonic() + 300
while len(fired) < before + 2 and time.monotonic() < until:
    time.sleep(0.05)
assert len(fired) >= before + 2
""",
    ),
    Kind(
        "POSIX timer that has fired, its signal blocked",
        """
fired = []
signal.signal(signal.SIGRTMIN, lambda *_: fired.append(1))
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
event = struct.pack("qii48x", 0, signal.SIGRTMIN, 0)
timer = ctypes.c_void_p()
call(libc.timer_create(1, event, ctypes.byref(timer)))
call(libc.timer_settime(timer, 0, struct.pack("4q", 0, 100000000, 0, 100000000), None))
time.sleep(0.3)
pause()
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGRTMIN})
until = time.monotonic() + 300
while len(fired) < 3 and time.monotonic() < until:
    time.sleep(0.05)
assert len(fired) >= 3
""",
    ),
    Kind(
        "sleeping program",
        """
before = time.monotonic()
child = subprocess.Popen(["/usr/bin/sleep", "3"])
pause()
assert child.wait() == 0 and time.monotonic() - before >= 2.9
""",
    ),
    Kind(
        "epoll that watches an epoll",
        """
read_end, write_end = os.pipe()
inner, outer = select.epoll(), select.epoll()
inner.register(read_end, select.EPOLLIN)
outer.register(inner.fileno(), select.EPOLLIN)
pause()
os.write(write_end, b"x")
assert outer.poll(300)
""",
    ),
    Kind(
        "epoll that watches what its process has closed",
        """
one, two = socket.socketpair()
watch = select.epoll()
child = os.fork()
if child == 0:
    time.sleep(10_000)
watch.register(one, select.EPOLLIN)
one.close()
pause()
os.kill(child, signal.SIGKILL)
""",
        REFUSED,
        "watched by an epoll",
    ),
    Kind(
        "epoll that watches what a child has closed that has the epoll too",
        """
one, two = socket.socketpair()
watch = select.epoll()
watch.register(one, select.EPOLLIN)
child = os.fork()
if child == 0:
    one.close()
    time.sleep(10_000)
pause()
two.send(b"x")
assert watch.poll(300) == [(one.fileno(), select.EPOLLIN)]
os.kill(child, signal.SIGKILL)
""",
    ),
    Kind(
        "timerfd of the clock that counts sleep too (CLOCK_BOOTTIME)",
        """
made = call(libc.timerfd_create(7, os.O_NONBLOCK))
call(libc.timerfd_settime(made, 0, struct.pack("4q", 0, 0, 2, 0), None))
pause()
assert select.select([made], [], [], 300)[0]
""",
    ),
    Kind(
        "timer for one thread (SIGEV_THREAD_ID)",
        """
fired = []
signal.signal(signal.SIGUSR1, lambda *_: fired.append(1))
event = struct.pack("qiii44x", 0, signal.SIGUSR1, 4, threading.get_native_id())
timer = ctypes.c_void_p()
call(libc.timer_create(1, event, ctypes.byref(timer)))
call(libc.timer_settime(timer, 0, struct.pack("4q", 0, 200000000, 0, 200000000), None))
pause()
before = len(fired)
until = time.monotonic() + 300
while len(fired) < before + 2 and time.monotonic() < until:
    time.sleep(0.05)
assert len(fired) >= before + 2
""",
    ),
    Kind(
        "signal when a descriptor is ready (F_SETOWN, O_ASYNC)",
        """
got = []
signal.signal(signal.SIGIO, lambda *_: got.append(1))
one, two = socket.socketpair()
fcntl.fcntl(one, fcntl.F_SETOWN, os.getpid())
fcntl.fcntl(one, fcntl.F_SETFL, os.O_ASYNC)
pause()
assert fcntl.fcntl(one, fcntl.F_GETOWN) == os.getpid()
two.send(b"x")
until = time.monotonic() + 300
while not got and time.monotonic() < until:
    time.sleep(0.05)
assert got
""",
    ),
)
