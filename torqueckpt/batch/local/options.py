# SPDX-License-Identifier: MIT
"""What qsub's options ask of a job on this machine: played, refused, or named as not played.

Sources: qsub(1) of TORQUE 6.1.3 and OpenPBS 23.06, and both as they were seen to behave.  Where the
two differ, a word that only one of them has means what it means there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torqueckpt.errors import InvalidOption, InvalidResource
from torqueckpt.ifl import records
from torqueckpt.manifest import Directive

# letter → what its value must look like, and how that is said; None: the option has no value
_FORMS: dict[str, tuple[str, str] | None] = {
    "S": (r"(/[^,@]+(@[^,@]+)?)(,/[^,@]+(@[^,@]+)?)*", "an absolute path, or PATH@HOST,PATH"),
    "N": (r"[!-~]{1,256}", "1 to 256 characters without blanks"),
    "j": (r"oe|eo|n", "oe, eo or n"),
    "k": (r"n|[oed]+", "letters of o, e and d, or n"),
    "m": (r"[abefjnp]+", "letters of a, b, e and f, or n"),
    "p": (r"[+-]?\d{1,4}", "a number from -1024 to 1023"),
    "r": (r"[yn]", "y or n"),
    "K": (r"[1-9]\d*", "a number of seconds from 1 on"),
    **{letter: (r".+", "it is empty") for letter in "aAbcdDeiJLlMoPqRtTuwW"},
    **{letter: (r".*", "") for letter in "CFv"},
    **dict.fromkeys("EfGhInVxXz"),
}
WITH_VALUE = [letter for letter, form in _FORMS.items() if form is not None]
ALONE = [letter for letter, form in _FORMS.items() if form is None]

_PLAYED = frozenset("NcoejklvVSdwFtJWz")
_ARRAYS = frozenset("tJ")
_AS_THEY_ARE = frozenset("vF")  # of the others, blanks around the value are none of it
_NOTHING_TO_DO = (("m", "n"), ("m", "p"), ("r", "n"))
_WITHOUT_A_SERVER = frozenset({"nodect", "neednodes"})  # a server has counted them from nodes=
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})")
_MEMBER = "^array_index^"  # OpenPBS's, in -o and -e


class Slots(NamedTuple):
    """What of this node the job asks for: lines of its node file, processors, threads."""

    lines: int = 1
    ncpus: int = 0  # 0: not said
    threads: int = 0


class Asked(NamedTuple):
    """What the options come to.  not_played: those that have no effect here, as they were given."""

    last: Mapping[str, str]  # letter → its last value
    resources: tuple[str, ...]
    walltime: int | None  # seconds
    slots: Slots
    shell: str
    umask: int | None
    member: str  # of an array
    arguments: str  # -F, for the shell
    all_variables: bool
    not_played: tuple[str, ...]


def read(written: Iterable[Directive], given: Iterable[Directive], host: str) -> Asked:
    """Read a script's options, and the command line's, which overrule them.

    InvalidOption and InvalidResource for a value that qsub refuses, too.
    """
    lines, command = list(written), list(given)
    if any(each.option in _ARRAYS for each in command):
        lines = [each for each in lines if each.option not in _ARRAYS]
    every = [Directive(o, v if o in _AS_THEY_ARE else v.strip()) for o, v in (*lines, *command)]
    for each in every:
        _check(each)
    last = {each.option: each.value for each in every}
    resources = tuple(_items(v for o, v in every if o == "l"))
    left = [_said(each) for each in every if _idle(each, last)]
    slots, of_resources = _slots(resources, host)
    umask, of_attributes = _attributes(v for o, v in every if o == "W")
    return Asked(
        last=last,
        resources=resources,
        walltime=_walltime(resources),
        slots=slots,
        shell=_shell(last.get("S", ""), host),
        umask=umask,
        member=_member(last),
        arguments=" ".join(v for o, v in every if o == "F"),
        all_variables="V" in last,
        not_played=tuple(dict.fromkeys([*left, *of_resources, *of_attributes])),
    )


def variables(text: str) -> dict[str, str]:
    """Parse -v: NAME=VALUE, or NAME with its present value; commas may be quoted, or escaped."""
    found = {}
    for item in filter(None, _at_commas(text)):
        name, given, value = item.partition("=")
        if not name.strip():
            raise InvalidOption(option="v", value=text, problem="NAME=VALUE,… or NAME,…")
        found[name.strip()] = value if given else os.environ.get(name.strip(), "")
    return found


def expanded(option: str, path: str, known: Mapping[str, str]) -> str:
    """A path of -o or -e with $NAME and ${NAME} of the job's variables; others are refused."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(2)
        if name not in known:
            problem = f"${name} is no variable that is known before the job starts"
            raise InvalidOption(option=option, value=path, problem=problem)
        return known[name]

    return _VARIABLE.sub(value, path).replace(_MEMBER, known.get("PBS_ARRAYID", ""))


def _check(each: Directive) -> None:
    if each.option not in _FORMS:
        raise InvalidOption(option=each.option, value=each.value, problem="qsub has no such option")
    form = _FORMS[each.option]
    if form is None:
        return
    pattern, problem = form
    if not re.fullmatch(pattern, each.value, re.DOTALL):
        raise InvalidOption(option=each.option, value=each.value, problem=problem)
    if each.option == "p" and not -1024 <= int(each.value) <= 1023:
        raise InvalidOption(option=each.option, value=each.value, problem=problem)


def _idle(each: Directive, last: Mapping[str, str]) -> bool:
    """Whether this option has no effect here, and no later one of its letter took its place."""
    if each.option == "k":
        return "d" in each.value and last["k"] == each.value
    if each.option in _PLAYED or last[each.option] != each.value:
        return False
    return (each.option, each.value) not in _NOTHING_TO_DO


