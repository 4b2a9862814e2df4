# SPDX-License-Identifier: MIT
"""Which of a job's tasks run, from the files that MOM keeps of them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from torqueckpt.batch.openpbs import tasks
from torqueckpt.errors import SeveralTasks

JOB, SID = "12.srv", 4711
EMBRYO, RUNNING, EXITED, DEAD = range(4)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "aux").mkdir()
    (tmp_path / "mom_priv" / "jobs" / f"{JOB}.TK").mkdir(parents=True)
    (tmp_path / "aux" / JOB).write_text("node1\nnode1\n")
    task(tmp_path, 1, RUNNING, SID)
    return tmp_path


def task(home: Path, number: int, status: int, sid: int, length_of_id: int = 261) -> None:
    """A file as task_save() writes it: ids of parents, then four numbers, then 16 reserved ones."""
    data = struct.pack(
        f"={length_of_id}s3xiiIIiii64x", JOB.encode(), 0, 0, 0, number, status, sid, 0
    )
    (home / "mom_priv" / "jobs" / f"{JOB}.TK" / f"{number:08X}").write_bytes(data)


def refuse(home: Path) -> None:
    tasks.refuse_several(JOB, SID, str(home / "aux" / JOB))


def test_a_job_that_runs_its_script_alone_is_not_refused(home: Path) -> None:
    refuse(home)
    task(home, 2, DEAD, -4800)
    task(home, 3, EXITED, 4801)
    refuse(home)


@pytest.mark.parametrize("status", [EMBRYO, RUNNING])
def test_a_task_that_runs_beside_the_script_is_named(home: Path, status: int) -> None:
    task(home, 2, DEAD, -4800)
    task(home, 17, status, 4900)
    with pytest.raises(SeveralTasks, match=r"runs task 17 \(session 4900\);"):
        refuse(home)


def test_where_the_files_are_of_another_layout_every_other_task_may_run(home: Path) -> None:
    task(home, 1, RUNNING, SID + 1)
    refuse(home)
    task(home, 2, DEAD, -4800)
    with pytest.raises(SeveralTasks, match="runs task 2;"):
        refuse(home)
    (home / "mom_priv" / "jobs" / f"{JOB}.TK" / "00000002").write_bytes(b"short")
    with pytest.raises(SeveralTasks, match="runs task 2;"):
        refuse(home)


def test_a_job_of_several_nodes_is_refused(home: Path) -> None:
    (home / "aux" / JOB).write_text("node1\nnode2\nnode1\n")
    with pytest.raises(SeveralTasks, match="it has 2 nodes"):
        refuse(home)


def test_what_is_not_there_refuses_nothing(tmp_path: Path) -> None:
    refuse(tmp_path)
    tasks.refuse_several(JOB, SID, "")
