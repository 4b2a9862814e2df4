# SPDX-License-Identifier: MIT
"""Module pbs: connections, and the calls that ask; c is a connection's number."""

from __future__ import annotations

from collections.abc import Sequence

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


def new_attrl(count: int) -> list[Attribute]:
    """Make a list of `count` empty attrl objects."""
    return [attrl() for _ in range(count)]


def new_attropl(count: int) -> list[Attribute]:
    return [attropl() for _ in range(count)]


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


def pbs_disconnect(c: int) -> int:
    """Close a connection; 0, or a number for one that is not open.  error() keeps what it had."""
    return calls.disconnect(c).value


def pbs_geterrmsg(c: int) -> str | None:
    """The server's words for the last refusal on this connection."""
    return calls.message(c)


def pbs_statjob(c: int, id: Text, attributes: Attributes, extend: Text) -> list[BatchStatus]:
    return statuses_of("pbs_statjob", c, id, listed(attributes), optional(extend))


def pbs_statque(c: int, id: Text, attributes: Attributes, extend: Text) -> list[BatchStatus]:
    return statuses_of("pbs_statque", c, id, listed(attributes), optional(extend))


def pbs_statnode(c: int, id: Text, attributes: Attributes, extend: Text) -> list[BatchStatus]:
    return statuses_of("pbs_statnode", c, id, listed(attributes), optional(extend))


def pbs_statserver(c: int, attributes: Attributes, extend: Text) -> list[BatchStatus]:
    return statuses_of("pbs_statserver", c, listed(attributes), optional(extend))


def pbs_selstat(c: int, criteria: Attributes, extend: Text) -> list[BatchStatus]:
    return statuses_of("pbs_selstat", c, listed(criteria), optional(extend))


def pbs_selectjob(c: int, criteria: Attributes, extend: Text) -> list[str]:
    return noted(calls.job_ids(c, listed(criteria), optional(extend)))


def pbs_statfree(statuses: Sequence[BatchStatus]) -> None:
    """Do nothing: the reply was freed when it was copied."""


def pbs_locjob(c: int, id: Text, extend: Text) -> str | None:
    return text_of("pbs_locjob", c, id, optional(extend))
