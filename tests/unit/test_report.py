# SPDX-License-Identifier: MIT
"""The report of what could be checkpointed and restarted, from journals of many kinds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from torqueckpt import settings
from torqueckpt.cli.main import main
from torqueckpt.errors import BadArguments
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.reports import report
from torqueckpt.reports.report import GRID, LOCAL, ReportRow
from torqueckpt.settings import Settings
from torqueckpt.store import journal
from torqueckpt.store.store import OwnerStore, Store

_SOCKETS = (
    "job 4 cannot be dumped: process 12 (curl), UNIX socket to /run/x: connected to a process "
    "outside of the job's tree; close it; it runs on"
)


class Journals:
    """One user's journal, and reports of it."""

    def __init__(self, owner_store: OwnerStore, user: Owner, store: Store) -> None:
        self.owner_store, self.user = owner_store, user
        self.settings = Settings(store=store.root.path)

    def note(self, event: str, job: str, **facts: object) -> None:
        with privileges.acting_as(self.user):
            journal.note(self.owner_store, event, job, **facts)

    def write(self, text: bytes) -> None:
        with (self.owner_store.path / "journal").open("ab") as file:
            file.write(text)

    def rows(self, by: str = "", since: float = 0) -> list[ReportRow]:
        return report.report([self.user], by, since, self.settings)

    def told(self, by: str = "") -> dict[tuple[str, str], str]:
        return {(row.part, row.name): row.words for row in self.rows(by)}


@pytest.fixture
def journals(owner_store: OwnerStore, user: Owner, store: Store) -> Journals:
    return Journals(owner_store, user, store)


@pytest.fixture
def a_site(journals: Journals) -> Journals:
    """INFN-Trieste's results, in the words of today's programs."""
    note = journals.note
    note("checkpoint", "1", queue="local")
    note("restart", "1", queue="local")
    for number, vo in enumerate(("atlas", "cms"), 2):
        note("checkpoint", str(number), queue="grid", vo=vo)
        note("restart", str(number), queue="grid", vo=vo)
    note("checkpoint-failed", "4", queue="grid", vo="biomed", code=19, reason=_SOCKETS)
    note("checkpoint-failed", "5", queue="grid", vo="esr", code=44, reason="too long")
    note("checkpoint-failed", "6", queue="grid", vo="theophys", code=44, reason="too long")
    note("checkpoint", "7", queue="grid", vo="lhcb", left_out=2)
    note("restart-failed", "7", code=45, reason="restore of generation 1 failed")
    return journals


def test_users_and_vos_are_told_apart_with_the_reason(a_site: Journals) -> None:
    assert a_site.told() == {
        (LOCAL, a_site.user.name): "OK",
        (GRID, "atlas"): "OK",
        (GRID, "cms"): "OK",
        (GRID, "biomed"): "NO - open sockets",
        (GRID, "esr"): "NO - checkpoint failed (code 44)",
        (GRID, "theophys"): "NO - checkpoint failed (code 44)",
        (GRID, "lhcb"): "NO - restore failed (processes with PPID 1)",
    }


def test_by_user_queue_and_vo(a_site: Journals) -> None:
    name = a_site.user.name
    by_queue = {row.name: row for row in a_site.rows("queue")}
    assert (by_queue["grid"].jobs, by_queue["grid"].failed) == (6, 4)
    assert by_queue["grid"].reasons[0] == ("checkpoint failed (code 44)", 2)
    assert by_queue["local"].words == "OK" and by_queue["local"].restarts == 1
    assert set(a_site.told("user")) == {(LOCAL, name), (GRID, name)}
    assert (LOCAL, "-") in a_site.told("vo") and (GRID, "lhcb") in a_site.told("vo")


def test_a_user_and_a_vo_of_one_name_are_two(journals: Journals) -> None:
    journals.note("checkpoint", "1", vo=journals.user.name)
    journals.note("checkpoint-failed", "2", code=43, reason="it has a terminal open")
    name = journals.user.name
    assert journals.told() == {
        (LOCAL, name): "NO - checkpoint failed (code 43)",
        (GRID, name): "OK",
    }


def test_what_worked_in_the_end_is_no_failure(journals: Journals) -> None:
    journals.note("checkpoint-failed", "1", code=23, reason="busy")
    journals.note("checkpoint", "1")
    journals.note("restart-failed", "1", code=45, reason="pid 12 is taken")
    journals.note("restart", "1")
    (row,) = journals.rows()
    assert (row.outcome, row.failed, row.words) == ("OK", 2, "OK")


@pytest.mark.parametrize(
    ("event", "code", "reason", "told"),
    [
        ("checkpoint-failed", 43, "it has an established TCP connection", "open sockets"),
        ("checkpoint-failed", None, "TCP connection to 1.2.3.4:5", "open sockets"),
        ("checkpoint-failed", 31, "no socket", "checkpoint failed (code 31)"),
        ("checkpoint-failed", 19, "io_uring", "checkpoint failed (code 19)"),
        ("checkpoint-failed", None, "something new", "something new"),
        ("checkpoint-failed", "43", "x\ny", "x\\ny"),
        ("checkpoint-failed", None, None, "checkpoint-failed"),
        ("checkpoint-failed", None, "a" * 500, "a" * 99 + "…"),
        ("restart-failed", 45, "pid 12 do not match", "restore failed (process numbers in use)"),
        ("restart-failed", 45, "no room", "restore failed (code 45)"),
        ("restart-failed", 60, "files changed", "restore failed (code 60)"),
        ("restart-failed", None, "torn", "torn"),
    ],
)
def test_reasons_are_told_in_few_words_and_unknown_ones_as_they_are(
    journals: Journals, event: str, code: object, reason: object, told: str
) -> None:
    journals.note(event, "1", code=code, reason=reason)
    assert [row.words for row in journals.rows()] == [f"NO - {told}"]


