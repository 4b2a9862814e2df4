# SPDX-License-Identifier: MIT
"""Processes that have lost their parent: daemons and helpers of the job's, here and elsewhere."""

from __future__ import annotations

from tests.job.kinds.kind import REFUSED, Kind

_ORPHAN = """
def parent(pid):
    return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])


def back(pid, sid):
    assert (parent(pid), os.getsid(pid)) == (os.getpid(), sid), (parent(pid), os.getsid(pid), sid)
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


call(libc.prctl(36, 1, 0, 0, 0))  # as mom-run does for a shell's script
told, tell = os.pipe()
"""

KINDS = (
    Kind(
        "process whose parent has ended (nohup)",
        _ORPHAN
        + """
subprocess.run(["/bin/sh", "-c", "nohup sleep 6000 >/dev/null 2>&1 & echo $!"], stdout=tell)
orphan = int(os.read(told, 20))
assert parent(orphan) == os.getpid()
pause()
back(orphan, os.getsid(0))
""",
    ),
    Kind(
        "daemon in the session of a process that has ended (double fork)",
        _ORPHAN
        + """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(tell, b"%d" % os.getpid())
        time.sleep(6000)
    os._exit(0)
sid = os.wait()[0]
orphan = int(os.read(told, 20))
assert parent(orphan) == os.getpid()
pause()
back(orphan, sid)
""",
    ),
    Kind(
        "process whose parent has ended, in the session of another (tmux, screen)",
        _ORPHAN
        + """
leader = os.fork()
if leader == 0:
    os.setsid()
    if os.fork() == 0:
        if os.fork() == 0:
            os.write(tell, b"%d" % os.getpid())
            time.sleep(6000)
        os._exit(0)
    os.wait()
    os.write(tell, b" ")
    time.sleep(6000)
said = b""
while not (b" " in said and said.strip()):  # in either order
    said += os.read(told, 20)
orphan = int(said)
assert parent(orphan) == os.getpid()
pause()
back(orphan, leader)
back(leader, leader)
""",
    ),
    Kind(
        "daemon that left the tree",
        """
told, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(tell, b"%d" % os.getpid())
        for fd in (0, 1, 2):
            os.dup2(os.open("/dev/null", os.O_RDWR), fd)
        time.sleep(6000)
    os._exit(0)
os.wait()
daemon = int(os.read(told, 20))
pause()
os.kill(daemon, signal.SIGKILL)
""",
        REFUSED,
        "not in the job's tree",
        dumped=True,
    ),
    Kind(
        "child that runs something on another node (ssh, srun)",
        """
import shutil
shutil.copy("/usr/bin/sleep", "ssh")
child = subprocess.Popen(["./ssh", "1000"])
while "ssh" not in open(f"/proc/{child.pid}/comm").read():
    time.sleep(0.01)
pause()
child.kill()
child.wait()
""",
        REFUSED,
        "another node",
        dumped=True,
    ),
)
