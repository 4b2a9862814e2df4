# SPDX-License-Identifier: MIT
"""What a boot has removed is made again as it was, and never where somebody has put another."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from tests.unit import samples
from torqueckpt.files import check, content, places, record, rollback, temporary
from torqueckpt.files.check import Findings
from torqueckpt.files.record import Look, Task, look
from torqueckpt.files.temporary import Temporary
from torqueckpt.identity import Owner
from torqueckpt.manifest import Place, Rule
from torqueckpt.process import privileges, proc
from torqueckpt.process.freeze import Freeze
from torqueckpt.safe_files import Directory

Started = Callable[..., Popen[bytes]]


@pytest.fixture
def lineage(user: Owner, place: Path) -> Path:
    """Of a job whose temporary directory is beside it: everybody may write there, as in /tmp."""
    (place / "lineage" / "copies").mkdir(parents=True)
    for each in (place / "lineage", place / "lineage" / "copies"):
        os.chown(each, user.uid, user.gid)
    (place / "tmp").mkdir()
    (place / "tmp").chmod(0o1777)
    return place / "lineage"


def _looked(
    lineage: Path,
    root: int,
    limit: int = 1 << 20,
    rules: tuple[Rule, ...] = (),
    made_for_job: tuple[str, ...] = (),
) -> Look:
    freeze = Freeze()
    os.write(freeze.hook_fds[0], b"x")
    held = proc.stat(root)
    assert held is not None
    here = Temporary((f"{lineage.parent}/tmp/",), frozenset(), made_for_job)
    with Directory.open(lineage) as opened:
        task = Task(
            *(held, rules, (), (), opened, "/nowhere", (), "1", limit, {}),
            temporary=here,
        )
        return look(task, freeze)


def _found(lineage: Path, seen: Look) -> Findings:
    nothing = {"rules": (), "processes": ()}
    made = samples.a_manifest(
        files=seen.open,
        watched=seen.watched,
        places=seen.places,
        **{**nothing, "rules": seen.rules},
    )
    with Directory.open(lineage) as opened:
        return check.find(made, opened, set(), "a1", "/nowhere")


def _applied(lineage: Path, found: Findings, undone: bool = False) -> None:
    with Directory.open(lineage) as opened:
        parts = (opened, found.directories, found.changes)
        rollback.apply(*parts, made_again=found.places)
        if undone:
            rollback.undo(*parts, found.places)


def _tree(top: Path) -> dict[str, tuple[int, str]]:
    """Name → (st_mode, content)."""
    return {
        str(each.relative_to(top)): (
            each.lstat().st_mode,
            os.readlink(each) if each.is_symlink() else each.read_text() if each.is_file() else "",
        )
        for each in top.rglob("*")
    }


def _scratch(top: Path) -> Path:
    """A job's directory in a temporary one, with one of each."""
    own = top / "own"
    own.mkdir()
    (own / "closed").write_text("closed")
    (own / "program").write_text("#!/bin/sh\n")
    (own / "program").chmod(0o555)
    (own / "below" / "empty").mkdir(parents=True)
    (own / "link").symlink_to("closed")
    os.mkfifo(own / "fifo")
    (own / "fifo").chmod(0o622)
    (own / "below").chmod(0o500)
    own.chmod(0o710)
    return own


def _in(user: Owner, directory: Path, started: Started, script: str = "") -> int:
    """A process of the user's in that directory, by pid, once it has run the script."""
    text = f"import os, time\n{script}\nos.write(1, b'x'); time.sleep(600)"
    become = ("/usr/bin/setpriv", "--reuid", str(user.uid), "--regid", str(user.gid))
    argv = (*become, "--clear-groups", "/usr/bin/python3", "-c", text)
    begun = started(*argv, cwd=directory, stdout=-1)
    assert begun.stdout is not None and begun.stdout.read(1) == b"x"
    return begun.pid


