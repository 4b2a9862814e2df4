# SPDX-License-Identifier: MIT
"""A slip in the settings file is told with file and line, and never taken for something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torqueckpt import settings
from torqueckpt.errors import SettingsError
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.settings import Settings

_CONF = Path(__file__).resolve().parents[2] / "conf" / "torqueckpt.toml"


def _told(text: str) -> str:
    with pytest.raises(SettingsError) as refused:
        settings.parse(text, "/etc/site.toml")
    return str(refused.value)


def _options() -> dict[str, str]:
    """Option → its commented line in the default configuration."""
    lines = _CONF.read_text().splitlines()
    names = set(Settings._fields)
    found = {}
    for line in lines:
        name = line.removeprefix("# ").partition(" = ")[0]
        if line.startswith("# ") and name in names:
            assert name not in found, f"{name} stands there twice"
            found[name] = line.removeprefix("# ")
    return found


def test_the_default_configuration_lists_every_option_once() -> None:
    assert sorted(_options()) == sorted(Settings._fields)


@pytest.mark.parametrize("name", sorted(_options()))
def test_an_option_of_the_default_configuration_uncommented_changes_nothing(name: str) -> None:
    assert settings.parse(_options()[name], "conf") == Settings()


def test_the_default_configuration_with_all_options_uncommented_changes_nothing() -> None:
    assert settings.parse("\n".join(_options().values()), "conf") == Settings()


def test_the_default_configuration_has_no_other_line_that_looks_like_an_option() -> None:
    known = set(_options().values())
    for line in _CONF.read_text().splitlines():
        assert line == "" or line.startswith("#"), line
        if " = " in line and line.removeprefix("# ") not in known:
            assert not line.split(" = ")[0].removeprefix("# ").isidentifier(), line


def test_an_unknown_option_names_file_line_and_the_nearest() -> None:
    told = _told("# ours\ndepth = 2\n\ndump_timeout_second = 5\n")
    assert told == (
        "/etc/site.toml:4: unknown option 'dump_timeout_second'; did you mean dump_timeout_seconds?"
    )


def test_an_unknown_option_like_no_other_names_file_and_line() -> None:
    assert _told("zzz = 1\n") == "/etc/site.toml:1: unknown option 'zzz'"


def test_a_table_is_an_unknown_option() -> None:
    assert _told("depth = 3\n[criu]\npath = '/x'\n").startswith("/etc/site.toml:2: unknown option")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("depth = '3'", "depth: int was expected"),
        ("depth = 3.0", "depth: int was expected"),
        ("depth = true", "depth: int was expected"),
        ("depth = -1", "depth: must not be negative"),
        ("depth = 0", "depth: at least 1"),
        ("interval_minutes = 0", "interval_minutes: at least 1"),
        ("dump_timeout_seconds = 0", "dump_timeout_seconds: at least 1"),
        ("restore_timeout_seconds = 0", "restore_timeout_seconds: at least 1"),
        ("store_shared = 1", "store_shared: bool was expected"),
        ("store = 7", "store: an absolute path was expected"),
        ("store = 'images'", "store: an absolute path was expected"),
        ("store = ''", "store: an absolute path was expected"),
        ("store = '/a/../b'", "store: an absolute path was expected"),
        ("tree = 'leaf'", "tree: 'leaf' is none of exec, session"),
        ("checkpointers = ['criu', 3]", "checkpointers: a list of words was expected"),
        ("exec_match = ['a']", "exec_match: str was expected"),
    ],
)
def test_a_value_of_a_wrong_kind_names_option_and_line(line: str, told: str) -> None:
    assert _told(f"\n{line}\n").startswith(f"/etc/site.toml:2: {told}")


@pytest.mark.parametrize("text", ["depth = ", "depth 3", "depth = 1\ndepth = 2", "[", "= 3", "\0"])
def test_what_is_no_toml_names_the_file_and_the_line(text: str) -> None:
    told = _told(f"# one\n{text}\n")
    assert told.startswith("/etc/site.toml: ") and "line" in told


@given(st.text(max_size=80))
def test_whatever_the_text_it_is_settings_or_an_error_of_ours(text: str) -> None:
    try:
        assert isinstance(settings.parse(text, "site"), Settings)
    except SettingsError:
        return


def test_a_missing_file_means_the_defaults(tmp_path: Path) -> None:
    assert settings.load(tmp_path / "none.toml") == Settings()


def test_a_file_that_is_read_sets_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text("depth = 7\nstore = '/scratch/images'\n")
    file.chmod(0o644)
    assert settings.load(file) == Settings(depth=7, store=Path("/scratch/images"))


def test_a_file_that_is_no_utf8_is_told(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_bytes(b"# caf\xe9\n")
    with pytest.raises(SettingsError, match="cannot be read"):
        settings.load(file)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_root_refuses_a_file_that_others_can_write(root: None, tmp_path: Path, mode: int) -> None:
    file = tmp_path / "site.toml"
    file.write_text("depth = 7\n")
    file.chmod(mode)
    with pytest.raises(SettingsError, match="writable by root only"):
        settings.load(file)


def test_root_refuses_a_users_file_also_while_acting_as_him(user: Owner, place: Path) -> None:
    file = place / "site.toml"
    file.write_text("depth = 7\n")
    file.chmod(0o644)
    os.chown(file, user.uid, user.gid)
    with privileges.acting_as(user), pytest.raises(SettingsError, match="must belong to root"):
        settings.load(file)
