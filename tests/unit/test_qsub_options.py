# SPDX-License-Identifier: MIT
"""What a resume job asks for in the old one's place; the attributes are as servers sent them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from torqueckpt.batch import qsub_options, resource_requests
from torqueckpt.ifl.records import Job
from torqueckpt.manifest import Directive

_TORQUE: dict[str, Any] = {
    "Job_Name": "relax",
    "Job_Owner": "ann@login1",
    "queue": "batch",
    "Account_Name": "proj7",
    "Checkpoint": "enabled,c=1",
    "Error_Path": "login1:/home/ann/out.txt",
    "Output_Path": "login1:/home/ann/out.txt",
    "Join_Path": "oe",
    "Keep_Files": "n",
    "Mail_Points": "ae",
    "Mail_Users": "ann@x",
    "Priority": "5",
    "Rerunable": "True",
    "Resource_List": {
        "nodes": "1:ppn=2",
        "walltime": "00:10:00",
        "nodect": "1",
        "neednodes": "1:ppn=2",
    },
    "Variable_List": "PBS_O_QUEUE=short,PBS_O_HOME=/home/ann,A=1,TORQUECKPT_X=a\\,b,PBS_O_HOST=vm",
    "umask": "23",
    "depend": "afterok:3.srv",
}
_OPENPBS: dict[str, Any] = {
    "Job_Name": "relax",
    "queue": "workq",
    "project": "_pbs_project_default",
    "Checkpoint": "u",
    "Join_Path": "n",
    "Keep_Files": "n",
    "Mail_Points": "a",
    "Priority": "0",
    "Rerunable": "False",
    "Error_Path": "pbs:/home/ann/relax.e12",
    "Output_Path": "pbs:/home/ann/relax.o12",
    "Resource_List": {
        "ncpus": "4",
        "ngpus": "2",
        "nodect": "2",
        "place": "pack",
        "select": "2:ncpus=2:ngpus=1:host=n7",
        "walltime": "01:00:00",
    },
}


def words(job: str, attributes: dict[str, Any]) -> list[str]:
    return [f"-{d.option} {d.value}" for d in qsub_options.of_server(Job(job, attributes))]


def test_torques_job_asks_for_all_that_was_given_on_the_command_line() -> None:
    assert words("12.srv", _TORQUE) == [
        "-N relax",
        "-A proj7",
        "-p 5",
        "-m ae",
        "-M ann@x",
        "-j oe",
        "-c enabled,c=1",
        "-q short",
        "-r y",
        "-l nodes=1:ppn=2",
        "-l walltime=00:10:00",
        "-o login1:/home/ann/out.txt",
        "-W umask=23",
        "-v TORQUECKPT_X=a\\,b",
    ]


def test_openpbs_gets_its_chunks_without_the_sums_that_it_would_refuse_beside_them() -> None:
    assert words("12.pbs", _OPENPBS) == [
        "-N relax",
        "-q workq",
        "-r n",
        "-l place=pack",
        "-l select=2:ncpus=2:ngpus=1:host=n7",
        "-l walltime=01:00:00",
    ]


@pytest.mark.parametrize("account", ["", "resumed:12.srv"])
def test_no_account_is_made_up_nor_one_kept_that_was(account: str) -> None:
    """Sites refuse accounts that they do not know."""
    told = words("14.srv", {**_TORQUE, "Account_Name": account})
    assert not [each for each in told if each.startswith("-A")]


@pytest.mark.parametrize(("job", "made_up"), [("12.srv", "o12"), ("12[3].srv", "o12-3")])
def test_an_output_name_that_the_server_made_is_not_given_to_another_job(
    job: str, made_up: str
) -> None:
    paths = {"Output_Path": f"h:/d/relax.{made_up}", "Error_Path": "h:/d/relax.o12"}
    plain = {**_TORQUE, "Join_Path": "n", **paths}
    assert [w for w in words(job, plain) if w.startswith(("-o", "-e"))] == ["-e h:/d/relax.o12"]


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        (
            ["select=2:ncpus=2:host=n7+1:mem=1gb"],
            ["select=2:ncpus=2:host=node1+1:mem=1gb:host=node1"],
        ),
        (
            ["select=1:vnode=n7[0]:ncpus=1", "place=pack"],
            ["place=pack", "select=1:ncpus=1:host=node1"],
        ),
        (["nodes=2:big:ppn=2,walltime=60"], ["walltime=60", "nodes=node1:ppn=2"]),
        (["place=excl", "host=n7"], ["place=excl", "select=1:host=node1"]),
        (["place=excl", "ncpus=2"], ["place=excl", "select=1:host=node1:ncpus=2"]),
        (["procs=4"], ["nodes=node1:ppn=4"]),
        (["procs=4,mem=1gb"], ["mem=1gb", "nodes=node1:ppn=4"]),
        # TORQUE adds them up
        (["nodes=1:ppn=2:gpus=1", "procs=3"], ["nodes=node1:ppn=5:gpus=1"]),
        (["procs=3", "nodes=1"], ["nodes=node1:ppn=4"]),
        # which it refuses beside nodes=
        (["ncpus=2"], ["nodes=node1:ppn=2"]),
        (["hostlist=n7", "nodes=1:ppn=2"], ["nodes=node1:ppn=2"]),
        (["hostlist=n7"], ["nodes=node1"]),
        (["host=n7,ncpus=2"], ["nodes=node1:ppn=2"]),
    ],
)
def test_an_image_of_one_node_takes_the_job_there(wanted: list[str], there: list[str]) -> None:
    found = resource_requests.on_node([Directive("l", each) for each in wanted], "node1")
    assert [each.value for each in found if each.option == "l"] == there
    changed = [each.value for each in found if each.option == "#"]
    assert len(changed) == 1
    assert re.fullmatch(r"Instead of -l \S+: -l \S+=\S*node1\S*", changed[0])


@pytest.mark.parametrize(
    ("depend", "after"),
    [
        ("afterok:12.srv", "afterok:20.srv"),
        ("afterok:12.srv@srv:13.srv,afterany:12.srv", "afterok:20.srv:13.srv,afterany:20.srv"),
        ("afterok:112.srv:12.srv2", "afterok:112.srv:12.srv2"),
        ("beforeok:30.srv", "beforeok:30.srv"),
        ("", ""),
    ],
)
def test_what_waits_for_the_old_job_waits_for_the_new_one(depend: str, after: str) -> None:
    assert qsub_options.moved(depend, {"12.srv"}, "20.srv") == after


def test_of_a_scripts_directives_what_is_not_asked_for_again_is_a_remark() -> None:
    given = [
        ("S", "/usr/bin/python3"),
        ("V", ""),
        ("W", "depend=afterok:1.srv"),
        ("W", "umask=022,stagein=a@h:b,c@h:d,group_list=g"),
        ("W", "x=NACCESSPOLICY:SINGLEJOB,y=1"),
        ("W", "QOS:high"),
        ("A", "p"),
        ("P", "proj"),
        ("t", "1-3"),
        ("n", ""),
        ("L", "tasks=1:lprocs=2"),
    ]
    kept = qsub_options.of_script(Directive(*each) for each in given)
    assert [(d.option, d.value) for d in kept] == [
        ("#", "Not asked for again: -W depend=afterok:1.srv"),
        ("W", "umask=022,group_list=g"),
        ("#", "Not asked for again: -W stagein=a@h:b,c@h:d"),
        ("W", "x=NACCESSPOLICY:SINGLEJOB,y=1"),
        ("W", "QOS:high"),
        ("A", "p"),
        ("P", "proj"),
        ("#", "Not asked for again: -t 1-3"),
        ("n", ""),
        ("L", "tasks=1:lprocs=2"),
    ]


def test_what_torques_server_knows_besides_is_asked_for_again() -> None:
    more = {
        "x": "NACCESSPOLICY:SINGLEJOB",
        "node_exclusive": "True",
        "user_kill_delay": "20",
        "jobtype": "abc",
        "L_Request": "-L tasks=1:lprocs=2 -L tasks=2",
    }
    told = words("12.srv", {**_TORQUE, **more})
    for each in ("-W x=NACCESSPOLICY:SINGLEJOB", "-n ", "-K 20", "-T abc"):
        assert each in told
    assert [each for each in told if each.startswith("-L")] == ["-L tasks=1:lprocs=2", "-L tasks=2"]
    assert "-P proj7" in words("12.pbs", {**_OPENPBS, "project": "proj7"})


def _limits(job: Job, script: list[str] | None) -> tuple[list[str], list[str]]:
    given = None if script is None else [Directive("l", each) for each in script]
    found = qsub_options.of_server(job, given)
    again = [each.value for each in found if each.option == "l"]
    return again, [each.value for each in found if each.option == "#"]


@pytest.mark.parametrize(
    ("arguments", "script", "again"),
    [
        ("-l nodes=1:ppn=2 run.sh", [], ["nodes=1:ppn=2"]),
        ("run.sh", ["walltime=600,nodes=1:ppn=2"], ["nodes=1:ppn=2", "walltime=00:10:00"]),
        ("-lwalltime=600 run.sh", ["nodes=1"], ["nodes=1:ppn=2", "walltime=00:10:00"]),
        ("run.sh", [], []),
        # nobody knows what the user asked for
        ("", ["nodes=1"], ["nodes=1:ppn=2", "walltime=00:10:00"]),
        ("run.sh", None, ["nodes=1:ppn=2", "walltime=00:10:00"]),
        ("-C #SITE run.sh", [], ["nodes=1:ppn=2", "walltime=00:10:00"]),
        ("-C #PBS run.sh", ["nodes=1"], ["nodes=1:ppn=2"]),
    ],
)
def test_a_resource_that_the_site_has_set_is_not_asked_for_again(
    arguments: str, script: list[str] | None, again: list[str]
) -> None:
    job = Job("12.srv", {**_TORQUE, "submit_args": arguments})
    found, remarks = _limits(job, script)
    assert found == again
    missing = {"nodes=1:ppn=2", "walltime=00:10:00"} - set(again)
    assert {each.split()[5].rstrip(",") for each in remarks} == missing
    assert all("Not asked for again: -l " in each for each in remarks)


def test_of_a_chunk_what_a_hook_has_added_is_not_asked_for_again() -> None:
    xml = "".join(
        f"<jsdl-hpcpa:Argument>{each}</jsdl-hpcpa:Argument>"
        for each in ("-l", "select=2:ncpus=2:host=n7", "/home/ann/run.sh")
    )
    job = Job("12.pbs", {**_OPENPBS, "Submit_arguments": xml})
    again, remarks = _limits(job, [])
    assert again == ["place=pack", "select=2:ncpus=2:host=n7"]
    assert remarks == [
        "Not asked for again: -l walltime=01:00:00, which the user had not asked for"
    ]


@pytest.mark.parametrize("given", [("l", "mppwidth=4"), ("l", "size=2"), ("L", "tasks=1:lprocs=2")])
def test_what_takes_no_node_beside_it_is_left_as_it_is_and_that_is_said(
    given: tuple[str, str],
) -> None:
    found = resource_requests.on_node([Directive(*given)], "node1")
    assert found[0] == Directive(*given)
    assert [each.option for each in found] == [given[0], "#"]
    assert "node1" in found[1].value
