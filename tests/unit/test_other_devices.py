# SPDX-License-Identifier: MIT
"""On btrfs stat(2) tells another device than the kernel's lists of sockets and locks do."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from torqueckpt.checkpointers.criu.sockets import relative_paths
from torqueckpt.files import content, leftovers
from torqueckpt.manifest import SOCKET, Made
from torqueckpt.process import proc, resources, sockets, tree


@pytest.fixture
def ear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A path in the working directory, where the list of sockets has another device."""
    seen = sockets.unix

    def told() -> dict[str, sockets.Unix]:
        return {
            inode: each._replace(place=(each.place[0] + 1, each.place[1])) if each.place else each
            for inode, each in seen().items()
        }

    monkeypatch.setattr(sockets, "unix", told)
    monkeypatch.chdir(tmp_path)
    return str(tmp_path / "ear")


def test_a_socket_of_a_relative_path_that_leads_to_it_is_no_reason_to_refuse(ear: str) -> None:
    me = proc.stat(os.getpid())
    assert me is not None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("ear")
        held = resources.of_tree([me], tree.open_links([me]))
        assert list(relative_paths(held)) == []
        os.rename("ear", "elsewhere")
        assert [each.subject for each in relative_paths(held)] == ["UNIX socket ear"]


def test_a_socket_of_a_program_that_runs_stays(ear: str) -> None:
    made = [Made(ear, SOCKET)]
    planned = leftovers.expected(made)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(ear)
        assert list(leftovers.in_the_way(made)) == [f"{ear} is the socket of a program that runs"]
        leftovers.remove(planned)
        assert os.path.exists(ear)
    assert list(leftovers.in_the_way(made)) == []
    leftovers.remove(planned)
    assert not os.path.exists(ear)


def test_a_lease_is_seen_all_the_same() -> None:
    status = os.stat("/proc/self/stat")  # of a file system without a device of its own
    assert os.major(status.st_dev) == 0
    assert content.is_leased(status, {(status.st_dev + 1, status.st_ino)})
    assert not content.is_leased(status, {(status.st_dev, status.st_ino + 1)})
