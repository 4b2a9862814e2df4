# SPDX-License-Identifier: MIT
"""The report's page: right figures, nothing from elsewhere, and what users wrote is text in it."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support import LIMIT_SECONDS
from tests.unit.test_report import Journals, a_site, journals  # noqa: F401 (fixtures)
from torqueckpt import settings
from torqueckpt.cli.main import main
from torqueckpt.reports import html
from torqueckpt.reports.report import GRID, LOCAL, ReportRow

_EVIL = '"><script>document.title="taken"</script><img src=http://elsewhere/x>'
_CHROMIUM = shutil.which("chromium")
_ALONE = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class _Tags(HTMLParser):
    """Every element with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def count(self, tag: str, **wanted: str) -> int:
        return sum(t == tag and wanted.items() <= a.items() for t, a in self.found)


@pytest.fixture
def site(a_site: Journals) -> Journals:  # noqa: F811
    """A day's checkpoints of ten jobs, sizes and times of three orders of magnitude."""
    begin = int(time.time()) - 86400
    for n in range(200):
        size, frozen = 5_000_000 * (1 + n % 40) ** 2, 4000 * (1 + n % 40) ** 2
        facts = f'"bytes": {size}, "frozen_us": {frozen}, "queue": "batch"'
        line = (
            f'{{"time": {begin + n * 430}, "event": "checkpoint", "job": "{n % 10}.srv", {facts}}}'
        )
        a_site.write(f"{line}\n".encode())
    return a_site


def _page(site: Journals) -> str:  # noqa: F811
    return html.page([site.user], 0, site.settings)


def test_the_page_tells_counts_outcomes_and_a_dot_for_each_checkpoint(site: Journals) -> None:  # noqa: F811
    text = _page(site)
    tags = _Tags(text)
    assert tags.count("circle") == 400
    assert re.search(r"<b>17</b><span>jobs", text) and "open sockets" in text
    assert {"batch", "grid", "local"} <= set(re.findall(r'text-anchor="end">(\w+)</text>', text))
    assert "GiB" in text and " ms" in text


def test_it_needs_nothing_from_elsewhere(site: Journals) -> None:  # noqa: F811
    tags = _Tags(_page(site))
    named = [a for _, a in tags.found if {"src", "href", "xlink:href", "style"} & set(a)]
    assert named == [] and tags.count("script") == tags.count("link") == 0
    assert not re.search(r"url\(|@import", _page(site))


def test_what_users_wrote_is_text(site: Journals) -> None:  # noqa: F811
    site.note("checkpoint", _EVIL, queue=_EVIL, bytes=1 << 20, frozen_us=5000)
    site.note("checkpoint-failed", "8", queue=_EVIL, code=None, reason=_EVIL)
    site.write(b'{"time": 99999999999999999, "event": "checkpoint", "job": "1", "bytes": 1}\n')
    site.write(b'{"time": 1e300, "event": "checkpoint", "job": "1", "bytes": 1, "frozen_us": 1}\n')
    site.write(
        b'{"time": 9999999999, "event": "checkpoint", "job": 1, "bytes": [], "frozen_us": 1}\n'
    )
    text = _page(site)
    tags = _Tags(text)
    assert tags.count("script") == tags.count("img") == 0
    assert "&lt;script&gt;" in text


def test_a_site_without_checkpoints_has_a_page_too(journals: Journals) -> None:  # noqa: F811
    text = _page(journals)
    assert "tell of no checkpoint" in text and _Tags(text).count("svg") == 0
    journals.note("checkpoint", "1", bytes=0, frozen_us=0)
    assert _Tags(_page(journals)).count("circle") == 2


def test_many_names_and_many_dots_are_drawn_together() -> None:
    rows = [ReportRow("", f"u{n}", 100 - n, 1, 0, 1, "NO", (("full", 2),)) for n in range(90)]
    drawn = html.bars(rows)
    assert len(drawn) == 26 and drawn[0].name == "u0" and drawn[-1].name == "65 others"
    assert max(bar.ok_width + bar.no_width for bar in drawn[:-1]) <= 420
    taken = [html._Taken(n, "1", n, n) for n in range(1, 50_001)]
    pairs = [(each, each.bytes) for each in taken]
    plot = html.plot(pairs, html._BYTES, html.size)
    assert len(plot.dots) <= 1001
    assert plot.dots[-1].told.endswith(html.size(50_000))  # the largest of each stretch


def test_two_bars_of_one_name_say_which_part_they_are_of() -> None:
    rows = [
        ReportRow(part, name, 3, 1, 0, 0, "OK", ())
        for part, name in ((LOCAL, "ann"), (GRID, "ann"), (LOCAL, "bob"))
    ]
    assert [bar.name for bar in html.bars(rows)] == [f"ann, {LOCAL}", f"ann, {GRID}", "bob"]


@pytest.mark.parametrize("span", [30, 599, 3600, 30 * 86400])
def test_the_marks_of_time_differ_however_short_it_is(span: int) -> None:
    pairs = [(html._Taken(n, "1", 5, 5), 5) for n in (1_700_000_000, 1_700_000_000 + span)]
    marks = html.plot(pairs, html._BYTES, html.size).columns
    assert len({mark.label for mark in marks}) == 4


@pytest.mark.parametrize(
    ("value", "told"),
    [(1, "0.000977 KiB"), (2048, "2 KiB"), (3 << 30, "3 GiB"), (1 << 50, "1.02e+03 TiB")],
)
def test_sizes(value: int, told: str) -> None:
    assert html.size(value) == told


def test_the_file_is_put_whole(
    site: Journals,  # noqa: F811
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(settings, "load", lambda: site.settings)
    file = place / "report.html"
    words = ["report", "--user", site.user.name, "--html"]
    assert main([*words, str(file)]) == 0
    assert file.read_text().startswith("<!DOCTYPE html>") and file.stat().st_mode & 0o777 == 0o644
    assert main([*words, str(place / "none" / "report.html")]) == 1
    assert main([*words, "-"]) == 0 and "<svg" in capsys.readouterr().out


@pytest.mark.skipif(_CHROMIUM is None, reason="no chromium to draw the page with")
def test_a_browser_draws_it_and_runs_nothing(site: Journals, place: Path) -> None:  # noqa: F811
    site.note("checkpoint", _EVIL, queue=_EVIL, bytes=1 << 20, frozen_us=5000)
    page, picture = place / "report.html", place / "report.png"
    page.write_text(_page(site))
    argv = [str(_CHROMIUM), *_ALONE, f"--user-data-dir={place}/profile", "--window-size=900,1500"]
    shown = subprocess.run(
        [*argv, f"--screenshot={picture}", page.as_uri()],
        capture_output=True,
        timeout=LIMIT_SECONDS,
    )
    assert shown.returncode == 0, shown.stderr
    assert len(set(_pixels(picture))) > 20  # drawn: a blank page has one colour
    dom = subprocess.run(
        [*argv, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=LIMIT_SECONDS
    ).stdout
    assert "<title>Checkpoints and restarts" in dom and "<title>taken" not in dom
    assert dom.count("<circle") == 402


def _pixels(picture: Path) -> bytes:
    """The PNG's lines, unpacked."""
    data, packed, at = picture.read_bytes(), b"", 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        at += 12 + length
    return zlib.decompress(packed)
