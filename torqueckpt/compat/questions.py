# SPDX-License-Identifier: MIT
"""Module pbs: connections, and the calls that ask; c is a connection's number."""

from __future__ import annotations

import os
from collections.abc import Sequence

from torqueckpt.compat import openpbs_nodes
from torqueckpt.compat.binding import (
    Attributes,
    calls,
    library,
    listed,
    noted,
    optional,
    statuses_of,
    text_of,
)
from torqueckpt.ifl.attributes import Attribute, BatchStatus, Text

# The original's classes differ in name only; so isinstance() works with either.
attrl = attropl = Attribute
batch_status = BatchStatus

_MOST_CONNECTIONS = 9


def new_attrl(number: int) -> list[Attribute]:
    """Make a list of so many empty attrl objects."""
    return [attrl() for _ in range(number)]


def new_attropl(number: int) -> list[Attribute]:
    return [attropl() for _ in range(number)]


def new_batch_status() -> BatchStatus:
    return batch_status()


def pbs_default() -> str:
    return calls.plain_text("pbs_default")


def pbs_fbserver() -> str:
    return calls.plain_text("pbs_fbserver")


def pbs_get_server_list() -> str:
    return calls.plain_text("pbs_get_server_list")


def pbs_query_max_connections() -> int:
    """The number of connections that a process may have open."""
    if not library.has("pbs_query_max_connections"):
        return _MOST_CONNECTIONS
    return int(library.function("pbs_query_max_connections")())


def pbs_connect(server: Text = None) -> int:
    """Connect; gives a number > 0, < 0 on failure (from TORQUE 4 on minus the PBSE number)."""
    return noted(calls.connect(server))


def pbs_disconnect(connect: int) -> int:
    """Close a connection; 0, or a number for one that is not open.  error() keeps what it had."""
    return calls.disconnect(connect).value


def pbs_geterrmsg(connect: int) -> str | None:
    """The server's words for the last refusal on this connection."""
    return calls.message(connect)


def pbs_statjob(connect: int, id: Text, attrib: Attributes, extend: Text) -> list[BatchStatus]:
    return statuses_of("pbs_statjob", connect, id, listed(attrib), optional(extend))


def pbs_statque(connect: int, id: Text, attrib: Attributes, extend: Text) -> list[BatchStatus]:
    return statuses_of("pbs_statque", connect, id, listed(attrib), optional(extend))


def pbs_statnode(connect: int, id: Text, attrib: Attributes, extend: Text) -> list[BatchStatus]:
    """Ask for all nodes (""), one, or those with a :property."""
    if not library.is_openpbs:
        return statuses_of("pbs_statnode", connect, id, listed(attrib), optional(extend))
    wanted, name = listed(attrib), os.fsdecode(id or "")
    one = "" if name.startswith(":") else id
    asked = openpbs_nodes.understood(wanted)
    nodes = statuses_of("pbs_statnode", connect, one, asked, optional(extend))
    if name.startswith(":"):
        nodes = [node for node in nodes if openpbs_nodes.has_property(node, name[1:])]
    openpbs_nodes.complete(nodes, wanted)
    return nodes


def pbs_statserver(connect: int, attrib: Attributes, extend: Text) -> list[BatchStatus]:
    return statuses_of("pbs_statserver", connect, listed(attrib), optional(extend))


def pbs_selstat(connect: int, select_list: Attributes, extend: Text) -> list[BatchStatus]:
    return statuses_of("pbs_selstat", connect, listed(select_list), optional(extend))


def pbs_selectjob(connect: int, select_list: Attributes, extend: Text) -> list[str]:
    return noted(calls.job_ids(connect, listed(select_list), optional(extend)))


def pbs_statfree(stat: Sequence[BatchStatus]) -> None:
    """Do nothing: the reply was freed when it was copied."""


def pbs_locjob(connect: int, job_id: Text, extend: Text) -> str | None:
    return text_of("pbs_locjob", connect, job_id, optional(extend))
