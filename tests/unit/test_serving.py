# SPDX-License-Identifier: MIT
"""A compressed image is handed to the restore, by a process of its owner's, and to nobody else."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support import REPOSITORY, wait_until
from tests.unit import real
from torqueckpt import compression
from torqueckpt.checkpointers.criu.stream import CriuStream
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.restart import serving

_PAGES = bytes(range(256)) * 20_000
_CORE = b"core" * 30_000  # more than a pipe holds
_FILES = {"core-1.img": _CORE, "inventory.img": b"small", "pages-1.img.zst": _PAGES}


@pytest.fixture
def image(place: Path, user: Owner) -> Path:
    """As checked.py makes it: root's, for the owner's group to read."""
    made = place / "image"
    made.mkdir(mode=0o750)
    os.chown(made, 0, user.gid)
    for name, data in _FILES.items():
        pieces: list[bytes] = []
        plain = place / "plain"
        plain.write_bytes(data)
        with plain.open("rb", buffering=0) as source:
            compression.pack(source.fileno(), pieces.append)
        (made / name).write_bytes(b"".join(pieces) if name.endswith(".zst") else data)
    return made


@pytest.fixture
def served(image: Path, user: Owner) -> Iterator[Path]:
    with privileges.acting_as(user), serving.served(CriuStream(), image, user):
        yield image


def asking(image: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(10)
    client.connect(str(image / CriuStream.socket_name))
    return client


def asked_for(client: socket.socket, name: str) -> int | None:
    """The pipe that the file comes through, asked for as CRIU does; None when it is not there."""
    message = bytes([0x0A, len(name)]) + name.encode()
    client.sendall(struct.pack("<I", len(message)) + message)
    if client.recv(6) != CriuStream().answer(True):
        return None
    ours, theirs = os.pipe()
    socket.send_fds(client, [b"\0"], [theirs])
    os.close(theirs)
    return ours


def content(pipe: int | None) -> bytes:
    assert pipe is not None
    with open(pipe, "rb") as file:
        return file.read()


def test_files_come_as_they_were_whether_compressed_or_not(served: Path) -> None:
    with closing(asking(served)) as client:
        assert content(asked_for(client, "inventory.img")) == b"small"
        assert content(asked_for(client, "pages-1.img")) == _PAGES
        assert content(asked_for(client, "core-1.img")) == _CORE
        assert asked_for(client, "pages-2.img") is None
        assert asked_for(client, "../image/core-1.img") is None
        assert content(asked_for(client, "inventory.img")) == b"small"


def test_files_that_are_asked_for_together_do_not_wait_for_each_other(served: Path) -> None:
    with closing(asking(served)) as client:
        pages, core, small = (
            asked_for(client, name) for name in ("pages-1.img", "core-1.img", "inventory.img")
        )
        assert content(small) == b"small"
        assert content(core) == _CORE
        assert content(pages) == _PAGES


def test_who_says_something_else_keeps_nobody_from_asking(served: Path) -> None:
    for said in (b"\xff" * 40, b"", struct.pack("<I", 4)):
        with closing(asking(served)) as client:
            client.sendall(said)
    with closing(asking(served)) as client:
        gone = asked_for(client, "pages-1.img")
        assert gone is not None
        os.close(gone)  # as a restore that has failed
    with closing(asking(served)) as client:
        assert content(asked_for(client, "pages-1.img")) == _PAGES


def test_a_file_that_became_a_pipe_is_not_waited_for(served: Path) -> None:
    with privileges.acting_as_root():
        (served / "inventory.img").unlink()
        os.mkfifo(served / "inventory.img", 0o644)
    with closing(asking(served)) as client:
        assert content(asked_for(client, "inventory.img")) == b""
    with closing(asking(served)) as client:
        assert content(asked_for(client, "core-1.img")) == _CORE


def test_others_cannot_ask_and_the_owner_cannot_look_into_the_one_who_answers(
    image: Path, user: Owner
) -> None:
    image.chmod(0o755)
    with privileges.acting_as(user), serving.served(CriuStream(), image, user):
        pid = _server()
        assert _real_uid(pid) == user.uid
        with pytest.raises(PermissionError):
            Path(f"/proc/{pid}/mem").open("rb").close()
        assert _connects(user, image) == 0
        assert _connects(privileges.owner("nobody"), image) != 0


def _server() -> int:
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return int(children[-1])


def _real_uid(pid: int) -> int:
    def uid() -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("\nUid:\t")[2].split()[0])

    wait_until(lambda: uid() != 0)
    return uid()


def _connects(owner: Owner, image: Path) -> int:
    code = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    place = str(image / CriuStream.socket_name)
    words = [
        "/usr/bin/setpriv",
        "--reuid",
        str(owner.uid),
        "--regid",
        str(owner.gid),
        "--clear-groups",
    ]
    with privileges.acting_as_root():
        words += ["/usr/bin/python3", "-c", code, place]
        done = subprocess.run(words, capture_output=True)
    return done.returncode


def test_it_ends_with_the_restore_and_when_that_is_killed(image: Path, user: Owner) -> None:
    program = (
        "import sys, time; from pathlib import Path; from torqueckpt.process import privileges\n"
        "from torqueckpt.restart import serving\n"
        "from torqueckpt.checkpointers.criu.stream import CriuStream\n"
        "who = privileges.owner(sys.argv[1])\n"
        "with privileges.acting_as(who), serving.served(CriuStream(), Path(sys.argv[2]), who):\n"
        "    print('serving', flush=True); time.sleep(6000)\n"
    )
    argv = [sys.executable, "-c", program, user.name, str(image)]
    maker = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=REPOSITORY)
    assert maker.stdout is not None and maker.stdout.readline() == b"serving\n"
    children = Path(f"/proc/{maker.pid}/task/{maker.pid}/children").read_text().split()
    assert len(children) == 1
    maker.send_signal(signal.SIGKILL)
    maker.wait()
    maker.stdout.close()
    wait_until(lambda: real.ended(int(children[0])))
