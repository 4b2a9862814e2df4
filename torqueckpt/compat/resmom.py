# SPDX-License-Identifier: MIT
"""Module pbs: the resource monitor in pbs_mom, and get_mom_values, which uses it.

What a MOM does not know it answers with "name=? number"; such an answer is left out.
"""

from __future__ import annotations

from collections.abc import Iterable

from torqueckpt.compat.binding import library
from torqueckpt.ifl.resmon import ResourceMonitor

_monitor = ResourceMonitor(library)

openrm = _monitor.openrm
closerm = _monitor.closerm
downrm = _monitor.downrm
configrm = _monitor.configrm
addreq = _monitor.addreq
allreq = _monitor.allreq
getreq = _monitor.getreq
flushreq = _monitor.flushreq
activereq = _monitor.activereq
fullresp = _monitor.fullresp

# What get_mom_values asks every MOM, and then a MOM of this architecture
default_mom_res = [
    "arch",
    "uname",
    "cput",
    "idletime",
    "mem",
    "sessions",
    "pids",
    "nsessions",
    "nusers",
    "size",
    "host",
    "nodes",
    "other",
    "software",
]
default_linux_res = [
    "availmem",
    "ideal_load",
    "loadave",
    "max_load",
    "ncpus",
    "physmem",
    "resi",
    "totmem",
    "walltime",
]
default_irix6_res = ["availmem", "loadave", "ncpus", "physmem", "resi", "walltime", "quota"]


def check_resp(dict: dict[str, str], str: str | None) -> None:
    """Put the answer "name=value" into the dictionary, if it is such an answer."""
    name, equals, value = (str or "").partition("=")
    if equals and not value.strip().startswith("?"):
        dict[name.strip()] = value.strip()


def use_user_keywords(id: int, d: dict[str, str], l: Iterable[str]) -> None:  # noqa: E741
    """Ask for these names, into the dictionary; TypeError for one that is no string."""
    for keyword in l:
        if not isinstance(keyword, str):
            raise TypeError(f"a resource name is a string, not {keyword!r}")
        addreq(id, keyword)
        check_resp(d, getreq(id))


def use_default_keywords(id: int, d: dict[str, str]) -> None:
    """Ask for the names that every MOM has, and those of its architecture."""
    use_user_keywords(id, d, default_mom_res)
    if d.get("arch") == "linux":
        use_user_keywords(id, d, default_linux_res)
    elif d.get("arch", "").startswith("irix6"):
        use_user_keywords(id, d, default_irix6_res)


def get_mom_values(id: int, list: Iterable[str] | None = None) -> dict[str, str]:
    """Ask the MOM on connection `id` for these names, or for the usual ones."""
    values: dict[str, str] = {}
    if list:
        use_user_keywords(id, values, list)
    else:
        use_default_keywords(id, values)
    return values