def _remove(path: Path) -> None:
    """As a cleaner does, which is root."""
    for each in sorted(path.rglob("*"), reverse=True):
        each.rmdir() if each.is_dir() and not each.is_symlink() else each.unlink()
    path.rmdir()


def test_a_jobs_directory_comes_back_as_it_was_and_an_undo_leaves_nothing(
    user: Owner, lineage: Path, started: Started
) -> None:
    top = lineage.parent / "tmp"
    with privileges.acting_as(user):
        own = _scratch(top)
    pid = _in(user, own, started, "file = open('open', 'w'); file.write('job'); file.flush()")
    before = _tree(top)
    with privileges.acting_as(user):
        seen = _looked(lineage, pid)
    assert seen.remarks == ()
    _remove(own)
    with privileges.acting_as(user):
        _applied(lineage, _found(lineage, seen), undone=True)
        assert _tree(top) == {}
        found = _found(lineage, seen)
        assert found.missing == found.wrong == found.changed == []
        _applied(lineage, found)
    assert _tree(top) == before
    with privileges.acting_as(user):
        again = _found(lineage, seen)
    assert again.directories == again.places == again.changes == again.wrong == []


@pytest.mark.parametrize("planted", ["directory", "link", "file", "fifo"])
def test_what_another_has_put_there_is_neither_used_nor_followed(
    user: Owner, lineage: Path, started: Started, planted: str
) -> None:
    top, elsewhere = lineage.parent / "tmp", lineage.parent / "elsewhere"
    with privileges.acting_as(user):
        own = _scratch(top)
    pid = _in(user, own, started)
    with privileges.acting_as(user):
        seen = _looked(lineage, pid)
    _remove(own)
    elsewhere.mkdir(mode=0o777)
    make: dict[str, Callable[[], object]] = {
        "directory": lambda: own.mkdir(0o777),
        "link": lambda: own.symlink_to(elsewhere),
        "file": lambda: own.write_text("planted"),
        "fifo": lambda: os.mkfifo(own),
    }
    make[planted]()
    with privileges.acting_as(user):
        found = _found(lineage, seen)
    assert any(each.startswith(f"{own} ") for each in found.wrong)
    assert list(elsewhere.iterdir()) == []


def test_what_the_job_itself_has_changed_since_is_left_alone(
    user: Owner, lineage: Path, started: Started
) -> None:
    top = lineage.parent / "tmp"
    with privileges.acting_as(user):
        own = _scratch(top)
    pid = _in(user, own, started)
    with privileges.acting_as(user):
        seen = _looked(lineage, pid)
        (own / "link").unlink()
        (own / "link").mkdir()
        (own / "fifo").unlink()
        (own / "fifo").write_text("a file now")
        (own / "closed").write_text("more than it was")
        found = _found(lineage, seen)
    assert found.wrong == found.changed == found.changes == found.places == []


@pytest.mark.parametrize("planted", ["file", "link"])
def test_a_file_that_another_has_put_in_the_jobs_ones_place_is_not_written_to(
    user: Owner, lineage: Path, started: Started, planted: str
) -> None:
    top, secret = lineage.parent / "tmp", lineage.parent / "secret"
    with privileges.acting_as(user):
        (top / "scratch").write_text("mine")
    pid = _in(user, top, started, "file = open('scratch', 'r+')")
    with privileges.acting_as(user):
        seen = _looked(lineage, pid)
        found = _found(lineage, seen)
        (top / "scratch").unlink()
        late = _found(lineage, seen)
    assert [each.copy != "" for each in seen.watched] == [True]
    assert found.wrong == late.wrong == []
    secret.write_text("planted")
    secret.chmod(0o666)
    if planted == "link":
        (top / "scratch").symlink_to(secret)
    else:
        os.link(secret, top / "scratch")
    with privileges.acting_as(user):
        assert _found(lineage, seen).wrong != []
        with pytest.raises(OSError, match="File exists"):  # planted when all had been looked at
            _applied(lineage, late)
    assert secret.read_text() == "planted"


