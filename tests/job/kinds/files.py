# SPDX-License-Identifier: MIT
"""Files, directories, devices and pipes."""

from __future__ import annotations

from tests.job.kinds.kind import REFUSED, Kind

KINDS = (
    Kind(
        "file open for reading",
        """
open("data", "w").write("0123456789")
file = open("data", "rb", 0)
assert file.read(4) == b"0123"
pause()
assert file.read() == b"456789"
""",
    ),
    Kind(
        "file open for writing",
        """
file = open("data", "wb", 0)
file.write(b"before ")
pause()
file.write(b"after")
assert open("data", "rb").read() == b"before after"
""",
    ),
    Kind(
        "file open for reading and writing",
        """
file = open("data", "wb+", 0)
file.write(b"x" * 100)
file.seek(40)
pause()
assert file.tell() == 40
file.write(b"y")
assert open("data", "rb").read() == b"x" * 40 + b"y" + b"x" * 59
""",
    ),
    Kind(
        "file open for appending",
        """
file = open("data", "ab", 0)
file.write(b"before ")
pause()
assert fcntl.fcntl(file, fcntl.F_GETFL) & os.O_APPEND
file.write(b"after")
assert open("data", "rb").read() == b"before after"
""",
    ),
    Kind(
        "file with data not yet written out (stdio buffer)",
        """
file = open("data", "w")
file.write("in the buffer")
pause()
file.close()
assert open("data").read() == "in the buffer"
""",
    ),
    Kind(
        "file mapped shared",
        """
open("data", "wb").write(bytes(8192))
file = open("data", "rb+")
area = mmap.mmap(file.fileno(), 8192)
area[:6] = b"before"
pause()
assert area[:6] == b"before"
area[4096:4101] = b"after"
area.flush()
assert open("data", "rb").read()[4096:4101] == b"after"
""",
    ),
    Kind(
        "file mapped private",
        """
open("data", "wb").write(bytes(8192))
file = open("data", "rb")
area = mmap.mmap(file.fileno(), 8192, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
area[:4] = b"mine"
pause()
assert area[:4] == b"mine" and area[4096:4100] == bytes(4)
assert open("data", "rb").read(4) == bytes(4)
""",
    ),
    Kind(
        "deleted file",
        """
file = open("data", "wb+", 0)
file.write(b"0123456789")
file.seek(4)
os.unlink("data")
pause()
assert file.read() == b"456789"
assert not os.path.exists("data")
""",
    ),
    Kind(
        "deleted file over 64 MiB",
        """
file = open("data", "wb+", 0)
for _ in range(65):
    file.write(bytes(1 << 20))
os.unlink("data")
pause()
""",
        REFUSED,
        "64 MiB",
    ),
    Kind(
        "deleted file, mapped",
        """
file = open("data", "wb+", 0)
file.write(bytes(8192))
area = mmap.mmap(file.fileno(), 8192)
file.close()
os.unlink("data")
area[:4] = b"mine"
pause()
assert area[:4] == b"mine"
""",
    ),
    Kind(
        "file without a name (O_TMPFILE)",
        """
file = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
os.write(file, b"unnamed")
pause()
assert os.pread(file, 99, 0) == b"unnamed"
""",
    ),
    Kind(
        "deleted name of a file with another name",
        """
file = open("data", "wb+", 0)
file.write(b"0123456789")
file.seek(4)
os.link("data", "other")
os.unlink("data")
pause()
assert file.read() == b"456789"
file.write(b", and more")
assert open("other", "rb").read() == b"0123456789, and more" and os.listdir(".").count("data") == 0
assert os.fstat(file.fileno()).st_nlink == 1 and not [n for n in os.listdir(".") if "remap" in n]
""",
    ),
    Kind(
        "deleted name of a mapped file with another name",
        """
file = open("data", "wb+", 0)
file.write(bytes(8192))
area = mmap.mmap(file.fileno(), 8192)
seen = mmap.mmap(file.fileno(), 8192, mmap.MAP_PRIVATE)
file.close()
os.link("data", "other")
os.unlink("data")
area[:4] = b"mine"
pause()
assert area[:4] == seen[:4] == b"mine" and not os.path.exists("data")
area[4:8] = b"ours"
area.flush()
assert open("other", "rb").read(8) == b"mineours"
""",
    ),
    Kind(
        "temporary file (O_TMPFILE) that was given a name",
        """
file = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
os.write(file, b"unnamed")
assert call(libc.linkat(-100, b"/proc/self/fd/%d" % file, -100, b"data", 0x400)) == 0
pause()
os.write(file, b" no more")
assert open("data").read() == "unnamed no more"
""",
    ),
    Kind(
        "deleted name of a file with another name in another directory",
        """
file = open("data", "wb+", 0)
os.mkdir("below")
os.link("data", "below/other")
os.unlink("data")
pause()
""",
        REFUSED,
        "another name",
    ),
    Kind(
        "program whose file was deleted",
        """
import shutil
shutil.copy("/usr/bin/sleep", "mine")
child = subprocess.Popen(["./mine", "1000"])
while "mine" not in os.readlink(f"/proc/{child.pid}/exe"):
    time.sleep(0.01)
os.unlink("mine")
pause()
assert child.poll() is None
child.kill()
assert child.wait() == -9
""",
    ),
    Kind(
        "file opened with O_DIRECT",
        """
open("data", "wb").write(b"d" * 8192)
file = os.open("data", os.O_RDWR | os.O_DIRECT)
page = mmap.mmap(-1, 4096)
pause()
assert fcntl.fcntl(file, fcntl.F_GETFL) & os.O_DIRECT
assert os.preadv(file, [page], 4096) == 4096 and page[:] == b"d" * 4096
""",
    ),
    Kind(
        "directory",
        """
os.mkdir("below")
open("below/one", "w").close()
directory = os.open("below", os.O_RDONLY | os.O_DIRECTORY)
pause()
assert os.listdir(directory) == ["one"]
""",
    ),
    Kind(
        "O_PATH descriptor",
        """
open("data", "w").write("by path")
handle = os.open("data", os.O_PATH)
pause()
assert open(f"/proc/self/fd/{handle}").read() == "by path"
""",
    ),
    Kind(
        "deleted working directory",
        """
os.mkdir("gone")
os.chdir("gone")
os.rmdir("../gone")
pause()
try:
    raise AssertionError(os.getcwd())
except FileNotFoundError:
    os.chdir("..")
""",
    ),
    Kind(
        "working directory, umask and environment",
        """
os.mkdir("below")
os.chdir("below")
os.umask(0o027)
os.environ["MINE"] = "kept"
pause()
assert os.getcwd().endswith("/below")
open("made", "w").close()
assert os.stat("made").st_mode & 0o777 == 0o640
told = subprocess.run(["/bin/sh", "-c", "echo $MINE"], stdout=subprocess.PIPE).stdout
assert told == b"kept\\n"
""",
    ),
    Kind(
        "devices: null, zero, full, urandom",
        """
opened = {name: os.open(f"/dev/{name}", os.O_RDWR if name != "urandom" else os.O_RDONLY)
          for name in ("null", "zero", "full", "urandom")}
pause()
assert os.read(opened["null"], 1) == b"" and os.read(opened["zero"], 2) == bytes(2)
assert len(os.read(opened["urandom"], 9)) == 9
try:
    os.write(opened["full"], b"x")
    raise AssertionError
except OSError as full:
    assert full.errno == errno.ENOSPC
""",
    ),
    Kind(
        "files of /proc and /sys",
        """
mine = open("/proc/self/status")
node = open("/proc/cpuinfo")
other = open("/sys/kernel/mm/transparent_hugepage/enabled")
pause()
assert f"Pid:\\t{os.getpid()}\\n" in mine.read() and "processor" in node.read() and other.read()
""",
    ),
    Kind(
        "dup'ed descriptors and close-on-exec",
        """
file = open("data", "wb+", 0)
twin = os.dup(file.fileno())
os.set_inheritable(twin, True)
os.write(twin, b"0123")
pause()
assert file.tell() == 4
assert not os.get_inheritable(file.fileno()) and os.get_inheritable(twin)
os.lseek(twin, 1, 0)
assert file.read() == b"123"
""",
    ),
    Kind(
        "one open file in two processes",
        """
file = open("data", "wb", 0)
tell, told = os.pipe()
child = os.fork()
if child == 0:
    os.read(tell, 1)
    file.write(b"child ")
    os._exit(0)
file.write(b"parent ")
pause()
os.write(told, b"x")
os.waitpid(child, 0)
file.write(b"parent")
assert open("data", "rb").read() == b"parent child parent"
""",
    ),
    Kind(
        "pipe with data in it",
        """
read_end, write_end = os.pipe()
os.write(write_end, b"in flight")
pause()
os.write(write_end, b", and more")
assert os.read(read_end, 99) == b"in flight, and more"
""",
    ),
    Kind(
        "pipe to a child that waits",
        """
child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdin.write(b"before ")
child.stdin.flush()
pause()
assert child.communicate(b"after")[0] == b"before after" and child.returncode == 0
""",
    ),
    Kind(
        "fifo with data in it",
        """
os.mkfifo("fifo")
both = os.open("fifo", os.O_RDWR)
os.write(both, b"in flight")
pause()
assert os.read(both, 99) == b"in flight"
""",
    ),
    Kind(
        "pipe of packets (O_DIRECT)",
        """
read_end, write_end = os.pipe2(os.O_DIRECT)
os.write(write_end, b"packet")
pause()
assert os.read(read_end, 99) == b"packet"
""",
        REFUSED,
        "packets",
    ),
    Kind(
        "file of /proc of a process outside",
        """
other = open(f"/proc/{os.getppid()}/stat")
pause()
""",
        REFUSED,
        "outside of the job",
        dumped=True,
    ),
    Kind(
        "file of /proc of init",
        """
other = open("/proc/1/stat")
pause()
assert other.read().startswith("1 (")
""",
    ),
    Kind(
        "directory of /proc of a process outside",
        """
other = os.open("/proc/1", os.O_RDONLY)
pause()
""",
        REFUSED,
        "outside of the job",
        dumped=True,
    ),
    Kind(
        "files of /proc of a child, running, zombie and gone",
        """
children = [subprocess.Popen(["/usr/bin/sleep", "1000"]) for _ in range(3)]
opened = [open(f"/proc/{child.pid}/stat") for child in children]
directory = os.open(f"/proc/{children[0].pid}", os.O_RDONLY)
children[1].kill()
children[2].kill()
children[2].wait()
while ") Z " not in open(f"/proc/{children[1].pid}/stat").read():
    time.sleep(0.01)
pause()
assert opened[0].read().startswith(f"{children[0].pid} (sleep) ")
assert "cmdline" in os.listdir(directory)
children[0].kill()
""",
    ),
    Kind(
        "file of /proc of a thread",
        """
begun = []
thread = threading.Thread(
    target=lambda: begun.append(threading.get_native_id()) or time.sleep(10_000), daemon=True
)
thread.start()
while not begun:
    time.sleep(0.01)
other = open(f"/proc/self/task/{begun[0]}/stat")
pause()
""",
        REFUSED,
        "before that thread",
        dumped=True,
    ),
    Kind(
        "O_PATH descriptor of a UNIX socket",
        """
ear = socket.socket(socket.AF_UNIX)
ear.bind("ear")
handle = os.open("ear", os.O_PATH)
pause()
""",
        REFUSED,
        "O_PATH",
    ),
    Kind(
        "O_PATH descriptor of a fifo",
        """
os.mkfifo("fifo")
handle = os.open("fifo", os.O_PATH)
pause()
""",
        REFUSED,
        "O_PATH",
    ),
    Kind(
        "O_PATH descriptors of a link and a device",
        """
os.symlink("nowhere", "link")
link = os.open("link", os.O_PATH | os.O_NOFOLLOW)
device = os.open("/dev/null", os.O_PATH)
pause()
assert os.readlink("", dir_fd=link) == "nowhere"
""",
    ),
    Kind(
        "removed directory, open",
        """
os.mkdir("below")
directory = os.open("below", os.O_RDONLY)
os.rmdir("below")
pause()
assert os.listdir(directory) == [] and not os.path.exists("below")
""",
    ),
    Kind(
        "deleted file in a removed directory",
        """
os.mkdir("below")
file = open("below/data", "wb+", 0)
file.write(b"kept")
os.unlink("below/data")
os.rmdir("below")
pause()
assert os.pread(file.fileno(), 9, 0) == b"kept" and not os.path.exists("below")
""",
    ),
    Kind(
        "file replaced by another of its name",
        """
file = open("data", "wb+", 0)
file.write(b"first")
open("new", "wb").write(b"second")
os.rename("new", "data")
pause()
assert os.pread(file.fileno(), 9, 0) == b"first" and open("data", "rb").read() == b"second"
""",
    ),
    Kind(
        "program replaced by another of its name",
        """
import shutil
shutil.copy("/usr/bin/sleep", "mine")
child = subprocess.Popen(["./mine", "1000"])
while "mine" not in os.readlink(f"/proc/{child.pid}/exe"):
    time.sleep(0.01)
shutil.copy("/usr/bin/cat", "other")
os.rename("other", "mine")
pause()
assert child.poll() is None
child.kill()
""",
    ),
    Kind(
        "file name of odd bytes",
        """
file = open(b"a\\nb\\xff (deleted)", "wb+", 0)
file.write(b"kept")
pause()
assert os.pread(file.fileno(), 9, 0) == b"kept"
""",
    ),
    Kind(
        "deleted fifo with data in it",
        """
os.mkfifo("fifo")
both = os.open("fifo", os.O_RDWR)
os.unlink("fifo")
os.write(both, b"in flight")
pause()
assert os.read(both, 99) == b"in flight"
""",
    ),
)
