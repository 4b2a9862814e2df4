# SPDX-License-Identifier: MIT
"""Names in MOM's own directories that a restart makes, as root, for a moment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from torqueckpt.errors import RestoreFailed
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.restart import attached


@pytest.fixture
def jobs(root: None, place: Path) -> Path:
    made = place / "mom_priv" / "jobs"
    made.mkdir(parents=True)
    made.chmod(0o751)
    return made


@pytest.mark.parametrize(
    ("job", "name"), [("12.srv", "12.srv.SC"), ("12[3].srv", "12-3.srv.SC"), ("7.a:1", "7.a.OU")]
)
def test_the_jobs_own_file_has_its_old_name_for_that_moment(
    jobs: Path, user: Owner, job: str, name: str
) -> None:
    with (
        privileges.acting_as(user),
        attached._under_old_names(job, 1, [(str(jobs / name), "/new")]),
    ):
        assert os.readlink(jobs / name) == "/new"
    assert os.listdir(jobs) == []


@pytest.mark.parametrize(
    ("job", "name"),
    [("12.srv", n) for n in ("99.srv.SC", "1.srv.SC", "123.srv.SC", "x.SC")] + [("9", "9.srv.SC")],
)
def test_another_jobs_file_is_not_made_for_its_mom_to_write_to(
    jobs: Path, user: Owner, job: str, name: str
) -> None:
    """The owner has named it in live.json: a MOM would write the other's script to where it leads,
    and its user would run what the owner makes of it."""
    moved = [(str(jobs / name), str(jobs.parent / "his"))]
    refused = pytest.raises(RestoreFailed, match=name)
    with privileges.acting_as(user), refused, attached._under_old_names(job, 1, moved):
        pytest.fail("the name was made")
    assert os.listdir(jobs) == []