def test_more_than_the_limit_in_files_that_are_not_open_is_told_and_not_copied(
    user: Owner, lineage: Path, started: Started
) -> None:
    top = lineage.parent / "tmp"
    with privileges.acting_as(user):
        own = _scratch(top)
        (own / "large").write_text("l" * 100)
    pid = _in(user, own, started)
    with privileges.acting_as(user):
        seen = _looked(lineage, pid, limit=100)
    assert seen.watched == ()
    assert ["too large: not copied" in each for each in seen.remarks] == [True]
    assert str(own) in {each.path for each in seen.places}


@pytest.mark.parametrize("mode", ["r+", "a", "r"])
def test_a_file_over_the_limit_stays_as_without_a_boot_and_is_told(
    user: Owner, lineage: Path, started: Started, mode: str
) -> None:
    top = lineage.parent / "tmp"
    with privileges.acting_as(user):
        (top / "scratch").write_text("l" * 101)
    pid = _in(user, top, started, f"file = open('scratch', {mode!r})")
    with privileges.acting_as(user):
        seen = _looked(lineage, pid, limit=100)
        found = _found(lineage, seen)
    assert seen.remarks == (f"{top}/scratch: gone after a boot, 101 bytes are not copied",)
    policies = {"r+": ["rollback"], "a": ["append"], "r": []}
    assert [each.policy for each in seen.watched] == policies[mode]
    assert seen.doubts == ()
    assert found.wrong == found.missing == found.changed == []


def test_scratch_files_beyond_the_limit_together_do_not_keep_the_job_standing_still(
    user: Owner, lineage: Path, started: Started
) -> None:
    top = lineage.parent / "tmp"
    script = (
        "files = [open(n, 'w+') for n in 'ab']; [f.write('x' * 600) and f.flush() for f in files]"
    )
    pid = _in(user, top, started, script)
    with privileges.acting_as(user):
        seen = _looked(lineage, pid, limit=1000)
    copied = {Path(each.path).name: (each.policy, bool(each.copy)) for each in seen.watched}
    assert copied == {"a": ("snapshot", True), "b": ("rollback", False)}
    assert seen.remarks == (f"{top}/b: gone after a boot, 600 bytes are not copied",)


def test_a_rule_of_the_jobs_own_decides_in_temporary_directories_too(
    user: Owner, lineage: Path, started: Started
) -> None:
    top = lineage.parent / "tmp"
    with privileges.acting_as(user):
        (top / "scratch").write_text("mine")
    pid = _in(user, top, started, "file = open('scratch', 'r+')")
    with privileges.acting_as(user):
        seen = _looked(lineage, pid, rules=(Rule(f"{top}/scratch", "ignore", True),))
    assert [(each.policy, each.copy) for each in seen.watched] == [("ignore", "")]


def test_a_variable_names_a_temporary_directory_but_not_one_that_holds_the_home() -> None:
    here = {"TMPDIR": "/scratch/12.srv", "HOME": "/home/anna"}
    assert "/scratch/12.srv/" in temporary.of_job(("$TMPDIR",), here, os.getpid()).tops
    for value in ("/", "/home", "/home/anna"):
        tops = temporary.of_job(("$TMPDIR",), {**here, "TMPDIR": value}, os.getpid()).tops
        assert not any("/home/anna/x".startswith(top) for top in tops)
    assert "/" not in temporary.of_job(("$TMPDIR",), {"HOME": "/root"}, os.getpid()).tops


def test_a_variables_directory_in_which_the_job_was_submitted_is_no_temporary_one() -> None:
    here = {"TMPDIR": "/scratch/anna", "HOME": "/home/anna"}
    for name in ("PBS_O_WORKDIR", "LS_SUBCWD"):
        submitted = {**here, name: "/scratch/anna/run/1"}
        tops = temporary.of_job(("/tmp", "$TMPDIR"), submitted, os.getpid()).tops
        assert "/tmp/" in tops and "/scratch/anna/" not in tops
        elsewhere = {**here, name: "/scratch/annabel"}
        assert "/scratch/anna/" in temporary.of_job(("$TMPDIR",), elsewhere, os.getpid()).tops


