# SPDX-License-Identifier: MIT
"""Module pbs: the calls that change something.  Each returns 0 or a PBSE number, but pbs_submit."""

from __future__ import annotations

from torqueckpt.compat.binding import Attributes, listed, number_of, optional, text_of
from torqueckpt.ifl.attributes import Text


def pbs_submit(
    c: int, attributes: Attributes, script: Text, destination: Text, extend: Text
) -> str | None:
    """Submit a job; gives its id, or None."""
    return text_of(
        "pbs_submit", c, listed(attributes), script, optional(destination), optional(extend)
    )


def pbs_alterjob(c: int, id: Text, attributes: Attributes, extend: Text) -> int:
    return number_of("pbs_alterjob", c, id, listed(attributes), optional(extend))


def pbs_alterjob_async(c: int, id: Text, attributes: Attributes, extend: Text) -> int:
    return number_of("pbs_alterjob_async", c, id, listed(attributes), optional(extend))


def pbs_manager(
    c: int, command: int, objtype: int, objname: Text, attributes: Attributes, extend: Text
) -> int:
    return number_of(
        "pbs_manager", c, command, objtype, objname, listed(attributes), optional(extend)
    )


def pbs_holdjob(c: int, id: Text, holdtype: Text, extend: Text) -> int:
    return number_of("pbs_holdjob", c, id, holdtype, optional(extend))


def pbs_rlsjob(c: int, id: Text, holdtype: Text, extend: Text) -> int:
    return number_of("pbs_rlsjob", c, id, holdtype, optional(extend))


def pbs_deljob(c: int, id: Text, extend: Text) -> int:
    return number_of("pbs_deljob", c, id, optional(extend))


def pbs_rerunjob(c: int, id: Text, extend: Text) -> int:
    return number_of("pbs_rerunjob", c, id, optional(extend))


def pbs_checkpointjob(c: int, id: Text, extend: Text) -> int:
    """Ask for a checkpoint; gives 0 before the image is taken, and even if that then fails."""
    return number_of("pbs_checkpointjob", c, id, optional(extend))


def pbs_sigjob(c: int, id: Text, signal: Text, extend: Text) -> int:
    return number_of("pbs_sigjob", c, id, signal, optional(extend))


def pbs_sigjobasync(c: int, id: Text, signal: Text, extend: Text) -> int:
    return number_of("pbs_sigjobasync", c, id, signal, optional(extend))


def pbs_runjob(c: int, id: Text, location: Text, extend: Text) -> int:
    return number_of("pbs_runjob", c, id, optional(location), optional(extend))


def pbs_asyrunjob(c: int, id: Text, location: Text, extend: Text) -> int:
    return number_of("pbs_asyrunjob", c, id, optional(location), optional(extend))


def pbs_movejob(c: int, id: Text, destination: Text, extend: Text) -> int:
    return number_of("pbs_movejob", c, id, optional(destination), optional(extend))


def pbs_orderjob(c: int, first: Text, second: Text, extend: Text) -> int:
    return number_of("pbs_orderjob", c, first, second, optional(extend))


def pbs_msgjob(c: int, id: Text, file: int, text: Text, extend: Text) -> int:
    """Write a message to a job's output; file: MSG_OUT or MSG_ERR."""
    return number_of("pbs_msgjob", c, id, file, text, optional(extend))


def pbs_stagein(c: int, id: Text, location: Text, extend: Text) -> int:
    return number_of("pbs_stagein", c, id, optional(location), optional(extend))


def pbs_terminate(c: int, manner: int, extend: Text) -> int:
    """End the server; manner: SHUT_QUICK, SHUT_DELAY, SHUT_IMMEDIATE."""
    return number_of("pbs_terminate", c, manner, optional(extend))


def pbs_gpumode(c: int, node: Text, gpu: Text, mode: int) -> int:
    return number_of("pbs_gpumode", c, node, gpu, mode)
