# SPDX-License-Identifier: MIT
"""The man pages: one for every program and every command, whole, and groff has nothing to say."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from torqueckpt.settings import Settings

_TOP = Path(__file__).resolve().parents[2]
_MADE_BY = importlib.util.spec_from_file_location("pages", _TOP / "docs" / "man" / "pages.py")
assert _MADE_BY is not None and _MADE_BY.loader is not None
pages = importlib.util.module_from_spec(_MADE_BY)
_MADE_BY.loader.exec_module(pages)
_PAGES: dict[str, str] = pages.pages()
_COMMANDS: dict[str, click.Command] = dict(pages.commands(pages.whole()))


def _words(page: str) -> str:
    """A page without what is only there for the look of it."""
    text = re.sub(r"\\f[BIR]", "", _PAGES[page]).replace("\\-", "-").replace("\\(aq", "'")
    return text.replace("\\(dq", '"')


def test_every_program_that_is_installed_has_a_page() -> None:
    text = (_TOP / "install" / "install").read_text()
    programs = set(re.findall(r"\$(?:PREFIX/s?bin|home)/([a-z_-]+)", text))
    programs |= set(re.search(r"^shims='(.+)'", text, re.M).group(1).split())  # type: ignore[union-attr]
    programs -= {"etc", "shims", "at-freeze", "criu", "preload"}
    assert {"torqueckpt", "mom-run", "erestart", "cr_run"} <= programs
    assert programs <= {page[:-2] for page in _PAGES}


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_a_commands_page_has_its_options_and_its_examples(name: str) -> None:
    text = _words(f"{name.replace(' ', '-')}.1")
    for each in _COMMANDS[name].params:
        if isinstance(each, click.Option) and each.help and not each.hidden:
            assert all(option in text for option in each.opts), each.opts
            assert re.split("[;`…]", each.help)[0] in text
    assert '.SH "EXAMPLES"\n.nf\n' in text


@pytest.mark.parametrize("name", ["chkpnt", "resume", "cr_checkpoint", "cr_restart"])
def test_a_shims_page_has_the_options_of_its_parser(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        importlib.import_module(f"torqueckpt.shims.{name}").main(["--help"])
    option = re.compile(r"(?<![\w-])(--?[a-z][a-z-]*)", re.I)
    parsed = set(option.findall(capsys.readouterr().out)) - {"-h", "--help", "--version"}
    told = set(option.findall((_TOP / "docs" / "man" / f"{name}.1.md").read_text()))
    short = {"-temp", "-env", "-perm"} & told  # told as ends of --run-on-fail-args
    told |= {f"--run-on-fail{end}" for end in short}
    assert told - short - {"-drp", "--run-on-KIND"} == parsed


def test_the_first_page_names_every_command() -> None:
    text = _words("torqueckpt.1")
    assert all(f"\n{name}\n" in text for name in _COMMANDS)


def test_a_further_text_is_for_a_command_that_there_is() -> None:
    for path in (_TOP / "docs" / "man").glob("torqueckpt-*.md"):
        assert path.name[:-5] in {name.replace(" ", "-") for name in _COMMANDS}, path


def test_the_settings_page_has_every_option_once_with_its_default_and_a_text() -> None:
    text = _words("torqueckpt.toml.5")
    terms = re.findall(r"^\.TP\n(.+)\n(.+)$", text, re.M)
    found = [name for term, _ in terms for name in re.findall(r"(?:^|, )([a-z_]+) = ", term)]
    assert sorted(found) == sorted(Settings._fields)
    assert all(len(said.split()) > 2 for _, said in terms)
    assert "snapshot_limit_mib = 64" in text


def test_pages_of_docs_that_are_man_pages_are_called_by_that_name_and_no_other() -> None:
    for name in pages.OF_DOCS:
        assert f"\ntorqueckpt-{name} - " in _words(f"torqueckpt-{name}.7")
        assert not [page for page in _PAGES if f"docs/{name}.md" in _words(page)]
    assert "torqueckpt-exit-codes(7)" in _words("mom-checkpoint.8")


def test_every_error_of_the_manual_is_an_item_of_its_man_page() -> None:
    text = _words("torqueckpt-exit-codes.7")
    rows = re.findall(r"^\| (\d+) \| `(\w+)` ", (_TOP / "docs" / "exit-codes.md").read_text(), re.M)
    assert len(rows) > 60
    for code, error in rows:
        assert f"\n.TP\n{code}\nerror: {error}\n.br\nmessage: " in text


def test_the_first_page_says_where_docs_are_installed() -> None:
    assert "\\fB/opt/x/doc" in pages.pages("/opt/x/doc")["torqueckpt.1"]


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
@pytest.mark.parametrize("page", sorted(_PAGES))
def test_groff_has_nothing_to_say_about_a_page(page: str) -> None:
    argv = ["groff", "-man", "-ww", "-z"]
    told = subprocess.run(argv, input=_PAGES[page], capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("man") is None, reason="no man here")
def test_a_page_reads_as_its_source(tmp_path: Path) -> None:
    page = tmp_path / "torqueckpt-resume-job.1"
    page.write_text(_PAGES[page.name])
    shown = subprocess.run(
        ["man", "-l", page],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "100", "LC_ALL": "C.UTF-8"},
    ).stdout
    assert "\n       torqueckpt-resume-job - Write the script that goes on with JOB as a" in shown
    assert "\n       torqueckpt resume-job 12.node1 --submit\n" in shown
    assert "\n       --relocate OLD=NEW\n              What lay in OLD lies in NEW now" in shown
    assert "\\" not in shown and "`" not in shown


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("a -b `--cd FILE` 'e' \\", ".PP\na \\-b \\fB\\-\\-cd \\fIFILE\\fB\\fR \\(aqe\\(aq \\e\n"),
        (".dot\n'quote", ".PP\n\\&.dot\n\\(aqquote\n"),
        ("- `x`, `y Z`: what: so\n  and on", ".TP\n\\fBx\\fR, \\fBy Z\\fR\nwhat: so and on\n"),
        ("see a-b(1)…", ".PP\nsee \\fBa\\-b\\fR(1)\\[u2026]\n"),
        ("- **in `x` b**, *i*\n  on", ".IP \\(bu 2\n\\fBin \\fBx\\fB b\\fR, \\fIi\\fR on\n"),
        ("`*` and `**`, *a**b*", ".PP\n\\fB*\\fR and \\fB**\\fR, \\fIa\\fR\\fIb\\fR\n"),
        ("| k | t |\n|---|---|\n| a | b |", ".TP\n\\fBa\\fR\nb\n"),
        ("| k | t | u |\n|---|---|---|\n| a | b | c |", ".TP\n\\fBa\\fR\nt: b\n.br\nu: c\n"),
        ("| k | t | u |\n|---|---|---|\n| a | b | |", ".TP\n\\fBa\\fR\nt: b\n"),
    ],
)
def test_what_means_something_to_roff_is_said_otherwise(text: str, made: str) -> None:
    assert pages.roff("x.1", text).endswith(made)