def test_a_file_whose_job_has_taken_a_lease_once_it_ran_again_is_not_opened(
    user: Owner, lineage: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = lineage.parent / "tmp"
    with privileges.acting_as(user):
        (top / "leased").write_text("mine")
        status = (top / "leased").stat()
        pid = _in(user, top, started, "file = open('leased')")
        before = iter([set[tuple[int, int]]()])
        now = {(status.st_dev, status.st_ino)}
        monkeypatch.setattr(content, "leased", lambda: next(before, now))
        seen = _looked(lineage, pid)
    assert seen.remarks == (f"{top}/leased: not looked after: under a lease of the job's",)


def test_of_a_deleted_temporary_file_nothing_is_said(
    user: Owner, lineage: Path, started: Started
) -> None:
    top = lineage.parent / "tmp"
    pid = _in(user, top, started, "file = open('gone', 'w'); os.unlink('gone')")
    with privileges.acting_as(user):
        assert _looked(lineage, pid).remarks == ()


def test_places_that_were_made_meanwhile_are_left_by_an_undo(tmp_path: Path) -> None:
    fifo, link = tmp_path / "fifo", tmp_path / "link"
    fifo.write_text("another's")
    link.symlink_to("elsewhere")
    wanted = (Place(str(fifo), stat.S_IFIFO | 0o600), Place(str(link), stat.S_IFLNK, "there"))
    places.undo((), wanted)
    assert fifo.read_text() == "another's"
    assert os.readlink(link) == "elsewhere"


def _moms(lineage: Path, user: Owner) -> Path:
    """A directory that a MOM has made for the job 12.srv, and the job has filled."""
    with privileges.acting_as(user):
        own = _scratch(lineage.parent / "tmp")
        (own / "lines").write_text("line 1\n")
        return own.rename(own.with_name("12.srv"))


@pytest.mark.parametrize("recently", [0, 60_000_000_000])
def test_a_directory_that_mom_has_emptied_and_made_again_is_as_it_was(
    user: Owner,
    lineage: Path,
    started: Started,
    recently: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The job holds nothing of it: it opens its files for an instant."""
    monkeypatch.setattr(record, "_RECENT_NS", recently)
    own = _moms(lineage, user)
    pid = _in(user, Path("/"), started)
    before, times = _tree(own), os.stat(own / "below").st_mtime_ns
    time.sleep(0.02)  # the clock that files have ticks on: what is older than the freeze is certain
    with privileges.acting_as(user):
        seen = _looked(lineage, pid, made_for_job=(str(own),))
    assert seen.remarks == ()
    _remove(own)
    with privileges.acting_as(user):
        own.mkdir()
        own.chmod(0o755)
        _applied(lineage, _found(lineage, seen), undone=True)
        assert list(own.iterdir()) == []
        assert stat.S_IMODE(own.stat().st_mode) == 0o755
        _applied(lineage, _found(lineage, seen))
    assert _tree(own) == before
    assert stat.S_IMODE(own.stat().st_mode) == 0o710
    assert os.stat(own / "below").st_mtime_ns == times
    with privileges.acting_as(user):
        again = _found(lineage, seen)
    assert again.directories == again.places == again.changes == again.wrong == []


def test_what_the_job_has_changed_in_there_since_and_what_is_new_is_undone(
    user: Owner, lineage: Path, started: Started
) -> None:
    own = _moms(lineage, user)
    pid = _in(user, Path("/"), started, f"file = open('{own}/opened', 'a'); file.write('1')")
    with privileges.acting_as(user):
        seen = _looked(lineage, pid, made_for_job=(str(own),))
        before = _tree(own)
        (own / "lines").write_text("line 1\nline 2\n")
        (own / "opened").write_text("12")
        (own / "new").write_text("later")
        _applied(lineage, _found(lineage, seen))
    assert _tree(own) == before
    assert {each.policy for each in seen.watched} == {"snapshot"}


def test_what_is_too_large_to_be_copied_of_what_goes_with_the_job_is_told(
    user: Owner, lineage: Path, started: Started
) -> None:
    own = _moms(lineage, user)
    pid = _in(user, Path("/"), started)
    with privileges.acting_as(user):
        (own / "large").write_text("l" * 101)
        seen = _looked(lineage, pid, limit=100, made_for_job=(str(own),))
        own.joinpath("large").unlink()
        found = _found(lineage, seen)
    assert seen.goes == (f"{own}/large: 101 bytes, not copied, go with the job",)
    assert f"{own}/large" not in {each.path for each in seen.watched}
    assert found.wrong == found.missing == found.changed == []
    assert [each.complete for each in seen.rules] == [False]


@pytest.mark.parametrize(
    ("environment", "made"),
    [
        ({"PBS_JOBID": "12.srv", "TMPDIR": "/scratch/12.srv"}, ["/scratch/12.srv"]),
        (
            {"PBS_JOBID": "12[3].srv", "TMPDIR": "/scratch/pbs.12[3].srv"},
            ["/scratch/pbs.12[3].srv"],
        ),
        ({"PBS_JOBID": "12.srv", "PBS_JOBDIR": "/a/pbs.12.srv.x8z"}, ["/a/pbs.12.srv.x8z"]),
        ({"PBS_JOBID": "12.srv", "TMPDIR": "/scratch/123.srv"}, []),
        ({"PBS_JOBID": "12.srv", "TMPDIR": "/scratch/run12"}, []),
        ({"PBS_JOBID": "12.srv", "TMPDIR": "/s/12", "PBS_O_WORKDIR": "/s/12/run"}, []),
        ({"TMPDIR": "/scratch/12.srv"}, []),
        ({"PBS_JOBID": "12.srv", "TMPDIR": "/tmp", "PBS_JOBDIR": "/home/anna"}, []),
    ],
)
def test_a_directory_that_is_named_for_the_job_is_the_batch_systems(
    environment: dict[str, str], made: list[str]
) -> None:
    found = temporary.of_job((), environment, os.getpid())
    assert list(found.of_job) == made
    assert all(found.holds(f"{each}/x") for each in made)


def test_an_array_members_directory_is_no_pattern_for_another_jobs(
    user: Owner, lineage: Path, started: Started
) -> None:
    own = _moms(lineage, user)
    member, other = own.with_name("12[3].srv"), own.with_name("123.srv")
    with privileges.acting_as(user):
        own.rename(member)
        other.mkdir()
        (other / "anothers").write_text("another job's")
    pid = _in(user, Path("/"), started)
    with privileges.acting_as(user):
        seen = _looked(lineage, pid, made_for_job=(str(member),))
        before = _tree(own.parent)
        (member / "new").write_text("later")
        found = _found(lineage, seen)
        _applied(lineage, found)
    assert [each.path for each in found.changes] == [f"{member}/new"]
    assert _tree(own.parent) == before


def test_an_undo_goes_on_where_a_directory_with_another_mode_is_gone_by_then(
    user: Owner, lineage: Path, started: Started
) -> None:
    own = _moms(lineage, user)
    pid = _in(user, Path("/"), started)
    with privileges.acting_as(user):
        seen = _looked(lineage, pid, made_for_job=(str(own),))
    _remove(own)
    with privileges.acting_as(user):
        own.mkdir(mode=0o755)
        found = _found(lineage, seen)
        own.rmdir()
        with Directory.open(lineage) as opened:
            rollback.undo(opened, found.directories, found.changes, found.places)
        assert not own.exists()