def _said(each: Directive) -> str:
    return f"-{each.option} {each.value}".rstrip()


def _member(last: Mapping[str, str]) -> str:
    for letter in _ARRAYS & set(last):
        value = last[letter]
        if not re.fullmatch(r"\d{1,7}", value):
            problem = "arrays are not played; -t N runs one member of it"
            raise InvalidOption(option=letter, value=value, problem=problem)
        return value
    return ""


def _shell(listed: str, host: str) -> str:
    """The path that -S has for this host, else the one for all hosts; "" for the user's own."""
    by_host = {
        place: path for path, _, place in (each.partition("@") for each in listed.split(","))
    }
    return by_host.get(host) or by_host.get(host.partition(".")[0]) or by_host.get("", "")


def _items(values: Iterable[str]) -> list[str]:
    """The items of all -l; blanks may stand after commas and around the equals sign."""
    found = []
    for value in values:
        for item in filter(None, (each.strip() for each in value.split(","))):
            name, equals, asked = item.partition("=")
            found.append(f"{name.strip()}{equals}{asked.strip()}")
    return found


def _walltime(resources: Iterable[str]) -> int | None:
    """The last walltime in seconds; any other limit is not kept on one machine."""
    for item in reversed(list(resources)):
        if item.partition("=")[0] == "walltime":
            found = records.seconds(item.partition("=")[2])
            if not found:
                raise InvalidResource(item=item, problem="walltime is [[hours:]minutes:]seconds")
            return found
    return None


def _slots(resources: Iterable[str], host: str) -> tuple[Slots, list[str]]:
    """What of this node the items of -l ask for, and the items that are not played, or in part."""
    asked = {name: value for name, _, value in (each.partition("=") for each in resources)}
    lines, ncpus, threads, left = 0, 0, 0, []
    for name, value in asked.items():
        item = f"{name}={value}"
        if name == "nodes":
            (lines, plain), ncpus = _nodes(item, value, host), ncpus
            left += [] if plain else [f"-l {item} (in part)"]
        elif name == "select":
            (lines, ncpus, threads), plain = _select(item, value, host)
            left += [] if plain else [f"-l {item} (in part)"]
        elif name == "ncpus":
            ncpus = _number(item, value)
        elif name not in {"walltime", "procs", *_WITHOUT_A_SERVER}:
            left.append(f"-l {item}" if value else f"-l {name}")
    if "procs" in asked:
        lines += _number(f"procs={asked['procs']}", asked["procs"])
    return Slots(max(lines, 1), ncpus, threads or ncpus), left


def _nodes(item: str, value: str, host: str) -> tuple[int, bool]:
    """TORQUE's nodes=: processors here, and whether that is all it asks for."""
    chunk, more, _ = value.partition("+")
    first, *words = chunk.split(":")
    count = _number(item, first) if first.isdigit() else 1
    ppn = [_number(item, word[4:]) for word in words if word.startswith("ppn=")]
    here = first.isdigit() or first.partition(".")[0] == host.partition(".")[0]
    return (ppn or [1])[-1], not more and count == 1 and here and len(words) == len(ppn)


def _select(item: str, value: str, host: str) -> tuple[Slots, bool]:
    """OpenPBS's select=: the first chunk, here, and whether that is all it asks for."""
    chunk, more, _ = value.partition("+")
    first, *words = chunk.split(":")
    count = _number(item, first) if first.isdigit() else 1
    words = words if first.isdigit() else [first, *words]
    asked = {name: given for name, _, given in (word.partition("=") for word in words)}
    known = [name for name in ("ncpus", "mpiprocs", "ompthreads") if name in asked]
    numbers = {name: _number(item, asked[name]) for name in known}
    here = asked.get("host", host).partition(".")[0] == host.partition(".")[0]
    ncpus = numbers.get("ncpus", 1)
    slots = Slots(numbers.get("mpiprocs", 1), ncpus, numbers.get("ompthreads", ncpus))
    return slots, not more and count == 1 and here and set(asked) <= {*known, "host"}


def _number(item: str, text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,3}", text):
        raise InvalidResource(item=item, problem="numbers there are whole ones from 1 on")
    return int(text)


def _attributes(values: Iterable[str]) -> tuple[int | None, list[str]]:
    """Of -W the umask, and what is not played; `torqueckpt run` blocks in any case."""
    umask, left = None, []
    for item in (each for value in values for each in re.split(r",(?=\s*\w+\s*=)", value)):
        name, _, value = (word.strip() for word in item.partition("="))
        if name == "umask":
            umask = _umask(value)
        elif name != "block":
            left.append(f"-W {item.strip()}")
    return umask, left


def _umask(value: str) -> int:
    """TORQUE's reading: octal with a 0 before it, else decimal."""
    if re.fullmatch(r"0[0-7]{1,3}", value):
        return int(value, 8)
    if re.fullmatch(r"0|[1-9]\d{0,2}", value) and int(value) <= 0o777:
        return int(value)
    problem = "octal digits after a 0, as 022"
    raise InvalidOption(option="W", value=f"umask={value}", problem=problem)


def _at_commas(text: str) -> Iterable[str]:
    """The items of a list in which quotes and backslashes protect commas, as OpenPBS reads it."""
    item, quote, rest = "", "", iter(text)
    for letter in rest:
        if letter == "\\":
            after = next(rest, "")
            item += after if after in ("", ",", '"', "'", "\\") else letter + after
        elif letter == quote:
            quote = ""
        elif letter in "\"'" and not quote:
            quote = letter
        elif letter == "," and not quote:
            yield item
            item = ""
        else:
            item += letter
    if quote:
        raise InvalidOption(option="v", value=text, problem=f"a quote {quote} is not closed")
    yield item
