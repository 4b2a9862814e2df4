# SPDX-License-Identifier: MIT
"""Module pbs: the calls that change something.  Each returns 0 or a PBSE number, but pbs_submit."""

from __future__ import annotations

from torqueckpt.compat import openpbs_nodes
from torqueckpt.compat.binding import Attributes, library, listed, number_of, optional, text_of
from torqueckpt.ifl.attributes import Text
from torqueckpt.ifl.connection import NODE


def pbs_submit(
    connect: int, attrib: Attributes, script: Text, destination: Text, extend: Text
) -> str | None:
    """Submit a job; gives its id, or None."""
    return text_of(
        "pbs_submit", connect, listed(attrib), script, optional(destination), optional(extend)
    )


def pbs_alterjob(connect: int, job_id: Text, attrib: Attributes, extend: Text) -> int:
    return number_of("pbs_alterjob", connect, job_id, listed(attrib), optional(extend))


def pbs_alterjob_async(connect: int, job_id: Text, attrib: Attributes, extend: Text) -> int:
    return number_of("pbs_alterjob_async", connect, job_id, listed(attrib), optional(extend))


def pbs_manager(
    connect: int, command: int, obj_type: int, obj_name: Text, attrib: Attributes, extend: Text
) -> int:
    changes = listed(attrib)
    if library.is_openpbs and obj_type == NODE:
        changes = openpbs_nodes.settable(changes)
    return number_of("pbs_manager", connect, command, obj_type, obj_name, changes, optional(extend))


def pbs_holdjob(connect: int, job_id: Text, hold_type: Text, extend: Text) -> int:
    return number_of("pbs_holdjob", connect, job_id, hold_type, optional(extend))


def pbs_rlsjob(connect: int, job_id: Text, hold_type: Text, extend: Text) -> int:
    return number_of("pbs_rlsjob", connect, job_id, hold_type, optional(extend))


def pbs_deljob(connect: int, job_id: Text, extend: Text) -> int:
    return number_of("pbs_deljob", connect, job_id, optional(extend))


def pbs_rerunjob(connect: int, job_id: Text, extend: Text) -> int:
    return number_of("pbs_rerunjob", connect, job_id, optional(extend))


def pbs_checkpointjob(connect: int, job_id: Text, extend: Text) -> int:
    """Ask for a checkpoint; gives 0 before the image is taken, and even if that then fails."""
    return number_of("pbs_checkpointjob", connect, job_id, optional(extend))


def pbs_sigjob(connect: int, job_id: Text, signal: Text, extend: Text) -> int:
    return number_of("pbs_sigjob", connect, job_id, signal, optional(extend))


def pbs_sigjobasync(connect: int, job_id: Text, signal: Text, extend: Text) -> int:
    return number_of("pbs_sigjobasync", connect, job_id, signal, optional(extend))


def pbs_runjob(connect: int, jobid: Text, loc: Text, extend: Text) -> int:
    return number_of("pbs_runjob", connect, jobid, optional(loc), optional(extend))


def pbs_asyrunjob(c: int, jobid: Text, location: Text, extend: Text) -> int:
    return number_of("pbs_asyrunjob", c, jobid, optional(location), optional(extend))


def pbs_movejob(connect: int, job_id: Text, destination: Text, extend: Text) -> int:
    return number_of("pbs_movejob", connect, job_id, optional(destination), optional(extend))


def pbs_orderjob(connect: int, job1: Text, job2: Text, extend: Text) -> int:
    return number_of("pbs_orderjob", connect, job1, job2, optional(extend))


def pbs_msgjob(connect: int, job_id: Text, file: int, message: Text, extend: Text) -> int:
    """Write a message to a job's output; file: MSG_OUT or MSG_ERR."""
    return number_of("pbs_msgjob", connect, job_id, file, message, optional(extend))


def pbs_stagein(c: int, id: Text, location: Text, extend: Text) -> int:
    return number_of("pbs_stagein", c, id, optional(location), optional(extend))


def pbs_terminate(connect: int, manner: int, extend: Text) -> int:
    """End the server; manner: SHUT_QUICK, SHUT_DELAY, SHUT_IMMEDIATE."""
    return number_of("pbs_terminate", connect, manner, optional(extend))


def pbs_gpumode(connect: int, node: Text, gpuid: Text, gpumode: int) -> int:
    return number_of("pbs_gpumode", connect, node, gpuid, gpumode)
