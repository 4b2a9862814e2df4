# SPDX-License-Identifier: MIT
"""A second node of a TORQUE of the tests' own: a MOM with a host, boot, network, processes, /tmp
and spool of its own; store and settings are the first node's, as on a shared file system."""

from __future__ import annotations

import uuid

from tests.batch.private import HOST
from tests.support import PREFIX
from tests.torque.private import _SOONER, PrivateTorque

SECOND, ADDRESS = "tckptnode2", "10.99.0.2"


class SecondNode(PrivateTorque):
    def __init__(self, first: PrivateTorque) -> None:
        self._first = first
        super().__init__(first.prefix, first.library, SECOND, ADDRESS)
        self.put("/proc/sys/kernel/random/boot_id", f"{uuid.uuid4()}\n")
        own = self.root / "tmp"
        own.mkdir()
        own.chmod(0o1777)
        self.bind(own, "/tmp")  # where trqauthd's socket is, in most installations
        first.connect(self)

    def _own_installation(self) -> None:
        for name in ("etc", "var"):
            self.bind(self._first.root / name, PREFIX / name)

    def start(self) -> None:
        home = self.root / "home"
        (home / "server_name").write_text(f"{HOST}\n")
        (home / "mom_priv/config").write_text(_SOONER)
        self.check(*self.configure_argv("--apply"))
        # numbers that its daemons have are not those of a job of the first node's
        self.check("sh", "-c", "echo 20000 >/proc/sys/kernel/ns_last_pid")
        self.check("trqauthd")
        self._first.check("qmgr", "-c", f"create node {SECOND} np=8")
        self.start_mom()
        self._first.wait(self._is_free, "a free second node", 120, self._told)

    def _is_free(self) -> bool:
        if "offline" in self._told():
            self._first.run("pbsnodes", "-c", SECOND)
        return "state = free" in self._told()

    def _told(self) -> str:
        return self._first.run("pbsnodes", SECOND).stdout

    def remove(self) -> None:
        self._first.check("qmgr", "-c", f"delete node {SECOND}")
        super().remove()
