# SPDX-License-Identifier: MIT
"""What every call must do on a real server; tests/batch runs it on TORQUE and OpenPBS."""

from __future__ import annotations

import contextlib
import pwd
import socket
import sys
import time
from pathlib import Path

import pytest

from torqueckpt.ifl.attributes import DECR, SET, Attribute
from torqueckpt.ifl.connection import CHANGE, CREATE, DELETE, NODE, QUEUE, SERVER, Connection
from torqueckpt.ifl.errors import (
    PbsError,
    PermissionDenied,
    SymbolMissing,
    UnknownJob,
    UnknownNode,
    UnknownQueue,
)
from torqueckpt.ifl.library import Library
from torqueckpt.node.listed_jobs import ASKED_FOR

from .batch import Batch, until
from .server import ServerTests

QUERY = """
import sys
from PBSQuery import PBSQuery
query, id = PBSQuery(), sys.argv[1]
for name, server in query.get_serverinfo().items():
    print(name, ",".join(server.get_version()))
print(list(query.getqueues()))
nodes = query.getnodes(["state"])
print(sorted(nodes), all(hasattr(node, "state") for node in nodes.values()))
job = query.getjob(id.partition(".")[0])
print(job.name, job.job_state[0], job.is_running(), job["Job_Name"], job.Resource_List.walltime)
query.old_data_structure()
job = query.getjobs(["job_state", "Job_Name", "Resource_List.walltime"])[id]
print(job.name, job.job_state, job["Job_Name"], job["Resource_List.walltime"])
print(query.getjob("999999"))
"""
# What EasyBuild and hod ask of nodes; and what a program is told on one connection
NODES = """
from PBSQuery import PBSQuery
for node in PBSQuery().getnodes(attrib_list=["np", "state", "status"]).values():
    print(int(node["np"][0]) > 0, node["state"][0], int(node["status"]["ncpus"][0]) > 0)
print(sorted(PBSQuery().getnodes_with_property(property="nosuch")))
"""
REFUSALS = """
import pbs, sys
c = pbs.pbs_connect(pbs.pbs_default())
pbs.pbs_deljob(c, sys.argv[1], "NULL")
print(*pbs.error())
wanted = pbs.new_attropl(1)
wanted[0].name, wanted[0].resource, wanted[0].value = pbs.ATTR_l, "walltime", "no time"
pbs.pbs_submit(c, wanted, "/etc/hostname", "NULL", "NULL")
print(*pbs.error())
pbs.pbs_submit(c, wanted, "/nonexistent", "NULL", "NULL")
print(*pbs.error())
pbs.pbs_submit(c, "NULL", "/etc/hostname", "nosuchqueue", "NULL")
print(*pbs.error())
"""


