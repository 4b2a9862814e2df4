# SPDX-License-Identifier: MIT
"""Find what on this node removes files that a restart needs: logind, tmpfiles, cron, epilogues."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from torqueckpt.doctor.checks import Check, Node, failure, mom_priv, ok, warning
from torqueckpt.findings import Finding
from torqueckpt.process.job_processes import running

_CONFIG_DIRS = ("/usr/lib", "/usr/local/lib", "/run", "/etc")  # the later one wins
_REMOVES_IPC = re.compile(r"RemoveIPC\s*=\s*(\w+)", re.IGNORECASE)
_TRUE = ("1", "yes", "y", "true", "t", "on")
_DAY = 86400
_UNITS = {
    **dict.fromkeys(("", "s", "sec"), 1.0),
    **dict.fromkeys(("m", "min"), 60.0),
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    **dict.fromkeys(("us", "ms"), 0.0),
}
_AGED = "dDevqQ"  # tmpfiles.d(5): types whose content is cleaned by age
_EMPTIED = "DrR"  # removed, or emptied, at each boot
_SPARED = "xX"
# In scripts: what deletes, and where jobs keep what a restart needs.
_DELETES = re.compile(
    r"(?:^|[\s;&|(`/])(?:rm|tmpwatch|tmpreaper|ipcrm|shred|unlink)\s|\s-delete\b|find\b.*\brm\b"
)
_WHERE_JOBS_WRITE = ("/dev/shm", "/tmp", "/var/tmp", "/scratch", "$TMPDIR", "${TMPDIR", "$HOME")
_LARGEST = 1 << 20  # what is more is no script


def logind(node: Node) -> Iterator[Finding]:
    """Check RemoveIPC, which removes a user's shared memory at the end of his last session."""
    value, where = "", "/etc/systemd/logind.conf"
    for file in _configured("systemd/logind.conf", "systemd/logind.conf.d"):
        for _, line in _lines(file):
            found = _REMOVES_IPC.fullmatch(line)
            if found:
                value, where = found.group(1).lower(), str(file)
    runs = running("systemd-logind") or running("elogind")
    told = "logind removes a user's shared memory when he logs out, that of his jobs with it"
    fix = f"RemoveIPC=no below [Login] in {where}; systemctl restart systemd-logind"
    if value in _TRUE:
        yield failure(f"{where}: RemoveIPC={value}: {told}", fix)
    elif not value and runs:
        yield warning(f"RemoveIPC is not set, and many systems take that for yes: {told}", fix)
    else:
        yield ok(f"RemoveIPC={value}" if value else "no logind")


def tmpfiles(node: Node) -> Iterator[Finding]:
    """Check tmpfiles rules that reach the store, or remove job files before their images go."""
    rules = _tmpfiles_rules()
    spared = [words[1] for _, words in rules if words[0][0] in _SPARED]
    found = False
    for file, words in rules:
        kind, path, age = words[0], words[1], words[5] if len(words) > 5 else "-"
        seconds = _seconds(age) if kind[0] in _AGED else None
        for place in _needed(node):
            if not _reaches(path, place) or any(_reaches(each, place) for each in spared):
                continue
            if seconds is not None or (kind[0] in _EMPTIED and "!" not in kind):
                found = True
                fix = f"echo 'x {place}' >>/etc/tmpfiles.d/torqueckpt.conf"
                yield failure(f"{file}: {' '.join(words)} removes what is in {place}", fix)
        keep = (node.settings.keep_ended_days or 7) * _DAY
        if path in ("/tmp", "/var/tmp", "/dev/shm") and seconds is not None and seconds < keep:
            found = True
            fix = f"an age of {keep // _DAY}d or more, in a copy of it in /etc/tmpfiles.d"
            told = f"{file}: files in {path} go after {age}, images after {keep // _DAY} days"
            yield warning(told, fix)
    if not found:
        yield ok(f"none of {len(rules)} rules reaches what a restart needs")


