# SPDX-License-Identifier: MIT
"""What a resume job asks for in the old one's place; the attributes are as servers sent them."""

from __future__ import annotations

from typing import Any

import pytest

from torqueckpt.batch import qsub_options
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
        "-A resumed:12.pbs",
        "-q workq",
        "-r n",
        "-l place=pack",
        "-l select=2:ncpus=2:ngpus=1:host=n7",
        "-l walltime=01:00:00",
    ]


def test_an_account_string_that_we_made_names_the_job_before_not_the_first() -> None:
    assert "-A resumed:14.srv" in words("14.srv", {**_TORQUE, "Account_Name": "resumed:12.srv"})


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
    ],
)
def test_an_image_of_one_node_takes_the_job_there(wanted: list[str], there: list[str]) -> None:
    found = qsub_options.on_node([Directive("l", each) for each in wanted], "node1")
    assert [each.value for each in found] == there


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


def test_of_a_scripts_directives_neither_its_shell_nor_its_dependencies_are_asked_for_again() -> (
    None
):
    given = [
        ("S", "/usr/bin/python3"),
        ("W", "depend=afterok:1.srv"),
        ("W", "umask=022"),
        ("A", "p"),
    ]
    kept = qsub_options.of_script(Directive(*each) for each in given)
    assert [(d.option, d.value) for d in kept] == [("W", "umask=022"), ("A", "p")]
