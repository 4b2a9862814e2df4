# SPDX-License-Identifier: MIT
"""The settings: one TOML file, a default for every option, an unknown key is an error."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from torqueckpt import file_rules, paths
from torqueckpt.errors import SettingsError


class Settings(NamedTuple):
    """Every option at its default; conf/torqueckpt.toml explains each (a test compares the two)."""

    store: Path = Path("/var/spool/checkpoint")
    store_shared: bool = False
    depth: int = 3
    keep_days: int = 0
    keep_ended_days: int = 7
    user_quota_mib: int = 0
    store_limit_mib: int = 0
    reserve_mib: int = 512
    prune_interval_minutes: int = 60
    compress: str = "off"
    checkpointer: str = "criu"
    checkpointers: tuple[str, ...] = ("criu", "blcr", "altix")  # the order of "auto"
    criu_path: Path = Path("/")  # "/" stands for the one that `make install` put beside the package
    criu_sys_ptrace: bool = False
    criu_net_admin: bool = False
    altix_dir: Path = Path("/usr/local/bin")
    altix_dump_options: tuple[str, ...] = ("-q", "-p", "%pid", "-od", "%dir")
    altix_restore_options: tuple[str, ...] = ("-drp", "-cwd", "%cwd", "-od", "%dir")
    blcr_dir: Path = Path("/usr/bin")
    dmtcp_dir: Path = Path("/usr/local/bin")
    dmtcp_gzip: bool = False
    tree: str = "exec"
    exec_match: str = ""
    login_shell: bool = True
    leave_out: tuple[str, ...] = ("ssh-agent", "gpg-agent", "dbus-daemon", "dbus-launch")
    pre_dump: str = "off"
    dump_timeout_seconds: int = 600
    restore_timeout_seconds: int = 600
    lock_timeout_seconds: int = 120
    repeat_window_seconds: int = 2
    pid_wait_seconds: int = 20
    files: tuple[str, ...] = ()
    snapshot_limit_mib: int = 64
    temporary_directories: tuple[str, ...] = ("/tmp", "/dev/shm", "/run", "$TMPDIR")
    accept_changed_files: bool = False
    interval_minutes: int = 10
    jitter_seconds: int = 60
    dumps_at_once: int = 1
    dump_wait_seconds: int = 600
    max_frozen_percent: int = 50
    mtbf_hours: int = 720
    overhead_percent: int = 5
    periodic_poll_seconds: int = 10
    periodic_grace_seconds: int = 5
    chain_margin_seconds: int = 30
    chain_queues: tuple[str, ...] = ()
    chain_links: int = 100
    chain_idle_links: int = 3
    pbs_library: Path = Path("/")  # "/" stands for the one that is found (docs/bindings.md)
    local_home: Path = Path("/var/spool/torqueckpt")
    pointer_dir: Path = Path("/var/spool/checkpoint-pointers")
    metrics_textfile: Path = Path("/")  # "/" stands for none
    vo_variables: tuple[str, ...] = ("LCG_GFAL_VO", "GLITE_SD_VO")
    modules_dir: Path = Path("/")  # "/" stands for none: only the Altix checkpointer has modules
    signature_key: Path = Path("/")  # "/" stands for signature.key beside the settings file

    def criu(self) -> Path:
        return paths.installation() / "criu" / "criu" if _unset(self.criu_path) else self.criu_path

    def key(self) -> Path:
        own = paths.settings_file().with_name("signature.key")
        return own if _unset(self.signature_key) else self.signature_key

    def writes_metrics(self) -> bool:
        return not _unset(self.metrics_textfile)

    def has_modules(self) -> bool:
        return not _unset(self.modules_dir)


_AT_LEAST_ONE = {
    "chain_idle_links": "a link that a crash ends early is no reason to give up",
    "chain_links": "the job itself is one",
    "depth": "the newest image is never removed",
    "dumps_at_once": "else there would be no checkpoint",
    "interval_minutes": "a job needs time of its own",
    "mtbf_hours": "every node fails some time",
    "overhead_percent": "a checkpoint takes time",
    "dump_timeout_seconds": "a dump needs time",
    "periodic_poll_seconds": "the server has other things to do too",
    "restore_timeout_seconds": "a restore needs time",
}
_CHOICES = {
    "tree": ("exec", "session"),
    "compress": ("off", "on", "space"),
    "pre_dump": ("off", "auto"),
}


def load(file: Path | None = None) -> Settings:
    """Read the settings file; SettingsError names file, line and the nearest known option.

    A missing file means the defaults.  Root refuses a file that others can write.
    """
    file = paths.settings_file() if file is None else file
    try:
        with open(file, "rb") as opened:
            status = os.fstat(opened.fileno())
            text = opened.read().decode()
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError(file=file, problem=f"cannot be read: {problem}") from problem
    if os.getuid() == 0 and (status.st_uid != 0 or status.st_mode & 0o022):
        raise SettingsError(file=file, problem="must belong to root and be writable by root only")
    return parse(text, str(file))


def parse(text: str, file: str) -> Settings:
    """Parse settings from TOML text; `file` is for the messages."""
    if not any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines()):
        return Settings()  # the common case, without importing a TOML reader
    values = _read_toml(text, file)
    types = {name: type(default) for name, default in Settings._field_defaults.items()}
    for name, value in values.items():
        where = f"{file}:{_line_of(name, text)}"
        if name not in types:
            raise SettingsError(file=where, problem=f"unknown option {name!r}{_nearest(name)}")
        values[name] = _checked(name, value, types[name], where)
    return Settings(**values)


def _read_toml(text: str, file: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values: dict[str, Any] = tomllib.loads(text)
        return values
    except tomllib.TOMLDecodeError as broken:
        raise SettingsError(file=file, problem=str(broken)) from broken


def _checked(name: str, value: object, kind: type, where: str) -> object:
    if issubclass(kind, Path):
        if not isinstance(value, str) or not value.startswith("/") or ".." in Path(value).parts:
            raise SettingsError(file=where, problem=f"{name}: an absolute path was expected")
        return Path(value)
    if kind is tuple:
        return _words(name, value, where)
    if type(value) is not kind:
        raise SettingsError(file=where, problem=f"{name}: {kind.__name__} was expected")
    if isinstance(value, int) and not isinstance(value, bool) and value < 0:
        raise SettingsError(file=where, problem=f"{name}: must not be negative")
    if name in _AT_LEAST_ONE and value == 0:
        raise SettingsError(file=where, problem=f"{name}: at least 1, {_AT_LEAST_ONE[name]}")
    if name in _CHOICES and value not in _CHOICES[name]:
        known = ", ".join(_CHOICES[name])
        raise SettingsError(file=where, problem=f"{name}: {value!r} is none of {known}")
    return value


def _words(name: str, value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SettingsError(file=where, problem=f"{name}: a list of words was expected")
    for item in value if name == "files" else ():
        try:
            file_rules.check(item)
        except file_rules.BadRule as bad:
            raise SettingsError(file=where, problem=f"{name}: {bad}") from bad
    return tuple(value)


def _line_of(name: str, text: str) -> int:
    for number, line in enumerate(text.splitlines(), 1):
        if line.split("=")[0].strip().strip("\"'[]") == name:
            return number
    return 1


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, Settings._fields, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _unset(path: Path) -> bool:
    return path == Path("/")
