# SPDX-License-Identifier: MIT
"""The batch interface library (pbs_ifl.h) of TORQUE and OpenPBS: C stays in here."""

from torqueckpt.ifl.attributes import Attribute
from torqueckpt.ifl.connection import Connection
from torqueckpt.ifl.library import Library, open_library
from torqueckpt.ifl.records import Job, Node, Queue, Server

__all__ = ["Attribute", "Connection", "Job", "Library", "Node", "Queue", "Server", "open_library"]
