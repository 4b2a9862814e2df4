# SPDX-License-Identifier: MIT
"""Memory, shared and private."""

from __future__ import annotations

from tests.job.kinds.kind import REFUSED, WARNED, Kind

KINDS = (
    Kind(
        "private memory",
        """
import hashlib
block = bytearray(os.urandom(1 << 20)) * 16
before = hashlib.sha256(block).digest()
pause()
assert hashlib.sha256(block).digest() == before
""",
    ),
    Kind(
        "anonymous memory shared with a child",
        """
area = mmap.mmap(-1, 8192)
area[:5] = b"mine "
tell, told = os.pipe()
child = os.fork()
if child == 0:
    os.read(tell, 1)
    area[5:9] = b"his."
    os._exit(0)
pause()
os.write(told, b"x")
os.waitpid(child, 0)
assert area[:9] == b"mine his."
""",
    ),
    Kind(
        "memfd",
        """
file = os.memfd_create("mine", os.MFD_ALLOW_SEALING)
os.write(file, b"kept")
fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
pause()
assert os.pread(file, 9, 0) == b"kept"
assert fcntl.fcntl(file, fcntl.F_GET_SEALS) == fcntl.F_SEAL_GROW
""",
    ),
    Kind(
        "POSIX shared memory",
        """
from multiprocessing import shared_memory
area = shared_memory.SharedMemory(create=True, size=4096)
area.buf[:4] = b"kept"
pause()
again = shared_memory.SharedMemory(area.name)
assert bytes(again.buf[:4]) == b"kept"
again.close()
area.close()
area.unlink()
""",
    ),
    Kind(
        "POSIX semaphore",
        """
import multiprocessing
gate = multiprocessing.Semaphore(2)
gate.acquire()
pause()
assert gate.acquire(block=False) and not gate.acquire(block=False)
""",
    ),
    Kind(
        "POSIX semaphore with a name (sem_open)",
        """
import multiprocessing
gate = multiprocessing.get_context("spawn").Semaphore(2)
gate.acquire()
pause()
assert gate.acquire(block=False) and not gate.acquire(block=False)
gate.release()
libc.sem_open.restype = ctypes.c_void_p
again = libc.sem_open(gate._semlock.name.encode(), 0)
assert again and call(libc.sem_trywait(ctypes.c_void_p(again))) == 0
assert not gate.acquire(block=False)
""",
    ),
    Kind(
        "locked memory (mlock)",
        """
area = mmap.mmap(-1, 65536, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
address = ctypes.addressof(ctypes.c_char.from_buffer(area))
call(libc.mlock(ctypes.c_void_p(address), 65536))
pause()
assert "VmLck:\\t      64 kB" in open("/proc/self/status").read()
""",
    ),
    Kind(
        "transparent huge pages",
        """
area = mmap.mmap(-1, 4 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area.madvise(mmap.MADV_HUGEPAGE)
area[:4] = b"kept"
pause()
assert area[:4] == b"kept"
assert " hg" in open("/proc/self/smaps").read()
""",
    ),
    Kind(
        "much address space, little of it used",
        """
MAP = 0x22 | 0x4000  # private, anonymous, without reserve
start = libc.mmap(None, ctypes.c_size_t(1 << 38), 3, MAP, -1, ctypes.c_size_t(0))
assert start not in (None, ctypes.c_void_p(-1).value)
ctypes.memmove(start + (1 << 37), b"kept", 4)
pause()
assert ctypes.string_at(start + (1 << 37), 4) == b"kept"
""",
    ),
    Kind(
        "protected memory",
        """
area = libc.mmap(None, ctypes.c_size_t(8192), 3, 0x22, -1, ctypes.c_size_t(0))
ctypes.memmove(area, b"kept", 4)
call(libc.mprotect(ctypes.c_void_p(area), 4096, 1))
call(libc.mprotect(ctypes.c_void_p(area + 4096), 4096, 0))
pause()
assert ctypes.string_at(area, 4) == b"kept"
lines = open("/proc/self/maps").read()
assert f"{area:x}-{area + 4096:x} r--p" in lines
assert f"{area + 4096:x}-" in lines and f"{area + 4096:x}-" in lines.split(" ---p")[0] + lines
""",
    ),
    Kind(
        "SysV shared memory",
        """
libc.shmat.restype = ctypes.c_void_p
segment = call(libc.shmget(0, 4096, 0o1600))
assert libc.shmat(segment, None, 0) not in (None, ctypes.c_void_p(-1).value)
libc.shmctl(segment, 0, None)
pause()
""",
        REFUSED,
        "UCX_TLS=^sysv",
    ),
    Kind(
        "SysV semaphores",
        """
import atexit
gate = call(libc.semget(0, 1, 0o1600))
atexit.register(lambda: libc.semctl(gate, 0, 0))
call(libc.semctl(gate, 0, 16, 3))
pause()
assert call(libc.semctl(gate, 0, 12)) == 3
""",
        WARNED,
        "SysV semaphores",
        unwiped="they are the node's, and end with it",
    ),
    Kind(
        "SysV message queue",
        """
import atexit
queue = call(libc.msgget(0, 0o1600))
atexit.register(lambda: libc.msgctl(queue, 0, None))
call(libc.msgsnd(queue, struct.pack("l5s", 1, b"hello"), 5, 0))
pause()
got = ctypes.create_string_buffer(16)
assert call(libc.msgrcv(queue, got, 5, 0, 0)) == 5 and got.raw[8:13] == b"hello"
""",
        WARNED,
        "SysV message queue",
        unwiped="it is the node's, and ends with it",
    ),
    Kind(
        "POSIX message queue",
        """
queue = call(libc.mq_open(b"/tckpt-%d" % os.getpid(), os.O_CREAT | os.O_RDWR, 0o600, None))
libc.mq_unlink(b"/tckpt-%d" % os.getpid())
pause()
""",
        REFUSED,
        "POSIX message queue",
    ),
    Kind(
        "userfaultfd",
        """
handle = call(libc.syscall(323, 1))  # user mode only
call(libc.ioctl(handle, 0xC018AA3F, struct.pack("QQQ", 0xAA, 0, 0)))
pause()
""",
        REFUSED,
        "userfaultfd",
    ),
    Kind(
        "secret memory (memfd_secret)",
        """
file = call(libc.syscall(447, 0))
os.ftruncate(file, 4096)
area = mmap.mmap(file, 4096)
os.close(file)
area[:4] = b"kept"
pause()
assert area[:4] == b"kept"
""",
        REFUSED,
        "memfd_secret",
    ),
    Kind(
        "memfd of huge pages",
        """
file = os.memfd_create("mine", os.MFD_HUGETLB)
pause()
""",
        REFUSED,
        "huge pages",
    ),
    Kind(
        "program that runs from a memfd",
        """
file = os.memfd_create("mine")
os.write(file, open("/usr/bin/sleep", "rb").read())
child = subprocess.Popen([f"/proc/self/fd/{file}", "1000"], pass_fds=[file])
while "memfd" not in os.readlink(f"/proc/{child.pid}/exe"):
    time.sleep(0.01)
pause()
assert child.poll() is None
child.kill()
""",
        REFUSED,
        "run it from a file",
        dumped=True,
    ),
    Kind(
        "memfd, mapped, its descriptor closed",
        """
file = os.memfd_create("mine")
os.ftruncate(file, 8192)
area = mmap.mmap(file, 8192)
os.close(file)
area[:4] = b"kept"
pause()
assert area[:4] == b"kept"
""",
    ),
    Kind(
        "address space that is only reserved",
        """
start = libc.mmap(None, ctypes.c_size_t(1 << 44), 0, 0x4022, -1, ctypes.c_size_t(0))
assert start not in (None, ctypes.c_void_p(-1).value)
pause()
assert f"{start:x}-{start + (1 << 44):x} ---p" in open("/proc/self/maps").read()
""",
    ),
    Kind(
        "memory that grows down, that no fork has, that is a guard",
        """
stack = libc.mmap(None, ctypes.c_size_t(65536), 3, 0x122, -1, ctypes.c_size_t(0))
ctypes.memmove(stack + 65532, b"kept", 4)
own = mmap.mmap(-1, 65536, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
own[:4] = b"kept"
own.madvise(10)
emptied = mmap.mmap(-1, 65536, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
emptied.madvise(18)
pause()
assert ctypes.string_at(stack + 65532, 4) == own[:4] == b"kept"
smaps = open("/proc/self/smaps").read()
assert all(f" {flag}" in smaps for flag in ("gd", "dc", "wf"))
""",
    ),
)
