# SPDX-License-Identifier: MIT
"""What lies in temporary directories, which a boot empties: files, programs, sockets, pipes."""

from __future__ import annotations

from tests.job.kinds.kind import Kind

_DIRECTORY = """
import tempfile
where = tempfile.mkdtemp(prefix="tckpt-", dir="/tmp")
os.chmod(where, 0o750)
"""

KINDS = (
    Kind(
        "scratch file in /tmp",
        """
import tempfile
file = tempfile.NamedTemporaryFile(dir="/tmp", buffering=0)
file.write(b"x" * 100)
file.seek(40)
pause()
file.write(b"y")
assert open(file.name, "rb").read() == b"x" * 40 + b"y" + b"x" * 59
assert os.stat(file.name).st_mode & 0o777 == 0o600
file.close()
""",
    ),
    Kind(
        "scratch directory in /tmp, with files that are not open",
        _DIRECTORY
        + """
open(where + "/closed", "w").write("kept")
os.makedirs(where + "/below/empty")
os.symlink("closed", where + "/link")
file = open(where + "/open", "wb+", 0)
file.write(b"0123")
pause()
assert open(where + "/closed").read() == open(where + "/link").read() == "kept"
assert os.listdir(where + "/below") == ["empty"] and os.stat(where).st_mode & 0o777 == 0o750
file.write(b"45")
assert open(where + "/open").read() == "012345"
""",
    ),
    Kind(
        "file in /dev/shm, not mapped",
        """
import tempfile
file = tempfile.NamedTemporaryFile(dir="/dev/shm", buffering=0)
file.write(b"before ")
pause()
file.write(b"after")
assert open(file.name).read() == "before after"
file.close()
""",
    ),
    Kind(
        "file in /tmp, open for appending",
        _DIRECTORY
        + """
file = open(where + "/log", "a")
print("before", file=file, flush=True)
pause()
print("after", file=file, flush=True)
assert open(where + "/log").read() == "before\\nafter\\n"
""",
    ),
    Kind(
        "file in /tmp, open for reading",
        _DIRECTORY
        + """
open(where + "/data", "w").write("0123456789")
os.chmod(where + "/data", 0o400)
file = open(where + "/data", "rb", 0)
assert file.read(4) == b"0123"
pause()
assert file.read() == b"456789"
""",
    ),
    Kind(
        "file in /tmp, mapped private",
        _DIRECTORY
        + """
open(where + "/data", "wb").write(b"d" * 8192)
with open(where + "/data", "rb") as file:
    area = mmap.mmap(file.fileno(), 8192, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
area[:4] = b"mine"
pause()
assert area[:4] == b"mine" and area[4096:] == b"d" * 4096
""",
    ),
    Kind(
        "program and library in /tmp",
        _DIRECTORY
        + """
import shutil
shutil.copy("/usr/bin/sleep", where + "/mine")
name = next(line.split()[-1] for line in open("/proc/self/maps") if "/libc.so" in line)
shutil.copy(os.path.dirname(name) + "/libm.so.6", where + "/mine.so")
library = ctypes.CDLL(where + "/mine.so")
library.cos.restype, library.cos.argtypes = ctypes.c_double, [ctypes.c_double]
child = subprocess.Popen([where + "/mine", "1000"])
while "mine" not in os.readlink(f"/proc/{child.pid}/exe"):
    time.sleep(0.01)
pause()
assert library.cos(0.0) == 1.0 and child.poll() is None
child.kill()
assert child.wait() == -9
""",
    ),
    Kind(
        "working directory in /tmp, empty",
        _DIRECTORY
        + """
os.chdir(where)
pause()
assert os.getcwd() == where and os.stat(where).st_mode & 0o777 == 0o750
open("made", "w").close()
os.chdir(PLACE)
""",
    ),
    Kind(
        "directory in /tmp, open",
        _DIRECTORY
        + """
os.mkdir(where + "/one")
directory = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
pause()
assert os.listdir(directory) == ["one"]
""",
    ),
    Kind(
        "unix socket in a directory of /tmp",
        _DIRECTORY
        + """
os.mkdir(where + "/below", 0o700)
ear = socket.socket(socket.AF_UNIX)
ear.bind(where + "/below/ear")
ear.listen()
pause()
assert os.stat(where + "/below").st_mode & 0o777 == 0o700
more = socket.socket(socket.AF_UNIX)
more.connect(where + "/below/ear")
assert ear.accept()
""",
    ),
    Kind(
        "multiprocessing manager, which listens in /tmp",
        """
import multiprocessing
manager = multiprocessing.Manager()
shared = manager.dict(before=1)
pause()
shared["after"] = 2
more = manager.list([3])  # by another connection
assert dict(shared) == {"before": 1, "after": 2} and list(more) == [3]
manager.shutdown()
""",
    ),
    Kind(
        "fifo in /tmp",
        _DIRECTORY
        + """
os.mkfifo(where + "/fifo", 0o640)
both = os.open(where + "/fifo", os.O_RDWR)
os.write(both, b"in flight")
pause()
assert os.read(both, 99) == b"in flight"
assert os.stat(where + "/fifo").st_mode & 0o777 == 0o640
""",
    ),
    Kind(
        "deleted file in a directory of /tmp",
        _DIRECTORY
        + """
file = open(where + "/data", "wb+", 0)
file.write(b"0123456789")
file.seek(4)
os.unlink(where + "/data")
pause()
assert file.read() == b"456789"
assert os.listdir(where) == []
""",
    ),
    Kind(
        "deleted file in /dev/shm, mapped",
        """
import tempfile
with tempfile.TemporaryFile(dir="/dev/shm", buffering=0) as file:
    file.write(bytes(8192))
    area = mmap.mmap(file.fileno(), 8192)
area[:4] = b"mine"
pause()
assert area[:4] == b"mine"
""",
    ),
)
