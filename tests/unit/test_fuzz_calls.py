# SPDX-License-Identifier: MIT
"""Words that come to root's programs: a call, or one of our own errors; and texts of programs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from torqueckpt import settings as own_settings
from torqueckpt.batch.openpbs.calls import ActionCall
from torqueckpt.batch.torque.calls import MomCall
from torqueckpt.checkpointers.base import Dump, Restore
from torqueckpt.checkpointers.criu import log
from torqueckpt.checkpointers.registry import load
from torqueckpt.errors import BadArguments, InvalidJobId, SettingsError, TorqueCkptError
from torqueckpt.hooks import rootdoor
from torqueckpt.identity import is_lineage_name
from torqueckpt.settings import Settings

_EVIL = st.sampled_from(
    ["", "-", "--", "..", "../x", "/etc", "\0", "\n", ";id", "$(id)", "12.srv;id", "12.srv\n", "²"]
)
_WORDS = st.one_of(
    _EVIL,
    st.sampled_from(["0", "1", "15", "7", "-7", "4241", "999999999", "9" * 30, "openpbs"]),
    st.sampled_from(["12.srv", "12[3].srv", "ann", "root", "users", "/ckpt/12.srv.CK", "ckpt.1"]),
    st.text(max_size=12),
)
_LISTS = {
    "torque": ["4241", "12.srv", "ann", "users", "/ckpt/12.srv.CK", "ckpt.12.srv.1", "0", "3"],
    "role": ["4241", "12.srv", "ann", "/ckpt/12.srv.CK", "ckpt.12.srv.1", "0", "role", "3"],
    "2008": ["4241", "12.srv", "ann", "/ckpt/12.srv.CK", "ckpt.12.srv.1", "15", "3"],
    "restart": ["4241", "12.srv", "ann", "users", "/ckpt/12.srv.CK", "ckpt.12.srv.1"],
    "openpbs": ["openpbs", "4241", "12.srv", "ann", "1", "/ckpt/12.srv.CK/00000001", "15"],
    "openpbs restart": ["openpbs", "-1", "12.srv", "ann", "1", "/ckpt/12.srv.CK/00000001"],
}


@st.composite
def _call(draw: st.DrawFn) -> list[str]:
    """A list that ships, some of its words others, cut off or with more of them."""
    words = list(_LISTS[draw(st.sampled_from(sorted(_LISTS)))])
    for _ in range(draw(st.integers(0, 3))):
        words[draw(st.integers(0, len(words) - 1))] = draw(_WORDS)
    return (words + draw(st.lists(_WORDS, max_size=2)))[: draw(st.integers(0, 9))]


@given(_call())
def test_whatever_mom_passes_no_path_leads_up_and_no_name_out(argv: list[str]) -> None:
    for parse in (MomCall.checkpoint, MomCall.restart, ActionCall.checkpoint, ActionCall.restart):
        try:
            call = parse(argv)
        except (BadArguments, InvalidJobId) as refused:
            assert refused.exit_code in (64, 65)
            continue
        assert "/" not in call.name and call.name not in (".", "..") and "/" not in call.job_id
        assert call.directory is None or call.directory.is_absolute()
        assert call.directory is None or ".." not in call.directory.parts


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[object, ...]]]:
    """The door as root opens it, up to where it would act; gives what it would do."""
    asked: list[tuple[object, ...]] = []

    def restore(*words: object) -> int:
        asked.append(("restore", *words))
        return 0

    def dump(verb: str, user: str, pid: int, end: bool, job: str) -> int:
        assert verb == "dump" or "." not in job
        asked.append(("dump", user, pid))
        return 0

    def make_store(user: str) -> int:
        asked.append(("store", user))
        return 0

    monkeypatch.setattr(rootdoor, "_make_store", make_store)
    monkeypatch.setattr(rootdoor, "_restore", restore)
    monkeypatch.setattr(rootdoor, "_dump", dump)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    yield asked


_DOOR = st.one_of(
    st.tuples(st.just("restore"), st.just("12.srv@1700000000"), st.just("3"), st.just("13.srv")),
    st.tuples(st.just("dump"), st.just("4242"), st.just("15"), st.just("13.srv")),
    st.tuples(st.just("suspend"), st.just("4242"), st.just("15"), st.just("13[2]")),
    st.tuples(st.just("store")),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    _DOOR,
    st.dictionaries(st.integers(0, 3), _WORDS, max_size=2),
    st.lists(_WORDS, max_size=1),
    st.one_of(
        _WORDS, st.sampled_from(["65534", "0", "-1", "1e3", " 7", "+7", "7_0", "4294967296"])
    ),
)
def test_whatever_a_user_says_at_the_door_is_done_for_himself_or_refused(
    door: list[tuple[object, ...]],
    words: tuple[str, ...],
    others: dict[int, str],
    more: list[str],
    caller: str,
) -> None:
    argv = [others.get(n, word) for n, word in enumerate(words)] + more
    before = os.environ.copy()
    door.clear()
    try:
        if "\0" not in caller:
            os.environ["SUDO_UID"] = caller
        with suppress(TorqueCkptError):
            rootdoor._open(argv)
    finally:
        os.environ.clear()
        os.environ.update(before)
    for verb, user, *rest in door:
        assert caller.isdigit() and int(caller) > 0 and user != "root"
        if verb == "restore":
            assert is_lineage_name(str(rest[0])) and isinstance(rest[1], int)
        elif verb == "store":
            assert rest == []
        else:
            assert isinstance(rest[0], int) and 0 <= rest[0] < 1 << 31


_KNOWN = ["Can't open file a on restore: x", "File a has bad size 1 (expect 2)", "tty slave master"]


@given(
    st.one_of(
        st.text(),
        st.lists(
            st.tuples(
                st.sampled_from(["Error (x): ", "Error (", "Warn (x): ", "Error " * 9]),
                st.one_of(st.text(max_size=9), st.sampled_from(_KNOWN)),
                st.integers(1, 400),
            ).map(lambda part: part[0] + part[1] * part[2]),
            max_size=4,
        ).map("\n".join),
    )
)
def test_whatever_a_log_says_there_is_a_reason_of_one_line(text: str) -> None:
    assert len(log.reason_in(text).splitlines()) <= 1


@pytest.mark.parametrize("part", ["tty ", "File ", "Error (", "Can't open file a on restor", "("])
def test_a_log_of_one_endless_line_holds_nobody_up(part: str) -> None:
    """The log is in the owner's directory."""
    began = time.process_time()
    log.reason_in("Error (x): " + part * (65536 // len(part)))
    assert time.process_time() - began < 3


_OPTION = st.sampled_from(Settings._fields)
_TOML = st.one_of(
    st.sampled_from(
        ['"x"', '"/x"', '"/../x"', "-1", "0", "1", "true", "[]", '["a=b"]', "1.5", "{}"]
    ),
    st.sampled_from(["1979-05-27", "inf", "9" * 400, '["**=snapshot"]', '"\\u0000"', "[[1]]"]),
    st.text(max_size=8),
)


@given(st.lists(st.tuples(_OPTION, _TOML), max_size=3))
def test_whatever_an_option_is_set_to_it_is_of_its_kind_or_an_error_that_names_it(
    given_to: list[tuple[str, str]],
) -> None:
    text = "".join(f"{name} = {value}\n" for name, value in given_to)
    try:
        found = own_settings.parse(text, "site")
    except SettingsError as refused:
        assert "site" in str(refused)
        return
    for name, default in Settings._field_defaults.items():
        assert isinstance(getattr(found, name), type(default))


_SCRIPT = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [b"ckpt_sh_1.dmtcp", b"/", b"..", b"\0", b" ", b"ckpt_", b".dmtcp", b"\\", b"\n"]
        ),
    ),
    max_size=8,
).map(b"".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_SCRIPT, st.one_of(st.binary(max_size=8), st.sampled_from([b"43407", b"-1", b"1;id"])))
@example(b"ckpt_\0.dmtcp", b"")
def test_whatever_dmtcp_has_left_nothing_comes_from_outside(
    tmp_path: Path, text: bytes, port: bytes
) -> None:
    image, place = tmp_path / "lineage" / "1.partial" / "image", tmp_path / "lineage" / "dmtcp"
    for each in (image, place):
        each.mkdir(parents=True, exist_ok=True)
    outside = tmp_path / "ckpt_sh_1.dmtcp"
    outside.touch()
    (place / outside.name).touch()
    (place / "dmtcp_restart_script_1.sh").write_bytes(text)
    if not (place / "dmtcp_restart_script.sh").is_symlink():
        (place / "dmtcp_restart_script.sh").symlink_to("dmtcp_restart_script_1.sh")
    (place / "port").write_bytes(port)
    dmtcp, dump = load("dmtcp", Settings(dmtcp_dir=tmp_path)), Dump(1, image, image, False, False)
    with suppress(OSError):  # translated by dumping._files_of
        assert dmtcp.dump_argv(dump)[2].isdigit()
    with suppress(OSError):
        dmtcp.after_dump(dump)
    dmtcp.settled(Restore(image, image, False, ()), lambda _: "")
    assert outside.exists()
    assert set(os.listdir(tmp_path)) == {"lineage", outside.name}
    assert set(os.listdir(image)) <= {outside.name}
