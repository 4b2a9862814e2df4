# SPDX-License-Identifier: MIT
"""The batch interface library (pbs_ifl.h) of TORQUE and OpenPBS: C stays in here.

Errors, attributes and records need no library and no cffi, and are quick to import.
"""

from typing import TYPE_CHECKING

from torqueckpt.ifl.attributes import Attribute
from torqueckpt.ifl.records import Job, Node, Queue, Server

if TYPE_CHECKING:
    from torqueckpt.ifl.connection import Connection
    from torqueckpt.ifl.library import Library, open_library
else:

    def __getattr__(name):
        """What speaks to a server is imported when somebody wants to."""
        if name == "Connection":
            from torqueckpt.ifl.connection import Connection

            return Connection
        if name in ("Library", "open_library"):
            from torqueckpt.ifl import library

            return getattr(library, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Attribute", "Connection", "Job", "Library", "Node", "Queue", "Server", "open_library"]