def test_processes_that_an_image_lacks_are_told_though_all_else_went_well(
    journals: Journals,
) -> None:
    journals.note("checkpoint", "1", left_out=1)
    journals.note("restart", "1")
    assert [row.words for row in journals.rows()] == ["OK - processes with PPID 1 are left out"]
    journals.note("checkpoint", "1", left_out=0)
    assert [row.words for row in journals.rows()] == ["OK"]


def test_only_what_happened_since_then_counts(journals: Journals) -> None:
    journals.note("checkpoint", "1")
    journals.write(b'{"time": 100, "event": "checkpoint-failed", "job": "1", "reason": "old"}\n')
    assert journals.rows(since=101)[0].failed == 0 and journals.rows(since=100)[0].failed == 1
    assert journals.rows(since=time.time() + 60) == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"no json\n",
        b"[1]\n",
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b'{"time": "now", "event": "checkpoint", "job": "2"}\n',
        b'{"time": 1e400, "event": "checkpoint", "job": "2"}\n',
        b'{"time": 99999999999, "event": "checkpoint", "job": 7}\n',
        b'{"time": 99999999999, "event": ["checkpoint"], "job": "2"}\n',
        b'{"time": 99999999999, "event": "delete", "job": "2"}\n',
        b'{"time": 99999999999, "event": "checkpoint", "job": "1", "queue": {}, "vo": 3}\n',
        b'{"time": 99999999999, "event": "check',
    ],
)
def test_what_an_owner_wrote_into_his_journal_spoils_no_report(
    journals: Journals, text: bytes
) -> None:
    journals.note("checkpoint", "1", queue="q")
    journals.write(text)
    rows = journals.rows("queue")
    assert [(row.name, row.outcome, row.jobs) for row in rows] == [("q", "OK", 1)]


def test_what_root_reads_is_printed_without_control_characters(journals: Journals) -> None:
    journals.note("checkpoint", "1", queue="\x1b[2J" + "x" * 500)
    (row,) = journals.rows("queue")
    assert row.name.startswith("\\x1b[2Jxx") and len(row.name) < 80


def test_a_user_without_images_and_a_journal_that_is_none(
    journals: Journals, store: Store, user: Owner
) -> None:
    assert journals.rows() == []  # no journal yet
    (journals.owner_store.path / "journal").mkdir()
    assert journals.rows() == []
    (journals.owner_store.path).chmod(0o777)  # no more believed to be his
    assert journals.rows() == []
    journals.owner_store.path.rename(journals.owner_store.path.with_name("gone"))
    assert journals.rows() == []


@pytest.mark.parametrize("text", ["2010-05-17", "2010-05-17T08:00", "7d", "24h", "30m", "0m"])
def test_moments(text: str) -> None:
    assert 1273000000 < report.moment(text) <= time.time()


@pytest.mark.parametrize("text", ["", "yesterday", "7", "-1d", "1e9d", "2010-13-01", "9999999d"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(BadArguments, match="is no time"):
        report.moment(text)


@pytest.fixture
def call(a_site: Journals, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setattr(settings, "load", lambda: a_site.settings)
    return lambda *words: main(["report", "--user", a_site.user.name, *words])


def test_the_page_puts_names_of_one_outcome_on_one_line(
    call: Callable[..., int], a_site: Journals, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call() == 0
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells == [
        ["local users", "checkpoint and restart"],
        [a_site.user.name, "OK"],
        ["grid VOs", "checkpoint and restart"],
        ["atlas, cms", "OK"],
        ["esr, theophys", "NO - checkpoint failed (code 44)"],
        ["biomed", "NO - open sockets"],
        ["lhcb", "NO - restore failed (processes with PPID 1)"],
    ]


def test_json_and_tables(
    call: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call("--json", "--by", "vo", "--since", "1h") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["biomed"]["reasons"] == [{"reason": "open sockets", "jobs": 1}]
    assert rows["atlas"]["outcome"] == "OK" and rows["atlas"]["checkpoints"] == 1
    assert call("--by", "queue") == 0
    assert "restarts" in capsys.readouterr().out.splitlines()[0]
    assert call("--since", "soon") == 64


def test_an_action_amidst_which_a_job_was_killed_has_not_failed(journals: Journals) -> None:
    journals.note("checkpoint", "12")
    journals.note("restart-failed", "12", reason="the restart ended with -15", code=125)
    since = int(time.time()) - 5
    journals.note("end", "13", how="killed", amid="restart", since=since, lineage="12@1763600000")
    (row,) = journals.rows()
    assert (row.words, row.failed) == ("OK", 0)


@pytest.mark.parametrize("odd", [{}, {"since": "1"}, {"since": [1]}])
def test_a_failure_from_before_the_one_that_was_no_failure_stays(
    journals: Journals, odd: dict[str, object]
) -> None:
    journals.note("checkpoint-failed", "12", reason="no room", code=31)
    facts = {"how": "killed", "amid": "checkpoint", "since": int(time.time()) + 5, **odd}
    journals.note("end", "12", **facts)
    assert [row.words for row in journals.rows()] == ["NO - checkpoint failed (code 31)"]
