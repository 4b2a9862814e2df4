# SPDX-License-Identifier: MIT
"""What `make bench` writes: ratios of medians, and each row that misses its target says so."""

from __future__ import annotations

import pytest

from benchmarks import phases, report, rows
from benchmarks.rows import MISS, NOT_RUN, WITHIN, Row


def test_the_ratio_is_of_the_medians_so_one_slow_round_does_not_decide() -> None:
    row = rows.ratio("frozen", "1 GiB", [0.2, 0.2, 9.0], [0.1, 0.4, 0.2], target=1.02)
    assert (row.judged, row.verdict, row.rounds) == (1.0, WITHIN, 3)
    assert (row.ours, row.beside, row.spread) == ("200 ms", "200 ms", "0.50 to 45.00")


@pytest.mark.parametrize(
    ("judged", "target", "verdict"),
    [(1.02, 1.02, WITHIN), (1.0201, 1.02, MISS), (7.0, None, ""), (None, 1.02, NOT_RUN)],
)
def test_a_row_misses_only_beyond_its_target(
    judged: float | None, target: float | None, verdict: str
) -> None:
    assert Row("frozen", "1 GiB", judged=judged, target=target).verdict == verdict


def test_a_figure_is_judged_in_its_own_unit() -> None:
    row = rows.figure("own time", "16 MiB", [90.0, 60.0, 71.0], "ms", target=70.0)
    assert (row.ours, row.judged, row.verdict) == ("71 ms", 71.0, MISS)


def test_a_row_that_was_not_run_says_why_and_is_counted() -> None:
    left = rows.not_run("restart", "12 GiB", 1.4, "100 MiB of disk are free")
    missed = rows.figure("list", "10000 images", [2.0], "s", target=0.5)
    text = report.page("make bench", {"kernel": "6.1"}, {"One": [left], "Two": [missed]})
    assert "2 rows with a target; 1 miss it: list, 10000 images." in text
    assert "Not run: restart, 12 GiB." in text
    assert "- 100 MiB of disk are free" in text
    assert "| list | 10000 images | 2 s |  | 2.000 | 2 to 2 | 0.5 | 1 | **MISS** |" in text


def test_a_note_that_many_rows_share_stands_once_below_their_table() -> None:
    made = [rows.ratio("restart", size, [1.0], [1.0], 1.4, "verified") for size in "ab"]
    assert report.page("make bench", {}, {"Restart": made}).count("- verified") == 1


_TRACE = """\
100.000 execve("/opt/sbin/mom-checkpoint", ["mom-checkpoint"], 0x7) = 0
100.050 setresuid(-1, 1000, -1)   = 0
100.060 vfork()                   = 8
100.090 clone(child_stack=NULL, flags=SIGCHLD) = 9
100.100 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=9} ---
100.290 kill(9, SIGKILL)          = 0
100.300 clone(child_stack=NULL, flags=SIGCHLD) = 10
100.390 kill(10, SIGKILL)         = 0
100.400 exit_group(0)             = ?
"""


def test_phases_of_a_traced_hook_end_where_the_next_begins() -> None:
    assert [round(each) for each in phases.phases(_TRACE)] == [40, 200, 100, 10]


def test_a_trace_that_lacks_a_phase_is_no_measurement() -> None:
    with pytest.raises(AssertionError, match="manifest, names"):
        phases.phases(_TRACE.rpartition("100.400")[0])
