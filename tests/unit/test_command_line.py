# SPDX-License-Identifier: MIT
"""What all commands share: help with an example, completion, an exit status for a slip."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.support import LIMIT_SECONDS
from tests.unit import samples
from torqueckpt import settings
from torqueckpt.cli.main import main, whole
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.settings import Settings
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore

_COMPLETE = (
    "import os, sys; from torqueckpt.cli.main import main; "
    "os.environ['_TORQUECKPT_COMPLETE'] = 'bash_complete'; main([])"
)


def _commands(
    group: click.Group, before: str = "torqueckpt"
) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, f"{before} {name}")
        elif not command.hidden:  # those that our own programs call
            yield f"{before} {name}", command


# Those that nobody but our own programs calls are not for people's eyes.
_ALL = {name: command for name, command in _commands(whole()) if not command.hidden}


@pytest.mark.parametrize("name", sorted(_ALL))
def test_its_help_says_what_it_does_and_gives_an_example(name: str) -> None:
    command = _ALL[name]
    text = command.get_help(click.Context(command, info_name=name))
    own = name if "openpbs" not in name else name.replace("openpbs", "torque")
    examples = [line for line in text.splitlines() if re.match(rf"\s+(sudo )?{own}\b", line)]
    assert examples, text
    assert len(text.split("\n\n")[1].strip()) > 20


@pytest.mark.parametrize("name", sorted(_ALL))
def test_every_option_is_explained(name: str) -> None:
    for each in _ALL[name].params:
        if isinstance(each, click.Option) and each.name != "generation":
            assert each.help, f"{name} {each.opts}"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_a_shell_is_given_names_the_program(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    assert f"_TORQUECKPT_COMPLETE={shell}_complete" in capsys.readouterr().out


def _completed(line: str, **more: str) -> list[str]:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), **more}
    done = subprocess.run(
        [sys.executable, "-c", _COMPLETE],
        env=words,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    return [entry.partition(",")[2] for entry in done.stdout.splitlines()]


def test_commands_and_options_are_completed() -> None:
    assert _completed("torqueckpt res") == ["resume", "resume-job"]
    assert "--json" in _completed("torqueckpt list --")
    assert _completed("torqueckpt completion f") == ["fish"]


def test_jobs_are_completed_from_the_images(
    lineage: Lineage, owner_store: OwnerStore, user: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with privileges.acting_as(user):
        samples.generation(lineage, {"pages-1.img": b"x"})
    monkeypatch.setattr(settings, "load", lambda: Settings(store=owner_store.path.parent.parent))
    command = _ALL["torqueckpt show"]
    (job,) = [each for each in command.params if each.name == "job"]
    context = click.Context(command)
    assert [each.value for each in job.shell_complete(context, "1")] == [samples.JOB]
    assert job.shell_complete(context, "2") == []
    monkeypatch.setattr(settings, "load", lambda: Settings(store=Path("/nowhere")))
    assert job.shell_complete(context, "1") == []


def test_no_tables_are_coloured_in_a_pipe_and_they_are_on_a_terminal() -> None:
    code = (
        "from torqueckpt.cli import tables; made = tables.table('what'); "
        "made.add_row(tables.styled('failure', 'bold red')); tables.show(made)"
    )
    argv = [sys.executable, "-c", code]
    piped = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_SECONDS).stdout
    assert piped.split() == ["what", "failure"]
    for more, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        shown = subprocess.run(
            ["/usr/bin/script", "-qec", " ".join([argv[0], "-c", f'"{code}"']), "/dev/null"],
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            env={"TERM": "xterm-256color", **more},
        )
        assert ("\x1b[1;31m" in shown.stdout) is coloured, shown


def test_json_is_json_where_nothing_is_there(
    owner_store: OwnerStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "load", lambda: Settings(store=owner_store.path.parent.parent))
    for words in (["list"], ["report"]):
        assert main([*words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == []


def test_on_a_small_terminal_the_columns_that_are_named_make_room() -> None:
    code = (
        "from torqueckpt.cli import tables; "
        "row = ['1234567.head.cluster', '2026-05-04T03:02:01']; "
        "tables.lines(['job', 'created'], [row], ['job'])"
    )
    done = subprocess.run(
        ["/usr/bin/script", "-qec", f'{sys.executable} -c "{code}"', "/dev/null"],
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        env={"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "32"},
    )
    assert "  2026-05-04T03:02:01" in done.stdout
    assert "".join(line.split(" ")[0] for line in done.stdout.splitlines()[1:]) == (
        "1234567.head.cluster"
    )
