# SPDX-License-Identifier: MIT
"""What docs/tutorial.md has users of OpenPBS type, typed by one."""

from __future__ import annotations

from pathlib import Path

from tests import pages
from tests.openpbs.private import PrivateOpenPBS
from tests.support import User, count_script, lines

_PAGE = pages.TOP / "docs" / "tutorial.md"


def test_the_launch_hook_is_in_place_after_what_the_page_has_root_type(
    openpbs: PrivateOpenPBS,
) -> None:
    typed, _ = pages.fenced(pages.section(_PAGE, "On OpenPBS"))
    _, *hook = typed.replace("/tmp/openpbs", str(openpbs.root / "of-the-page")).splitlines()
    done = openpbs.run(
        "sh", "-ec", "\n".join(hook).replace("torqueckpt ", f"{openpbs.torqueckpt} ")
    )
    try:
        assert done.returncode == 0, done.stderr
        told = openpbs.run("qmgr", "-c", "export hook torqueckpt application/x-python default")
        assert "execjob_launch" in openpbs.run("qmgr", "-c", "list hook torqueckpt").stdout
        assert told.stdout.strip() == (
            (openpbs.root / "of-the-page" / "torqueckpt-launch.hook").read_text().strip()
        )
    finally:
        openpbs.check("qmgr", "-c", "delete hook torqueckpt")


def test_the_tutorial_on_openpbs(openpbs: PrivateOpenPBS, owner: User, directory: Path) -> None:
    _, typed = pages.fenced(pages.section(_PAGE, "On OpenPBS"))
    submit, hold, release = (line.split() for line in typed.splitlines())
    owner.script(count_script(60), directory)
    done = openpbs.run(*submit, user=owner, directory=directory)
    assert done.returncode == 0, done.stderr
    job = done.stdout.strip()
    openpbs.wait_until_running(job)
    openpbs.wait_for_line(job, 3)
    for *words, named in (hold, release):
        assert named == "12.server"
        openpbs.wait_for_state(job, "R" if words == ["qhold"] else "H")
        openpbs.check(*words, job, user=owner)
    assert openpbs.wait_for_state(job, "F", 60)["Exit_status"] == "7"
    assert [row["whole"] for row in openpbs.images(job)] == [True]
    assert openpbs.delivered(job, directory)[0] == lines(60)
