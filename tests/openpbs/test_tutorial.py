# SPDX-License-Identifier: MIT
"""What docs/tutorial.md has root type for OpenPBS's launch hook, typed by root."""

from __future__ import annotations

from tests import pages
from tests.openpbs.private import PrivateOpenPBS

_PAGE = pages.TOP / "docs" / "tutorial.md"


def test_the_launch_hook_is_in_place_after_what_the_page_has_root_type(
    openpbs: PrivateOpenPBS,
) -> None:
    typed, _ = pages.fenced(pages.section(_PAGE, "On OpenPBS"))
    openpbs.check("qmgr", "-c", "delete hook torqueckpt")  # --apply has put it there
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
        openpbs.apply()