class ServerCalls(ServerTests):
    """The tests; see ServerTests."""

    def test_the_server_its_queues_and_nodes(self, batch: Batch, pbs: Connection) -> None:
        assert pbs.server_status().version == batch.version
        assert any(queue.is_execution and queue.is_enabled for queue in pbs.queues())
        nodes = pbs.nodes()
        assert all(node.states for node in nodes)
        one = pbs.nodes(["state"], where=nodes[0].name)[0]
        assert (one.name, one.states) == (nodes[0].name, nodes[0].states)

    def test_the_periodic_services_question_is_understood(self, pbs: Connection, job: str) -> None:
        asked = {each.id: each for each in pbs.jobs(ASKED_FOR)}
        assert (asked[job].state, asked[job].checkpoint) != ("", "")

    def test_a_jobs_life(
        self, batch: Batch, pbs: Connection, user: pwd.struct_passwd, job: str
    ) -> None:
        queued = pbs.job(job)
        assert (queued.state, queued.owner, queued.title) == ("Q", user.pw_name, "torqueckpt")
        assert queued.resource("Resource_List", "walltime") == "00:10:00"
        assert job in pbs.select({"job_state": "Q"})
        assert job not in pbs.select({"job_state": "R"})
        assert set(pbs.job(job, ["job_state"]).attributes) == {"job_state"}
        assert pbs.locate(job).startswith(batch.server)

        pbs.alter(job, {"Job_Name": "renamed", "Resource_List": {"walltime": "00:20:00"}})
        pbs.comment(job, "words with blanks, commas and é")
        altered = pbs.job(job, ["Job_Name", "comment", "Resource_List"])
        assert (altered.title, altered.comment) == ("renamed", "words with blanks, commas and é")
        assert altered.resource("Resource_List", "walltime") == "00:20:00"
        for _ in range(20):  # OpenPBS's library frees these values itself
            pbs.alter(job, {"Output_Path": f"{batch.server}:/tmp/out"})
        assert pbs.job(job).text("Output_Path") == f"{batch.server}:/tmp/out"

        pbs.hold(job, "u")
        assert (pbs.job(job).state, pbs.job(job).hold_types) == ("H", "u")
        with pytest.raises(PbsError):
            pbs.signal(job, "SIGUSR1")
        pbs.release(job, "u")
        assert (pbs.job(job).state, pbs.job(job).hold_types) == ("Q", "n")

        pbs.run(job)
        until(lambda: pbs.job(job).session_id is not None, "the job's start")
        assert pbs.job(job).state == "R"
        assert pbs.job(job).hosts == (pbs.nodes()[0].name,)
        assert job in {id for node in pbs.nodes() for id in node.jobs}
        pbs.signal(job, "SIGCONT")

        pbs.delete(job)
        until(lambda: self.gone(pbs, job), "the job's end")

    def test_a_checkpoint_is_asked_for(self, batch: Batch, pbs: Connection, job: str) -> None:
        if batch.is_openpbs:
            with pytest.raises(SymbolMissing, match="pbs_checkpointjob"):
                pbs.checkpoint(job)
            return
        with pytest.raises(PbsError) as refusal:
            pbs.checkpoint(job)
        assert refusal.value.number, "a queued job has nothing to checkpoint"

    def test_a_running_job_can_be_signalled_to_its_end(
        self, batch: Batch, pbs: Connection, user: pwd.struct_passwd
    ) -> None:
        job = self.submit(batch, user, "trap 'exit 7' USR1\nwhile :; do sleep 0.2; done\n")
        try:
            pbs.run(job)
            until(lambda: pbs.job(job).session_id is not None, "the job's start")
            time.sleep(1)
            pbs.signal(job, "SIGUSR1")
            until(lambda: self.gone(pbs, job), "the job's end")
        finally:
            with contextlib.suppress(PbsError):
                pbs.delete(job)

    def test_a_job_that_has_ended_is_an_unknown_one(
        self, batch: Batch, pbs: Connection, user: pwd.struct_passwd
    ) -> None:
        """15139 where OpenPBS keeps the history of jobs; TORQUE shows it for a while."""
        if batch.is_openpbs:
            pbs.manage(CHANGE, SERVER, "", {"job_history_enable": "True"})
        job = self.submit(batch, user, "true\n")
        pbs.run(job)
        until(lambda: self.gone(pbs, job), "the job's end")
        if not batch.is_openpbs:
            assert pbs.job(job).has_ended
            return
        with pytest.raises(UnknownJob, match="15139"):
            pbs.job(job)
        assert pbs.job(job, ended=True).has_ended
        told = batch.run(sys.executable, "-c", REFUSALS, job).stdout.splitlines()
        assert told[0].startswith("15139 Job has finished"), told

    def test_a_queue_is_made_changed_and_removed(self, pbs: Connection) -> None:
        pbs.manage(CREATE, QUEUE, "tckpt", {"queue_type": "Execution", "enabled": "False"})
        try:
            pbs.manage(CHANGE, QUEUE, "tckpt", {"enabled": "True"})
            pbs.manage(CHANGE, QUEUE, "tckpt", {"resources_max": {"walltime": "01:00:00"}})
            made = {queue.name: queue for queue in pbs.queues()}["tckpt"]
            assert (made.is_execution, made.is_enabled, made.is_started) == (True, True, False)
            assert made.resource("resources_max", "walltime") == "01:00:00"
        finally:
            pbs.manage(DELETE, QUEUE, "tckpt")
        assert "tckpt" not in [queue.name for queue in pbs.queues()]

    def test_nodes_have_what_clients_ask_of_them(self, batch: Batch, pbs: Connection) -> None:
        done = batch.run(sys.executable, "-c", NODES)
        assert done.stdout.splitlines() == ["True free True"] * len(pbs.nodes()) + ["[]"]

    def test_a_node_goes_offline_with_a_note_and_comes_back(
        self, batch: Batch, pbs: Connection
    ) -> None:
        name = pbs.nodes()[0].name
        pbs.set_node(name, "offline", note="disk broken, ticket 12")
        try:
            node = pbs.nodes(where=name)[0]
            assert ("offline" in node.states, node.note) == (True, "disk broken, ticket 12")
        finally:
            key = "comment" if batch.is_openpbs else "note"
            back = [Attribute("state", "", "offline", DECR), Attribute(key, "", "", SET)]
            pbs.manage(CHANGE, NODE, name, back)
        assert "offline" not in pbs.nodes(where=name)[0].states
        assert not pbs.nodes(where=name)[0].note

    def test_a_node_goes_offline_by_the_example(self, batch: Batch, pbs: Connection) -> None:
        node = pbs.nodes()[0].name
        assert batch.example("node_offline.py", node, "disk", "broken").returncode == 0
        try:
            assert "disk broken" in batch.example("list_nodes.py").stdout
            assert "offline" in pbs.nodes(where=node)[0].states
        finally:
            assert batch.example("node_offline.py", node).returncode == 0
        assert "offline" not in pbs.nodes(where=node)[0].states

    def test_a_node_is_created_and_deleted(self, batch: Batch, pbs: Connection) -> None:
        alias = spare_host({node.name for node in pbs.nodes()})
        pbs.manage(CREATE, NODE, alias, [] if batch.is_openpbs else {"np": "2"})
        try:
            assert alias in {node.name for node in pbs.nodes()}
        finally:
            pbs.manage(DELETE, NODE, alias)
        assert alias not in {node.name for node in pbs.nodes()}

    def test_refusals_have_classes_and_the_servers_words(
        self, batch: Batch, pbs: Connection, user: pwd.struct_passwd, job: str
    ) -> None:
        with pytest.raises(UnknownJob, match=r"pbs_statjob: Unknown Job Id.* \(15001\)"):
            pbs.job(f"999999.{batch.server}")
        for call in (pbs.delete, pbs.release, pbs.hold, pbs.run):
            with pytest.raises(UnknownJob):
                call(f"999999.{batch.server}")
        # TORQUE 6.1 hangs up after this refusal.
        with Connection(library=Library(str(batch.library))) as other, pytest.raises(UnknownJob):
            other.rerun(f"999999.{batch.server}")
        with pytest.raises(UnknownQueue):
            pbs.manage(DELETE, QUEUE, "nosuch")
        with pytest.raises(UnknownNode):
            pbs.set_node("nosuch", "offline")
        with pytest.raises(PbsError, match="attribute"):
            pbs.manage(CHANGE, SERVER, "", {"nosuch": "1"})
        with pytest.raises(PermissionDenied, match=r"15007"):
            batch.as_user(user, "manage", CHANGE, SERVER, "", {"log_events": "0"})

    def test_refusals_are_told_in_words(self, batch: Batch) -> None:
        done = batch.run(sys.executable, "-c", REFUSALS, f"999999.{batch.server}")
        number = 0 if batch.is_openpbs else 2
        unknown, value, script, queue = done.stdout.splitlines()
        assert unknown.startswith("15001 Unknown Job Id"), done.stderr
        assert value.startswith(f"{15014 + number} Illegal attribute or resource value")
        assert "walltime" in value or not batch.is_openpbs
        assert "cannot access script file" in script or "Illegal attribute" in script
        assert queue.startswith(f"{15018 + number} Unknown queue")

    def test_the_examples_run(
        self, batch: Batch, pbs: Connection, user: pwd.struct_passwd, job: str
    ) -> None:
        node = pbs.nodes()[0].name
        assert node in batch.example("list_nodes.py").stdout
        listed = batch.example("list_jobs.py", "Q").stdout.split()
        assert listed[:2] == [job, "torqueckpt"]
        assert job not in batch.example("list_jobs.py", "R").stdout
        assert job in batch.example("list_jobs.py").stdout
        held = batch.example("hold_and_release.py", "hold", job)
        assert held.stdout.split() == [job, "u"], held.stderr
        assert batch.example("hold_and_release.py", "release", job).stdout.split() == [job, "n"]
        refused = batch.example("hold_and_release.py", "hold", f"999999.{batch.server}")
        assert (refused.returncode, "Unknown Job" in refused.stderr) == (1, True)

    def test_programs_of_pbs_python_see_the_same_server(
        self, batch: Batch, pbs: Connection, job: str
    ) -> None:
        done = batch.run(sys.executable, "-c", QUERY, job)
        assert done.stdout.splitlines() == [
            f"{batch.server} {batch.version}",
            f"{[queue.name for queue in pbs.queues()]}",
            f"{sorted(node.name for node in pbs.nodes())} True",
            f"{job} Q 0 ['torqueckpt'] ['00:10:00']",
            f"{job} Q torqueckpt 00:10:00",
            "{}",
        ], done.stderr


def spare_host(nodes: set[str]) -> str:
    """A host name with an address that no node has: a second node there takes the first one's."""
    taken = {socket.gethostbyname(node) for node in nodes}
    lines = [line.partition("#")[0].split() for line in Path("/etc/hosts").read_text().split("\n")]
    for address, *names in filter(None, lines):
        if names and ":" not in address and address not in taken:
            return names[-1]
    pytest.skip("/etc/hosts has no further address to make a node of")
