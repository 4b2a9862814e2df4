# SPDX-License-Identifier: MIT
"""The client that other parts of the package use: exceptions, time limits, typed answers."""

from __future__ import annotations

import time

import pytest

from torqueckpt.ifl.attributes import Attribute, BatchStatus
from torqueckpt.ifl.connection import CHANGE, NODE, Connection
from torqueckpt.ifl.errors import (
    BadState,
    CallTimedOut,
    CannotConnect,
    CheckpointBusy,
    ConnectionClosed,
    PbsError,
    UnknownJob,
    error_class,
)
from torqueckpt.ifl.library import Library
from torqueckpt.ifl.records import Job, Node, Queue, Server

from .test_calls import last


def record(kind: type, **attributes: object) -> Job:
    status = BatchStatus()
    status.name = "x"
    for name, value in attributes.items():
        pairs = value.items() if isinstance(value, dict) else [(None, value)]
        status.attribs += [Attribute(name, key, text) for key, text in pairs]
    return kind.read(status)


def test_jobs_are_typed(library: Library) -> None:
    with Connection("fake", library=library) as pbs:
        jobs = pbs.jobs(attributes=["job_state", "Resource_List.walltime"])
        assert [(job.id, job.state) for job in jobs] == [("1.fake", "Q"), ("2.fake", "Q")]
        assert jobs[0].resource("Resource_List", "walltime") == "01:00:00"
        assert jobs[0].session_id is None
        assert pbs.select({"job_state": "R"}) == ["1.fake", "2.fake"]
        assert "'job_state.=R:4;'" in last(library)


def test_what_is_refused_is_raised(library: Library) -> None:
    with Connection("fake", library=library) as pbs:
        with pytest.raises(UnknownJob):
            pbs.job("unknown")
        with pytest.raises(UnknownJob, match="no answer for none"):
            pbs.job("none")
        with pytest.raises(UnknownJob):
            pbs.delete("unknown")
        assert pbs.submit("s", {"Job_Name": "n", "Resource_List": {"nodes": "1"}}) == "7.fake"
        pbs.comment("1", "words")
        assert "'comment.=words:0;'" in last(library)
        pbs.manage(CHANGE, NODE, "n1", {"state": "offline"})
        pbs.set_node("n1", "offline", note="disk")
        key = "comment" if library.is_openpbs else "note"
        assert f"'state.=offline:0;{key}.=disk:0;'" in last(library)
    with pytest.raises(ConnectionClosed):
        pbs.jobs()
    pbs.close()


def test_a_connection_that_is_refused(library: Library) -> None:
    with pytest.raises(CannotConnect):
        Connection("refused", library=library)


def test_a_time_limit_ends_the_wait_and_gives_the_late_connection_back(library: Library) -> None:
    start = time.monotonic()
    with pytest.raises(CallTimedOut, match=r"pbs_connect: no answer within 0.2 seconds"):
        Connection("slow", library=library, timeout_seconds=0.2)
    assert time.monotonic() - start < 0.6
    time.sleep(0.9)
    for _ in range(12):  # nine connections at most: none may have been lost
        Connection("fake", library=library, timeout_seconds=5).close()


def test_a_call_that_waits_behind_a_blocked_one_times_out_too(torque: Library) -> None:
    pbs = Connection("fake", library=torque, timeout_seconds=0.2)
    with pytest.raises(CallTimedOut):
        Connection("slow", library=torque, timeout_seconds=0.1)
    with pytest.raises(CallTimedOut):
        pbs.jobs()
    with pytest.raises(ConnectionClosed):
        pbs.jobs()
    time.sleep(1)


def test_an_exception_within_a_time_limit_arrives(library: Library) -> None:
    with Connection("fake", library=library, timeout_seconds=5) as pbs:
        with pytest.raises(UnknownJob):
            pbs.hold("unknown")
        with pytest.raises(ValueError, match="NUL"):
            pbs.hold("1\0")


def test_numbers_mean_the_same_in_both_systems() -> None:
    assert error_class(15018, openpbs=False) is error_class(15016, openpbs=True) is BadState
    assert error_class(15049, openpbs=False) is error_class(15047, openpbs=True) is CheckpointBusy
    assert error_class(15001, openpbs=True) is UnknownJob
    assert error_class(15099, openpbs=True) is PbsError


def test_a_job_of_either_system_is_read() -> None:
    job = record(
        Job,
        Job_Owner="ann@host",
        exec_host="n1/0-3+n2/0*2+n1/5",
        session_id="17494",
        resources_used={"walltime": "01:02:03"},
        Exit_status="271",
        Hold_Types="us",
    )
    assert (job.owner, job.hosts, job.session_id) == ("ann", ("n1", "n2"), 17494)
    assert (job.walltime_seconds, job.exit_status, job.hold_types) == (3723, 271, "us")
    empty = record(Job)
    assert (empty.owner, empty.hosts, empty.walltime_seconds) == ("", (), None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("59", 59),
        ("1:00", 60),
        ("100:00:00", 360000),
        ("1:00:00:00", 86400),
        ("x", None),
        ("", None),
    ],
)
def test_times(text: str, seconds: object) -> None:
    assert record(Job, resources_used={"walltime": text}).walltime_seconds == seconds


def test_nodes_queues_and_the_server() -> None:
    torque = record(Node, state="down,offline", jobs="0-3/12[1].srv,7,9-10/13.srv", note="disk")
    assert torque.states == ("down", "offline")
    assert torque.jobs == ("12[1].srv", "13.srv")
    openpbs = record(Node, state="free", jobs="7.srv/0, 7.srv/1, 8[2].srv/0", comment="c")
    assert (openpbs.jobs, openpbs.note) == (("7.srv", "8[2].srv"), "c")
    queue = record(Queue, enabled="True", started="False", queue_type="Execution")
    assert (queue.is_enabled, queue.is_started, queue.is_execution) == (True, False, True)
    assert record(Server, server_state="Active", pbs_version="6.1").version == "6.1"
