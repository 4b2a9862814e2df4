# SPDX-License-Identifier: MIT
"""Root becomes the owner, and root again: never half of it, never the wrong one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit import real
from torqueckpt.errors import GroupsChanged, NeedsRoot, StillRoot, UnknownUser
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.process.worker import OwnerWorker, WorkerFailed
from torqueckpt.run import run

_SOME_GROUP = 54321  # nobody's; root may take any


def _ids() -> list[object]:
    return [*os.getresuid(), *os.getresgid(), sorted(os.getgroups())]


def _with_a_group(user: Owner) -> Owner:
    return Owner(user.name, user.uid, user.gid, (user.gid, _SOME_GROUP))


def test_acting_as_a_user_has_his_effective_ids_and_groups_and_then_roots_again(
    user: Owner,
) -> None:
    before = _ids()
    with privileges.acting_as(_with_a_group(user)):
        assert os.getresuid() == (0, user.uid, 0)
        assert os.getresgid()[1] == user.gid
        assert set(os.getgroups()) == {user.gid, _SOME_GROUP}
    assert _ids() == before


def test_files_made_while_acting_as_a_user_are_his_and_roots_are_closed(
    user: Owner, place: Path
) -> None:
    (place / "his").mkdir()
    os.chown(place / "his", user.uid, user.gid)
    (place / "secret").write_text("root's")
    (place / "secret").chmod(0o600)
    with privileges.acting_as(user):
        (place / "his" / "file").write_text("made")
        for refused in (
            lambda: (place / "secret").read_text(),
            lambda: (place / "mine").write_text("no"),
        ):
            with pytest.raises(PermissionError):
                refused()
    status = (place / "his" / "file").stat()
    assert (status.st_uid, status.st_gid) == (user.uid, user.gid)


def test_an_exception_while_acting_as_a_user_leaves_root_behind(user: Owner) -> None:
    before = _ids()
    with pytest.raises(KeyboardInterrupt), privileges.acting_as(user):
        raise KeyboardInterrupt
    assert _ids() == before


def test_acting_as_the_same_user_within_changes_nothing(user: Owner) -> None:
    with privileges.acting_as(user):
        before = _ids()
        with privileges.acting_as(user):
            assert _ids() == before
        assert _ids() == before


def test_root_for_one_step_has_roots_ids_and_then_the_users_again(user: Owner) -> None:
    with privileges.acting_as(user):
        before = _ids()
        with pytest.raises(KeyError), privileges.acting_as_root():
            assert (os.geteuid(), os.getegid()) == (0, 0)
            raise KeyError
        assert _ids() == before


def test_dropped_for_good_there_is_no_way_back(user: Owner) -> None:
    def work() -> list[object]:
        privileges.drop(_with_a_group(user))
        for again in (os.seteuid, os.setuid, os.setegid, os.setgid):
            try:
                again(0)
            except PermissionError:
                continue
            return ["root again"]
        return _ids()

    expected = [*[user.uid] * 3, *[user.gid] * 3, sorted([user.gid, _SOME_GROUP])]
    assert real.in_child(work) == expected


def test_dropped_while_acting_as_a_user_it_stays_dropped_after_the_block(user: Owner) -> None:
    def work() -> list[object]:
        with privileges.acting_as(user):
            privileges.drop(user)
        privileges.drop(user)  # once more is fine
        return _ids()[:6]

    assert real.in_child(work) == [*[user.uid] * 3, *[user.gid] * 3]


def test_a_user_can_act_for_nobody_else_and_is_never_root(user: Owner) -> None:
    def work() -> str:
        privileges.drop(user)
        root = privileges.owner_of_uid(0)
        with privileges.acting_as(user):
            pass
        told = []
        for other in (privileges.acting_as(root), privileges.acting_as_root()):
            try:
                with other:
                    return "got in"
            except NeedsRoot as refused:
                told.append(str(refused))
        return told[0]

    assert "acting for root needs root" in real.in_child(work)


@pytest.mark.parametrize("name", ["no-such-user-here", "", "a\0b", "../root", ".", "a:b", "\udc80"])
def test_a_name_that_is_no_user_is_unknown(name: str) -> None:
    with pytest.raises(UnknownUser):
        privileges.owner(name)


def test_a_uid_without_a_user_is_unknown() -> None:
    with pytest.raises(UnknownUser, match="uid 4294967293"):
        privileges.owner_of_uid(4294967293)


def test_recorded_groups_are_taken_back_only_while_the_user_is_still_in_them(user: Owner) -> None:
    real_groups = tuple(os.getgrouplist(user.name, user.gid))
    assert privileges.with_groups(user, user.gid, real_groups).groups == real_groups
    assert privileges.with_groups(user, user.gid, ()).groups == ()
    with pytest.raises(GroupsChanged, match=f"{user.name} is no longer .* {_SOME_GROUP} "):
        privileges.with_groups(user, user.gid, (*real_groups, _SOME_GROUP))
    with pytest.raises(GroupsChanged):
        privileges.with_groups(user, 0, real_groups)


def _status(argv: list[str]) -> dict[str, str]:
    """/proc/self/status as a program sees it that runs as the owner."""
    output = run(argv).output
    return dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)


def test_a_program_of_the_owners_has_his_ids_and_just_the_capabilities_it_was_given(
    user: Owner,
) -> None:
    show = ["/bin/cat", "/proc/self/status"]
    given = _status(privileges.as_owner_argv(_with_a_group(user), ("setpcap", "net_admin"), show))
    assert given["Uid"].split() == [str(user.uid)] * 4
    assert given["Gid"].split() == [str(user.gid)] * 4
    assert set(given["Groups"].split()) == {str(user.gid), str(_SOME_GROUP)}
    bits = (1 << 8) | (1 << 12)  # CAP_SETPCAP, CAP_NET_ADMIN
    for name in ("CapEff", "CapPrm", "CapAmb"):
        assert int(given[name], 16) == bits, name
    bare = _status(privileges.as_owner_argv(Owner(user.name, user.uid, user.gid, ()), (), show))
    assert int(bare["CapEff"], 16) == int(bare["CapAmb"], 16) == 0
    assert bare["Groups"].split() == []


def _keep_roots_capabilities() -> None:
    """SECBIT_NO_SETUID_FIXUP: from here on no change of ids takes them away."""
    import ctypes

    assert ctypes.CDLL(None).prctl(28, 4, 0, 0, 0) == 0


def _ends(change: Callable[[], object]) -> tuple[int, str]:
    """Run `change` in a forked process that catches all; gives its status and what it said."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(write_end, 2)
            change()
        except BaseException as swallowed:
            os.write(2, f"went on: {swallowed!r}".encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        told = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), told


