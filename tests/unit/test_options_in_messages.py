# SPDX-License-Identifier: MIT
"""An option that a message names is one of the command that it names, or of all that show it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from torqueckpt import layout
from torqueckpt.cli.main import whole

_PACKAGE = Path(layout.__file__).parent
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_CALL = re.compile(r"torqueckpt ([^;`]*)")
# Where messages come from that users and administrators read; commands' own errors name their own.
_ROOMS = ("errors.py", "batch", "chain", "checkpoint", "doctor", "files", "images", "lsf", "node")
_ROOMS += ("reports", "restart", "resubmit", "site", "store")
# What names no command, beginning with: the commands that show it.
_SHOWN_BY = {
    "--force if that node is known to be down": ("resume",),
    "--relocate ": ("resume", "resume-job"),
    "--accept-changed-files would": ("resume", "resume-job"),
    "--generation ": ("resume", "resume-job"),
    "their images lie on ": ("resume-job",),
    "--since ": ("report",),
    "{path}: {problem}; name {system}'s with --mom-priv": ("configure torque", "configure openpbs"),
    "--chkpnt DIR is needed": ("configure lsf",),
    "--method *: ": ("configure lsf",),
    "--chain *": ("link",),
    "job {job}: its newest image is needed": ("delete",),
}
# Other programs' options: theirs to know.
_OTHERS = ("systemctl ", "; sysctl ", "/etc/sysctl.d", "docker ", "pip install", "setsid --wait")


def _texts() -> Iterator[tuple[str, str]]:
    """(module, text) of all texts that name an option; of what is filled in, a star."""
    for room in _ROOMS:
        where = _PACKAGE / room
        for file in sorted(where.rglob("*.py")) if where.is_dir() else [where]:
            tree = ast.parse(file.read_text())
            apart = set[int]()  # docstrings, and the parts of what is filled in
            for node in ast.walk(tree):
                parts = [node.value] if isinstance(node, ast.Expr) else []
                apart.update(map(id, node.values if isinstance(node, ast.JoinedStr) else parts))
            for node in ast.walk(tree):
                text = _text(node) if id(node) not in apart else ""
                if _OPTION.search(text) and " " in text:
                    yield f"{file.relative_to(_PACKAGE)}", text


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        parts = (each.value if isinstance(each, ast.Constant) else "*" for each in node.values)
        return "".join(map(str, parts))
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _options(words: list[str]) -> set[str]:
    """The options of a command that is named by words, as far as they are commands."""
    command: click.Command = whole()
    while isinstance(command, click.Group) and words:
        context = click.Context(command)
        of_mom = words[0] in ("*", "{system}", "torque|openpbs")  # both are one command
        found = command.get_command(context, "torque" if of_mom else words[0])
        if found is None:
            break
        command, words = found, words[1:]
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts)}


@pytest.mark.parametrize(("module", "text"), sorted(set(_texts())))
def test_each_option_that_a_message_names_is_there(module: str, text: str) -> None:
    rest = text
    for call in _CALL.findall(text):
        assert set(_OPTION.findall(call)) <= _options(call.split()), call
        rest = rest.replace(call, "")
    left = set(_OPTION.findall(rest))
    if not left or any(other in text for other in _OTHERS):
        return
    begin = next((begin for begin in _SHOWN_BY if text.startswith(begin)), None)
    assert begin is not None, f"{text!r} names no command that has {left}"
    for command in _SHOWN_BY[begin]:
        assert left <= _options(command.split()), command
