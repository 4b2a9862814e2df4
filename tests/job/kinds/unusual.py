# SPDX-License-Identifier: MIT
"""What few jobs have: io_uring, seccomp, namespaces, terminals, other families of sockets."""

from __future__ import annotations

from tests.job.kinds.kind import LOST, REFUSED, Kind
from tests.support import INSTALLED

_FILTER = """
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


allow = struct.pack("HBBI", 6, 0, 0, 0x7FFF0000)
call(libc.prctl(38, 1, 0, 0, 0))
call(libc.prctl(22, 2, ctypes.byref(Program(1, allow)), 0, 0))
pause()
"""

_NO_IO_URING = INSTALLED / "preload" / "no-io-uring.so"

KINDS = (
    Kind(
        "io_uring",
        """
ring = call(libc.syscall(425, 8, bytes(120)))
pause()
""",
        REFUSED,
        "preload/no-io-uring.so",
    ),
    Kind(
        "program that does without io_uring (no-io-uring.so)",
        f"""
if "LD_PRELOAD" not in os.environ:
    os.environ["LD_PRELOAD"] = "{_NO_IO_URING}"
    os.execv(sys.argv[0], sys.argv)
assert libc.syscall(425, 8, bytes(120)) == -1 and ctypes.get_errno() == errno.ENOSYS
assert libc.syscall(39) == os.getpid()
pause()
assert libc.syscall(39) == os.getpid()
""",
    ),
    Kind(
        "perf",
        """
attributes = struct.pack("IIQ", 1, 112, 0) + bytes(96)
counts = call(libc.syscall(298, attributes, 0, -1, -1, 0))
pause()
""",
        REFUSED,
        "start it without perf",
    ),
    Kind(
        "D-Bus of the job's own (dbus-run-session)",
        """
if not os.path.exists("/usr/bin/dbus-run-session"):
    raise PermissionError("dbus")
argv = ["/usr/bin/dbus-run-session", "--", "/bin/sh", "-c", "env >address; exec dbus-monitor"]
child = subprocess.Popen(argv, stdout=open("heard", "w"))
while "NameLost" not in open("heard").read():
    time.sleep(0.01)
pause()
environment = dict(line.rstrip().split("=", 1) for line in open("address") if "=" in line)
subprocess.run(["/usr/bin/dbus-send", "/a", "a.b.again"], env=environment, check=True)
until = time.monotonic() + 300
while "member=again" not in open("heard").read() and time.monotonic() < until:
    time.sleep(0.05)
assert "member=again" in open("heard").read()
child.terminate()
child.wait()
""",
    ),
    Kind("seccomp filter", _FILTER, REFUSED, "seccomp"),
    Kind(
        "seccomp strict mode",
        """
wait, held = os.pipe()
child = os.fork()
if child == 0:
    ctypes.PyDLL(None).prctl(22, 1, 0, 0, 0)
    os.read(wait, 1)
while "Seccomp:\\t1\\n" not in open(f"/proc/{child}/status").read():
    time.sleep(0.01)
pause()
os.kill(child, signal.SIGKILL)
""",
        REFUSED,
        "seccomp",
    ),
    Kind(
        "child in a user namespace",
        """
child = subprocess.Popen(["/usr/bin/unshare", "--user", "/usr/bin/sleep", "1000"])
while "sleep" not in open(f"/proc/{child.pid}/comm").read():
    time.sleep(0.01)
    if child.poll():
        raise PermissionError("namespaces")
pause()
child.kill()
child.wait()
""",
        REFUSED,
        "namespace",
    ),
    Kind(
        "child in namespaces of its own: mount, pid, network",
        """
options = ["--user", "--map-root-user", "--mount", "--pid", "--fork", "--net"]
child = subprocess.Popen(["/usr/bin/unshare", *options, "/usr/bin/sleep", "1000"])
time.sleep(0.3)
if child.poll():
    raise PermissionError("namespaces")
pause()
child.kill()
child.wait()
""",
        REFUSED,
        "namespace",
    ),
    Kind(
        "pseudo terminal inside the tree",
        """
master, slave = os.openpty()
os.write(master, b"line\\n")
pause()
assert os.read(slave, 99) == b"line\\n" and os.isatty(slave)
""",
    ),
    Kind(
        "controlling terminal inside the tree",
        """
import pty
child, master = pty.fork()
if child == 0:
    os.execv("/bin/cat", ["cat"])
pause()
os.write(master, b"line\\n")
time.sleep(0.2)
assert b"line\\r\\nline\\r\\n" in os.read(master, 99)
os.kill(child, signal.SIGKILL)
""",
    ),
    Kind(
        "pseudo terminal in which output and input wait",
        """
master, slave = os.openpty()
os.write(slave, b"out\\n")
os.write(master, b"one\\ntwo\\n")
pause()
assert [os.read(slave, 99), os.read(slave, 99)] == [b"one\\n", b"two\\n"]
os.set_blocking(master, False)
assert os.read(master, 99) == b"out\\r\\none\\r\\ntwo\\r\\n"
""",
    ),
    Kind(
        "pseudo terminal in which the end of input waits (Ctrl-D)",
        """
master, slave = os.openpty()
os.write(master, b"one\\n\\x04two\\n")
pause()
os.set_blocking(slave, False)
assert [os.read(slave, 99) for _ in range(3)] == [b"one\\n", b"", b"two\\n"]
""",
    ),
    Kind(
        "unfinished line of input in a pseudo terminal",
        """
master, slave = os.openpty()
os.write(master, b"ha")
pause()
os.write(master, b"lf\\n")
assert os.read(slave, 99) == b"lf\\n"
""",
        LOST,
    ),
    Kind(
        "script, a program with a terminal that it makes for others",
        """
told = "while sleep 0.05; do tty; [ ! -e ended ] || exit 3; done"
words = ["/usr/bin/script", "--quiet", "--return", "--command", told, "typescript"]
child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
while not os.path.exists("typescript") or "/dev/pts/" not in open("typescript").read():
    time.sleep(0.02)
pause()
open("ended", "w").close()
assert child.wait() == 3
""",
    ),
    Kind(
        "terminal of somebody outside",
        """
terminal = os.open(open("terminal").read(), os.O_RDWR | os.O_NOCTTY)
pause()
os.write(terminal, b"line")
""",
        REFUSED,
        "terminal",
        outside="terminal",
        dumped=True,
    ),
    Kind(
        "GPU device",
        """
device = os.open(open("device").read(), os.O_RDWR)
pause()
""",
        REFUSED,
        "GPU",
        outside="device",
    ),
    Kind(
        "socket to the hypervisor (AF_VSOCK)",
        """
one = socket.socket(40, socket.SOCK_STREAM)
pause()
""",
        REFUSED,
        "socket",
    ),
    Kind(
        "multipath TCP socket, listening",
        """
ear = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
ear.bind(("127.0.0.1", 0))
ear.listen()
pause()
one = socket.create_connection(ear.getsockname())
assert ear.accept()
""",
        REFUSED,
        "socket",
    ),
    Kind(
        "raw netlink socket of another kind",
        """
one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)
one.bind((0, 1))
pause()
""",
    ),
    Kind(
        "pidfd of a process outside",
        """
handle = os.pidfd_open(os.getppid())
pause()
""",
        REFUSED,
        "pidfd",
    ),
)
