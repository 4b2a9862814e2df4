# SPDX-License-Identifier: MIT
"""What pbs_python's functions and their parameters are called is interface: programs name them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType

import pytest

from torqueckpt.compat import objects
from torqueckpt.compat.query import PBSQuery

# pbs_python 4.6.  Its C functions take no names; these are those of its pbs_ifl.h, which newer
# wrappers of the same header take.
PBS = """
pbs_connect server
pbs_disconnect connect
pbs_geterrmsg connect
pbs_asyrunjob c jobid location extend
pbs_runjob connect jobid loc extend
pbs_alterjob connect job_id attrib extend
pbs_alterjob_async connect job_id attrib extend
pbs_deljob connect job_id extend
pbs_holdjob connect job_id hold_type extend
pbs_rlsjob connect job_id hold_type extend
pbs_checkpointjob connect job_id extend
pbs_locjob connect job_id extend
pbs_manager connect command obj_type obj_name attrib extend
pbs_movejob connect job_id destination extend
pbs_msgjob connect job_id file message extend
pbs_orderjob connect job1 job2 extend
pbs_rerunjob connect job_id extend
pbs_selectjob connect select_list extend
pbs_selstat connect select_list extend
pbs_sigjob connect job_id signal extend
pbs_sigjobasync connect job_id signal extend
pbs_statfree stat
pbs_statjob connect id attrib extend
pbs_statque connect id attrib extend
pbs_statnode connect id attrib extend
pbs_statserver connect attrib extend
pbs_submit connect attrib script destination extend
pbs_terminate connect manner extend
pbs_gpumode connect node gpuid gpumode
pbs_default
pbs_fbserver
pbs_get_server_list
pbs_query_max_connections
new_attrl number
new_attropl number
new_batch_status
get_error
error
flushreq
activereq
log_init suffix hostname
log_available eventtype
get_mom_values id list
use_default_keywords id d
use_user_keywords id d l
check_resp dict str
"""
QUERY = """
PBSQuery server
PBSQuery.getjobs attrib_list
PBSQuery.getjob name attrib_list
PBSQuery.getnodes attrib_list
PBSQuery.getnode name attrib_list
PBSQuery.getnodes_with_property property attrib_list
PBSQuery.getqueues attrib_list
PBSQuery.getqueue name attrib_list
PBSQuery.get_serverinfo attrib_list
PBSQuery.get_server_name
PBSQuery.new_data_structure
PBSQuery.old_data_structure
"""
OBJECTS = """
PBSError msg
job dictin
job.is_running
job.get_nodes unique
job.get_value key
job.uniq list
job.return_value key
node.is_free
node.has_job
node.get_jobs unique
queue.is_enabled
queue.is_execution
server.get_version
"""


def parameters(function: Callable[..., object]) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def lines(table: str) -> list[list[str]]:
    return [line.split() for line in table.split("\n") if line]


@pytest.mark.parametrize("name, expected", [(line[0], line[1:]) for line in lines(PBS)])
def test_the_functions_of_pbs_have_pbs_pythons_parameters(
    import_pbs: Callable[[str], ModuleType], name: str, expected: list[str]
) -> None:
    assert parameters(getattr(import_pbs("torque6"), name)) == expected


@pytest.mark.parametrize("table, owner", [(QUERY, PBSQuery), (OBJECTS, objects)])
def test_the_methods_of_pbsquery_have_pbs_pythons_parameters(table: str, owner: object) -> None:
    for name, *expected in lines(table):
        found = owner
        for part in name.split("."):
            found = found if part == "PBSQuery" else getattr(found, part)
        assert callable(found) and parameters(found) == expected, name


def test_a_program_may_name_them(import_pbs: Callable[[str], ModuleType]) -> None:
    import_pbs("torque6")
    query = PBSQuery(server="fake")
    for method in (query.getjobs, query.getnodes, query.getqueues):
        assert sorted(method(attrib_list=["job_state"])) == ["1.fake", "2.fake"]
    assert query.getjob(name="1.fake", attrib_list=None) == query.getjob("1.fake") != {}
    assert query.getnodes_with_property(property="fast", attrib_list=["state"])
