# SPDX-License-Identifier: MIT
"""No page names a command, an option or a target that does not exist.

Every command of the `sh` blocks of README.md, CONTRIBUTING.md and docs/*.md, and every one that
begins with torqueckpt or make in their text, is looked at here:

- torqueckpt's by the real command line: parsed with the words that stand there, not run;
- the shims' (chkpnt and others) by their own parsers;
- make's by `make -n`, with every variable one of the Makefile's;
- other programs' must be on the list below, so that a slip in a name is seen.

Run as well, as they stand: the first half of docs/tutorial.md by tests/job/test_tutorial.py, and
torqueckpt's own commands of all pages by tests/job/test_page_commands.py, which says where those
that need a batch server are run.  qsub, qhold and their like of the tutorial are typed by
test_tutorial.py of tests/batch, tests/torque and tests/openpbs where these systems are; else, as
LSF's, they are only known by name here.
"""

from __future__ import annotations

import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.pages import PAGES, TOP, Command, commands, simple
from torqueckpt.cli.main import whole
from torqueckpt.shims import command as shims_command

_SHIMS = ("chkpnt", "resume", "cr_checkpoint", "cr_restart")
_OTHERS = {
    *("qsub", "qchkpt", "qhold", "qrls", "qalter", "qdel", "qmgr"),  # TORQUE's and OpenPBS's
    *("bsub", "bstop", "bresume", "badmin"),  # LSF's
    *("ausearch", "restorecon", "systemctl"),
    *("apt-get", "cat", "cd", "cmp", "echo", "mkdir", "ps", "seq", "trap"),
}
_OPTIONS_OF_OTHERS = ("--help", "--mca", "--libdir")  # click's, Open MPI's, CRIU's


def _all() -> list[tuple[Path, Command]]:
    return [(page, each) for page in PAGES for each in commands(page)]


def _of(*programs: str) -> list[object]:
    found = {(page.name, each) for page, each in _all() if each.words[0] in programs}
    return [pytest.param(each, id=f"{name}: {each}") for name, each in sorted(found, key=str)]


def test_every_program_that_a_page_names_is_known() -> None:
    known = {"torqueckpt", "make", *_SHIMS, *_OTHERS}
    assert not [(page.name, each.line) for page, each in _all() if each.words[0] not in known]


@pytest.mark.parametrize("told", _of("torqueckpt"))
def test_torqueckpt_understands_it(told: Command) -> None:
    parse(told)


def parse(told: Command) -> None:
    command: click.Command = whole()
    name = "torqueckpt"
    context = click.Context(command, info_name="torqueckpt")
    words = list(told.words[1:])
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        if found is None and not told.whole and re.fullmatch(r"[A-Z]+|…|\.\.\.", words[0]):
            return  # `torqueckpt COMMAND`
        assert found is not None, f"no command {words[0]}: {told.line}"
        command, name = found, words.pop(0)
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=context)
    if isinstance(command, click.Group) and not words:
        assert not told.whole, f"no command named: {told.line}"
        return
    try:
        command.make_context(name, [_number(word) for word in words], parent=context)
    except click.exceptions.Exit:  # --help, --version
        pass
    except click.MissingParameter:
        assert not told.whole, f"something is missing: {told.line}"


def _number(word: str) -> str:
    """Where a page says N, GEN1 or PID a number is meant."""
    return "4711" if re.fullmatch(r"N|PID|GEN[12]?", word) else word


def _options(group: click.Group) -> Iterator[str]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from _options(command)
        for each in command.params:
            yield from each.opts


def test_an_option_that_stands_alone_in_a_text_is_one_of_ours() -> None:
    known = {*_options(whole()), *_OPTIONS_OF_OTHERS}
    for page in [*PAGES, *sorted((TOP / "docs" / "man").glob("torqueckpt*.md"))]:
        for told in re.findall(r"`(--[a-z-]+)[^`]*`", page.read_text()):
            assert told in known, (page.name, told)


@pytest.mark.parametrize("told", _of(*_SHIMS))
def test_a_shim_understands_it(told: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shims_command, "run", lambda *_: 0)
    main = importlib.import_module(f"torqueckpt.shims.{told.words[0]}").main
    assert main([_number(word) for word in told.words[1:]]) == 0


@pytest.mark.parametrize("told", _of("make"))
def test_make_has_these_targets_and_variables(told: Command) -> None:
    given = [word.partition("=")[0] for word in told.words[1:] if "=" in word]
    makefile = (TOP / "Makefile").read_text()
    known = {*re.findall(r"^([A-Z_]+) =", makefile, re.M), "ARGS"}
    assert set(given) <= known, told.line
    dry = subprocess.run(["make", "-n", *told.words[1:]], cwd=TOP, capture_output=True, text=True)
    assert dry.returncode == 0, dry.stderr


@pytest.mark.parametrize(
    "line",
    [
        "torqueckpt resum-job 12.node1",
        "torqueckpt list --jobs 12.node1",
        "torqueckpt verify",
        "torqueckpt verify 12.node1 --generation x",
        "sudo torqueckpt run -c",
        "torqueckpt configure slurm --apply",
    ],
)
def test_a_slip_is_seen(line: str) -> None:
    (told,) = simple(line, whole=True)
    with pytest.raises((AssertionError, click.UsageError)):
        parse(told)


def test_a_line_is_taken_apart() -> None:
    line = (
        "sudo A=1 torqueckpt list -w 'n[1-2]' >out 2>err && qsub x; cat f | seq 3 # torqueckpt no"
    )
    told = [each.words for each in simple(line, whole=True)]
    assert told == [
        ("torqueckpt", "list", "-w", "n[1-2]"),
        ("qsub", "x"),
        ("cat", "f"),
        ("seq", "3"),
    ]
