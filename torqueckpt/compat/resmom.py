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


def check_resp(values: dict[str, str], answer: str | None) -> None:
    """Put the answer "name=value" into the dictionary, if it is such an answer."""
    name, equals, value = (answer or "").partition("=")
    if equals and not value.strip().startswith("?"):
        values[name.strip()] = value.strip()


def use_user_keywords(id: int, values: dict[str, str], keywords: Iterable[str]) -> None:
    """Set the names to ask for; TypeError for one that is no string."""
    for keyword in keywords:
        if not isinstance(keyword, str):
            raise TypeError(f"a resource name is a string, not {keyword!r}")
        addreq(id, keyword)
        check_resp(values, getreq(id))


def use_default_keywords(id: int, values: dict[str, str]) -> None:
    """Ask for the names that every MOM has, and those of its architecture."""
    use_user_keywords(id, values, default_mom_res)
    if values.get("arch") == "linux":
        use_user_keywords(id, values, default_linux_res)
    elif values.get("arch", "").startswith("irix6"):
        use_user_keywords(id, values, default_irix6_res)


def get_mom_values(id: int, list: Iterable[str] | None = None) -> dict[str, str]:
    """Ask the MOM on connection `id` for these names, or for the usual ones."""
    values: dict[str, str] = {}
    if list:
        use_user_keywords(id, values, list)
    else:
        use_default_keywords(id, values)
    return values
