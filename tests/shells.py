# SPDX-License-Identifier: MIT
"""Shells that run jobs: those that are installed, and a script of each that counts.

A job's login shell is the one that MOM starts as the session's leader, its script's shell the one
that the first line names.
"""

from __future__ import annotations

import re
import shutil

from tests.support import MAY_END, lines

_NOTICE = re.compile(r"\AWarning: no access to tty \(.*\)\.\nThus no job control in this shell\.\n")
SHELLS = ("bash", "dash", "zsh", "ksh", "tcsh", "csh", "fish")
_C_SHELL = """#!{shell} -f
@ i = 0
while ($i < {last})
    @ i++
    echo line $i
    sleep {pause}
end
while (! -e "$PBS_O_WORKDIR/{may_end}")
    sleep 0.1
end
echo the end
exit {status}
"""
_FISH = """#!{shell}
set i 0
while test $i -lt {last}
    set i (math $i + 1)
    echo line $i
    sleep {pause}
end
while not test -e "$PBS_O_WORKDIR/{may_end}"
    sleep 0.1
end
echo the end
exit {status}
"""
_SH = """#!{shell}
i=0
while [ $i -lt {last} ]; do
    i=$((i + 1))
    echo line $i
    sleep {pause}
done
until [ -e "$PBS_O_WORKDIR/{may_end}" ]; do sleep 0.1; done
echo the end
exit {status}
"""
_TEXTS = {"csh": _C_SHELL, "tcsh": _C_SHELL, "fish": _FISH}
# What each shell reads first when it is a login shell, with a line in its language that prints
LOGIN_FILES = {
    "bash": ".bash_profile",
    "dash": ".profile",
    "ksh": ".profile",
    "zsh": ".zlogin",
    "csh": ".login",
    "tcsh": ".login",
    "fish": ".config/fish/config.fish",
}


def found() -> dict[str, str]:
    """Installed shells: name → program."""
    programs = {name: shutil.which(name) for name in SHELLS}
    return {name: program for name, program in programs.items() if program is not None}


def counting(name: str, program: str, last: int, pause: float = 0.1, status: int = 7) -> str:
    """A script of that shell's: lines up to the last, then one more once the test lets it end."""
    text = _TEXTS.get(name, _SH)
    return text.format(shell=program, last=last, pause=pause, status=status, may_end=MAY_END)


def written(last: int) -> str:
    """What it has written then."""
    return f"{lines(last)}the end\n"


def without_notice(text: str) -> str:
    """A job's output without what tcsh writes first, as a login shell that has no terminal."""
    return _NOTICE.sub("", text)