def _act(user: Owner) -> None:
    with privileges.acting_as(user):
        os.write(2, b"went on")


def _act_as_root_meanwhile(user: Owner) -> None:
    os.setegid(user.gid)
    os.seteuid(user.uid)
    with privileges.acting_as_root():
        assert os.geteuid() == 0
    os.write(2, b"went on")


@pytest.mark.parametrize("change", [_act, _act_as_root_meanwhile, privileges.drop])
def test_where_capabilities_outlive_a_change_of_ids_the_program_ends_there(
    user: Owner, change: Callable[[Owner], object]
) -> None:
    def with_roots_capabilities() -> None:
        _keep_roots_capabilities()
        change(user)

    status, told = _ends(with_roots_capabilities)
    assert status == StillRoot.exit_code
    assert f"uid {user.uid} did not take effect: it still has capabilities" in told
    assert "went on" not in told


@pytest.mark.parametrize("call", ["setgroups", "setegid", "seteuid"])
def test_where_the_kernel_did_not_change_an_id_the_program_ends_there(
    user: Owner, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a library between us and the kernel that says yes to all."""

    def change() -> None:
        monkeypatch.setattr(os, call, lambda _: None)
        _act(_with_a_group(user))

    status, told = _ends(change)
    assert (status, "went on" in told) == (StillRoot.exit_code, False)


def test_a_worker_that_cannot_become_the_owner_reports_nothing_and_its_parent_goes_on(
    user: Owner,
) -> None:
    def work() -> list[object]:
        _keep_roots_capabilities()
        told = []
        try:
            OwnerWorker(user, lambda: user).result(Owner)
        except WorkerFailed as failed:
            told.append(str(failed))
        return told

    assert real.in_child(work) == ["it was killed"]
