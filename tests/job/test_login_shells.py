# SPDX-License-Identifier: MIT
"""Jobs of each login shell with a script of each shell, held and killed under the local MOM."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests import accounts, shells
from tests.support import Running, Site, User, lines

FOUND = shells.found()
CSHS_OWN = {  # it says so whenever it begins
    "Warning: no access to tty (Bad file descriptor).",
    "Thus no job control in this shell.",
}
LOGIN_TEXT = "echo welcome\n"


@pytest.fixture
def logs_in_with(user: User) -> Iterator[Callable[[str], None]]:
    """Gives the user a login shell, whose login file prints a line."""

    def change(shell: str) -> None:
        accounts.change("usermod", "-s", FOUND[shell], user.name)
        file = user.home / shells.LOGIN_FILES[shell]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(LOGIN_TEXT)

    yield change
    accounts.change("usermod", "-s", "/bin/bash", user.name)
    for name in shells.LOGIN_FILES.values():
        (user.home / name).unlink(missing_ok=True)


@pytest.mark.parametrize("login", shells.SHELLS)
def test_each_line_is_there_after_a_hold_and_after_a_crash(
    site: Site, user: User, logs_in_with: Callable[[str], None], login: str
) -> None:
    """With scripts of its own, and of those that keep stdout where they found it, and do not;
    tests/batch has all pairs."""
    if login not in FOUND:
        pytest.skip(f"there is no {login}")
    logs_in_with(login)
    for name in sorted({login, "bash", "tcsh"} & FOUND.keys()):
        script = user.script(shells.counting(name, FOUND[name], 40, 0.05), user.directory())
        running = site.start(user, script, "-c", "enabled")
        running.wait_for_line(5)
        assert site.call(user, "hold", running.job).returncode == 0
        assert site.call(user, "release", running.job).returncode == 0
        site.wait_for_restart(running)
        assert site.call(user, "checkpoint", running.job).returncode == 0
        running.crash()
        resumed = site.resume(user, running.job, running.directory)
        assert resumed.wait() == 7, (login, name)
        assert _from_line_1(resumed) == shells.written(40), (login, name)
        assert not set(resumed.err().splitlines()) - CSHS_OWN, (login, name)


def _from_line_1(running: Running) -> str:
    greeting, first, rest = running.out().partition(lines(1))
    assert "welcome\n" in greeting
    return first + rest
