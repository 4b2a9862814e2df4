# SPDX-License-Identifier: MIT
"""Programs end at once, and lose nothing that they have said."""

from __future__ import annotations

import subprocess

from tests.support import REPOSITORY
from tests.unit import real

_SAYS = """
import sys
sys.path.insert(0, sys.argv[1])
from torqueckpt.log import leave
print("said")
leave(int(sys.argv[2]))
"""


def _program(status: int) -> list[str]:
    return real.python(_SAYS, str(REPOSITORY), str(status))


def test_what_was_said_comes_out_and_the_status_is_kept() -> None:
    ended = subprocess.run(_program(7), capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, b"said\n", b"")


def test_a_full_disk_is_told_and_is_a_failure() -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(_program(0), stdout=full, stderr=subprocess.PIPE, check=False)
    told = b"the output could not be written: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (1, told)


def test_a_reader_that_has_gone_is_no_failure() -> None:
    program = subprocess.Popen(_program(0), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout is not None and program.stderr is not None
    program.stdout.close()
    assert (program.stderr.read(), program.wait()) == (b"", 0)
    program.stderr.close()


def test_output_that_was_closed_before_is_not_written_to() -> None:
    words = ["/bin/sh", "-c", 'exec "$0" "$@" >&- 2>&-', *_program(0)]
    assert subprocess.run(words, check=False).returncode == 0


def test_a_full_disk_under_both_outputs_is_a_failure_all_the_same() -> None:
    with open("/dev/full", "w") as full:
        assert subprocess.run(_program(0), stdout=full, stderr=full, check=False).returncode == 1