def boots(node: Node) -> Iterator[Finding]:
    """Check that checkpoints copy what lies where a boot empties what everybody may write to."""
    known = [each for each in node.settings.temporary_directories if each.startswith("/")]
    emptied = ["/tmp"] if os.path.ismount("/tmp") else []
    for file, words in _tmpfiles_rules():
        path = os.path.realpath(words[1])
        if words[0][0] != "D" or not _everybodys(path):
            continue
        if any(f"{path}/".startswith(f"{each}/") for each in known):
            emptied.append(path)
            continue
        listed = ", ".join(f'"{each}"' for each in (*node.settings.temporary_directories, path))
        fix = f"temporary_directories = [{listed}] in torqueckpt.toml"
        told = "empties it at each boot, and checkpoints copy none of jobs' files there"
        yield warning(f"{file}: {' '.join(words)} {told}", fix)
        return
    where = ", ".join(sorted({*emptied, "/dev/shm"}))
    limit = node.settings.snapshot_limit_mib
    yield ok(f"a boot empties {where}: jobs' files there come back, up to {limit} MiB")


def scripts(node: Node) -> Iterator[Finding]:
    """Check epilogues and cron jobs for lines that delete where jobs or images lie."""
    looked, found = 0, False
    for file in _scripts():
        looked += 1
        for number, line in _lines(file):
            if not _DELETES.search(line):
                continue
            place = next((str(each) for each in _needed(node) if str(each) in line), "")
            if place:
                found = True
                fix = f"take {place} out of it; torqueckpt prune removes what is to go"
                yield failure(f"{file}:{number}: {line[:80]}: deletes in {place}", fix)
            elif any(each in line for each in _WHERE_JOBS_WRITE):
                found = True
                fix = "spare a job that has an image: torqueckpt list --job $1 prints it"
                yield warning(f"{file}:{number}: {line[:80]}: may delete files of images", fix)
    if not found:
        yield ok(f"none of {looked} scripts deletes what a restart needs")


def _tmpfiles_rules() -> list[tuple[Path, list[str]]]:
    found = (
        (file, line.split()) for file in _configured(None, "tmpfiles.d") for _, line in _lines(file)
    )
    return [(file, words) for file, words in found if len(words) > 1]


def _everybodys(path: str) -> bool:
    """Whether a directory is there in which everybody may make files."""
    try:
        return bool(os.stat(path).st_mode & stat.S_IWOTH)
    except (OSError, ValueError):
        return False


def _scripts() -> Iterator[Path]:
    for _, place in mom_priv():
        names = ("epilogue", "epilogue.user", "epilogue.parallel", "epilogue.precancel")
        yield from (file for name in names if (file := place / name).is_file())
    for directory in ("/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly"):
        yield from (file for file in sorted(Path(directory).glob("*")) if file.is_file())


def _needed(node: Node) -> tuple[Path, ...]:
    chosen = node.settings
    return (chosen.store, chosen.pointer_dir, chosen.local_home)


def _configured(name: str | None, directory: str) -> list[Path]:
    """The files that systemd reads, in its order.

    One in /etc replaces one of that name elsewhere.
    """
    found: dict[str, Path] = {}
    for top in _CONFIG_DIRS:
        for file in sorted(Path(top, directory).glob("*.conf")):
            found[file.name] = file
    first = [] if name is None else [Path(top, name) for top in _CONFIG_DIRS]
    last = [file for _, file in sorted(found.items()) if file.exists()]
    return [*(file for file in first if file.is_file()), *last]


def _lines(file: Path) -> list[tuple[int, str]]:
    """The numbered lines without comments and blanks; none of a file that cannot be read."""
    try:
        if not file.is_file() or os.stat(file).st_size > _LARGEST:
            return []
        text = file.read_text("utf-8", "replace")
    except OSError:
        return []
    numbered = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in numbered if line and line[0] not in "#;"]


def _reaches(pattern: str, place: Path) -> bool:
    """Whether a rule's glob matches the place itself, or a directory above it."""
    return any(fnmatchcase(str(each), pattern) for each in (place, *place.parents))


def _seconds(age: str) -> float | None:
    """The seconds of 10d, 1w2d or ~5d; None for "-"."""
    parts = re.findall(r"([0-9]+)\s*([a-z]*)", age.lower().partition(":")[2] or age.lower())
    return sum(int(n) * _UNITS.get(unit, 1.0) for n, unit in parts) if parts else None


CHECKS = (
    Check("cleaners", "RemoveIPC", logind),
    Check("cleaners", "tmpfiles", tmpfiles),
    Check("cleaners", "boot", boots),
    Check("cleaners", "epilogue and cron", scripts),
)
