# SPDX-License-Identifier: MIT
"""Module PBSQuery: jobs, nodes, queues and the server as dictionaries of objects.

Importing it needs no library, nor does parse(); making a PBSQuery does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from torqueckpt.compat.objects import PBSError, _PBSobject, job, node, queue, server
from torqueckpt.compat.stored import store_new, store_old
from torqueckpt.ifl.attributes import Attribute, BatchStatus

__all__ = ["PBSError", "PBSQuery", "job", "node", "parse", "queue", "server"]

_KINDS: dict[str, type[_PBSobject]] = {"job": job, "node": node, "queue": queue, "server": server}


def parse(batch_status: BatchStatus, kind: str, new: bool = True) -> _PBSobject:
    """Convert one object of a status reply for PBSQuery; kind: job, node, queue or server."""
    made = _KINDS[kind]()
    made.name = batch_status.name
    if new:
        store_new(batch_status, made.data, _KINDS[kind])
    else:
        store_old(batch_status, made.data)
    return made


class PBSQuery:
    """Asks one server; each question opens a connection of its own and closes it again."""

    OLD_DATA_STRUCTURE = False

    parse = staticmethod(parse)

    def __init__(self, server: str | None = None) -> None:
        """Try the server; PBSError when it cannot be reached.  None is the default server."""
        self._pbs: Any = import_module("torqueckpt.compat.pbs")
        self.server = server or self._pbs.pbs_default()
        # Job ids end in the server's own name, which need not be the name it is reached by.
        self.job_server_id = next(iter(self.get_serverinfo()), self.server)

    # The parameters' names are pbs_python's: programs write getjobs(attrib_list=…).

    def getjobs(self, attrib_list: Iterable[str] | None = None) -> dict[str, Any]:
        return self._ask("job", self._pbs.pbs_statjob, "", attrib_list)

    def getjob(self, name: str, attrib_list: Iterable[str] | None = None) -> Any:
        """Find a job, {} when there is none; "123" is that job of this server."""
        full = name if "." in name else f"{name}.{self.job_server_id}"
        return self._ask("job", self._pbs.pbs_statjob, full, attrib_list).get(full, {})

    def getnodes(self, attrib_list: Iterable[str] | None = None) -> dict[str, Any]:
        return self._ask("node", self._pbs.pbs_statnode, "", attrib_list)

    def getnodes_with_property(
        self, property: str, attrib_list: Iterable[str] | None = None
    ) -> dict[str, Any]:
        return self._ask("node", self._pbs.pbs_statnode, f":{property}", attrib_list)

    def getnode(self, name: str, attrib_list: Iterable[str] | None = None) -> Any:
        return self._ask("node", self._pbs.pbs_statnode, name, attrib_list).get(name, {})

    def getqueues(self, attrib_list: Iterable[str] | None = None) -> dict[str, Any]:
        return self._ask("queue", self._pbs.pbs_statque, "", attrib_list)

    def getqueue(self, name: str, attrib_list: Iterable[str] | None = None) -> Any:
        return self._ask("queue", self._pbs.pbs_statque, name, attrib_list).get(name, {})

    def get_serverinfo(self, attrib_list: Iterable[str] | None = None) -> dict[str, Any]:
        def statserver(c: int, _name: str, wanted: Any, extend: str) -> Any:
            return self._pbs.pbs_statserver(c, wanted, extend)

        return self._ask("server", statserver, "", attrib_list)

    def get_server_name(self) -> str:
        return self.server

    def new_data_structure(self) -> None:
        """Have lists stored, the default."""
        self.OLD_DATA_STRUCTURE = False

    def old_data_structure(self) -> None:
        """Have raw texts stored."""
        self.OLD_DATA_STRUCTURE = True

    def _ask(
        self,
        kind: str,
        stat: Callable[[int, str, Any, str], list[BatchStatus]],
        name: str,
        attributes: Iterable[str] | None,
    ) -> dict[str, Any]:
        # "Resource_List.nodes" asks for all of Resource_List, as the original did.
        wanted = [Attribute(attribute.partition(".")[0]) for attribute in attributes or ()]
        connection = self._pbs.pbs_connect(self.server)
        if connection < 0:
            raise PBSError(f"Could not make a connection with {self.server}\n")
        try:
            statuses = stat(connection, name, wanted or "NULL", "NULL")
        finally:
            self._pbs.pbs_disconnect(connection)
        new = not self.OLD_DATA_STRUCTURE
        return {str(status.name): parse(status, kind, new) for status in statuses}
