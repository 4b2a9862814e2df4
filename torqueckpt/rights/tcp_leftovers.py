# SPDX-License-Identifier: MIT
"""Have the kernel forget what is left of a killed job's TCP connections, before a restart of it.

It remembers each for a minute after both ends have been closed, and nobody can have its addresses
meanwhile.  What is forgotten has no process any more, and is the image's by the signed manifest: a
connection of the image, or what a listening port of the image keeps others from binding.
"""

from __future__ import annotations

from torqueckpt.identity import Owner
from torqueckpt.manifest import Connection, Manifest
from torqueckpt.process import privileges, sockets
from torqueckpt.process.sockets import CLOSING, FIN_WAIT1, FIN_WAIT2, LAST_ACK, Tcp
from torqueckpt.rights import tcp_socket

# Its own side was closed.  In other states one without a process may be waiting to be accepted.
_CLOSED = (FIN_WAIT1, FIN_WAIT2, CLOSING, LAST_ACK)


def forget(manifest: Manifest, owner: Owner) -> int:
    """Forget what would be in the way of this image; gives how many.

    Where the kernel cannot do that, the restart waits as long as it remembers.
    """
    rows = sockets.tcp()
    ends = {*manifest.connections, *map(tcp_socket.turned, manifest.connections)}
    others = {each.local[1] for each in rows if not _has_ended(each) and each.uid != owner.uid}
    ports = set(manifest.listening) - others
    found = [each for each in rows if _is_in_the_way(each, ends, ports, owner)]
    with privileges.acting_as_root():
        return sum(map(sockets.destroy, found))


def _has_ended(each: Tcp) -> bool:
    return each.remembered or (each.inode == "0" and each.state in _CLOSED)


def _is_in_the_way(each: Tcp, ends: set[Connection], ports: set[int], owner: Owner) -> bool:
    if not _has_ended(each):
        return False
    if each.remembered:  # nobody tells whose it was; its other end loses nothing by it
        return each.local[1] in ports or tcp_socket.ends_of(each) in ends
    return each.uid == owner.uid and tcp_socket.ends_of(each) in ends
