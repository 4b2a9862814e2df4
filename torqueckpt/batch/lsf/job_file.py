# SPDX-License-Identifier: MIT
"""Read the user's command from LSF's job file, where it stands as he wrote it.

LSF puts the command into JOB_STARTER's line as text, and quotes nothing.  Behind
`lsf-jobstarter; exit $?;` no shell ever runs it: the starter takes it from the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torqueckpt.errors import BadArguments

STARTER = "lsf-jobstarter"
USAGE = f"JOB_STARTER = {STARTER}; exit $?; %USRCMD"

_BEGIN = b"# LSBATCH: User input\n"
_PREFIX = re.compile(STARTER.encode() + rb"[ \t]*;[ \t]*exit[ \t]+\$\?[ \t]*;[ \t]?")
# What LSF writes behind the command; it is not the command's, if that says the same.
_END, _BEFORE_END = b"\n# LSBATCH: End user input\n", b"\nExitStat=$?\nwait"


def command(environment: Mapping[str, str]) -> str:
    """The command behind JOB_STARTER's own words in the file that LSB_JOBFILENAME names."""
    name = environment.get("LSB_JOBFILENAME", "")
    try:
        data = Path(name).read_bytes() if name else b""
    except OSError as problem:
        raise _none(f"{name}: {problem.strerror}") from problem
    found = _PREFIX.search(data, max(data.find(_BEGIN), 0))
    if found is None:
        raise _none(f"no command: it stands in no line of {name or 'LSB_JOBFILENAME'}")
    text, end, _ = data[found.end() :].rpartition(_END)
    text = text.removesuffix(_BEFORE_END) if end else data[found.end() :]
    return text.decode("utf-8", "surrogateescape")


def _none(problem: str) -> BadArguments:
    return BadArguments(program=STARTER, problem=problem, usage=USAGE)
