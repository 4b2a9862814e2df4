# SPDX-License-Identifier: MIT
"""pbs_mom's argument lists, each that ever shipped (contracts/torque.md), and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torqueckpt.batch.torque.calls import MomCall
from torqueckpt.errors import BadArguments, InvalidJobId

_DIR = "/var/spool/torque/checkpoint/12.srv.CK"
_NAME = "ckpt.12.srv.1700000600"


def _call(
    owner: str | None = "ann",
    directory: str | None = _DIR,
    name: str = _NAME,
    end: bool = False,
    depth: int | None = None,
) -> MomCall:
    where = Path(directory) if directory else None
    return MomCall(4241, "12.srv", owner, where, name, end, depth)


_ROWS = {
    "2005 by the guide": ("4241 12.srv", _call(None, None, "")),
    "2005-06-03": ("4241 12.srv ann", _call(directory=None, name="")),
    "1.2.0p5": ("4241 12.srv ann 0", _call(directory=None, name="")),
    "1.2.0p5 ends": ("4241 12.srv ann 1", _call(directory=None, name="", end=True)),
    "2008-02": (f"4241 12.srv ann {_DIR} {_NAME} 0", _call()),
    "2008-02 ends": (f"4241 12.srv ann {_DIR} {_NAME} 15", _call(end=True)),
    "2008-03": (f"4241 12.srv ann {_DIR} {_NAME} 0 master 2", _call(depth=2)),
    "2008-03 ends": (f"4241 12.srv ann {_DIR} {_NAME} 1 master 2", _call(end=True, depth=2)),
    "2008-03 no role": (f"4241 12.srv ann {_DIR} {_NAME} 1 - 2", _call(end=True, depth=2)),
    "2008-04": (f"4241 12.srv ann {_DIR} {_NAME} 0 3", _call(depth=3)),
    "2008-04 ends": (f"4241 12.srv ann {_DIR} {_NAME} 1 3", _call(end=True, depth=3)),
    "2.4.0": (f"4241 12.srv ann staff {_DIR} {_NAME} 0 0", _call()),
    "2.4.0 ends": (f"4241 12.srv ann staff {_DIR} {_NAME} 15 1", _call(end=True, depth=1)),
    "2.4.0 all absent": ("4241 12.srv - - - - 0 -", _call(None, None, "")),
    "2.4.0 signal absent": (f"4241 12.srv ann staff {_DIR} {_NAME} - -", _call()),
    "2.4.0 a name like a signal": (f"4241 12.srv ann staff {_DIR} 15 0 0", _call(name="15")),
}


@pytest.mark.parametrize("since", _ROWS)
def test_every_argument_list_that_ever_shipped_is_understood(since: str) -> None:
    argv, call = _ROWS[since]
    assert MomCall.checkpoint(argv.split()) == call


def test_an_array_members_id_with_an_odd_name_is_a_job_like_any_other() -> None:
    argv = f"4241 12[3].srv ann staff {_DIR} {_NAME} 0 0".split()
    assert MomCall.checkpoint(argv).job_id == "12[3].srv"


@pytest.mark.parametrize(
    ("argv", "call"),
    [
        (f"4241 12.srv ann {_DIR} {_NAME}", _call()),
        (f"4241 12.srv ann staff {_DIR} {_NAME}", _call()),
        ("4241 12.srv ann staff - -", _call(directory=None, name="")),
    ],
)
def test_both_lists_of_a_restart_are_understood(argv: str, call: MomCall) -> None:
    assert MomCall.restart(argv.split()) == call


@pytest.mark.parametrize("count", [0, 1, 5, 9, 40])
def test_a_number_of_arguments_that_no_mom_passed_is_refused(count: int) -> None:
    with pytest.raises(BadArguments, match=f"mom-checkpoint: {count} arguments"):
        MomCall.checkpoint(["7"] * count)


@pytest.mark.parametrize("count", [0, 2, 4, 7, 8])
def test_a_restart_with_a_number_of_arguments_that_no_mom_passed_is_refused(count: int) -> None:
    with pytest.raises(BadArguments, match=f"mom-restart: {count} arguments"):
        MomCall.restart(["7"] * count)


@pytest.mark.parametrize(
    ("place", "word", "told"),
    [
        (0, "1", "session id '1'"),
        (0, "0", "session id '0'"),
        (0, "-", "session id '-'"),
        (0, "-4241", "session id '-4241'"),
        (0, "4241x", "session id '4241x'"),
        (0, "٤٢", "session id"),
        (0, "9" * 30, "session id"),
        (4, "var/spool", "is not an absolute path"),
        (4, "/var/../etc", "is not an absolute path"),
        (5, "../x", "is not a file name"),
        (5, "a/b", "is not a file name"),
        (5, "..", "is not a file name"),
        (5, "n" * 201, "is not a file name"),
        (6, "9", "signal '9'"),
        (6, "TERM", "signal 'TERM'"),
        (7, "-1", "depth '-1'"),
        (7, "2x", "depth '2x'"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_in_one_line(
    place: int, word: str, told: str
) -> None:
    argv = f"4241 12.srv ann staff {_DIR} {_NAME} 0 1".split()
    argv[place] = word
    with pytest.raises(BadArguments) as refused:
        MomCall.checkpoint(argv)
    assert told in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("job", ["-", "", "12.srv/../..", "12.srv\nx", "*"])
def test_a_job_id_that_is_none_is_refused(job: str) -> None:
    with pytest.raises(InvalidJobId):
        MomCall.checkpoint(["4241", job])


@given(st.lists(st.one_of(st.text(), st.sampled_from(["0", "1", "15", "-", _DIR, "12.srv", "7"]))))
def test_whatever_the_arguments_it_is_a_call_or_a_refusal(argv: list[str]) -> None:
    for parse, lowest in ((MomCall.checkpoint, 2), (MomCall.restart, 0)):
        try:
            call = parse(argv)
        except (BadArguments, InvalidJobId):
            continue
        assert call.sid >= lowest and "/" not in call.name
        assert call.directory is None or call.directory.is_absolute()


@pytest.mark.parametrize("directory", ["/tmp/a;id", "/tmp/$(id)", "/tmp/a b", "/tmp/a\nid"])
def test_a_directory_that_a_shell_would_act_on_is_not_restarted_from(directory: str) -> None:
    with pytest.raises(BadArguments, match="a shell acts on"):
        MomCall.restart(["4241", "12.srv", "ann", "staff", directory, _NAME])


def test_a_requeued_job_is_restarted_without_a_session_id() -> None:
    assert MomCall.restart(f"0 12.srv ann staff {_DIR} {_NAME}".split()).job_id == "12.srv"


def test_a_call_becomes_a_request_with_nothing_lost() -> None:
    call = MomCall.checkpoint(f"4241 12.srv ann staff {_DIR} {_NAME} 15 4".split())
    request = call.to_checkpoint()
    assert (request.sid, request.job_id, request.owner) == (4241, "12.srv", "ann")
    assert (request.pointer_dir, request.name) == (Path(_DIR), _NAME)
    assert (request.end, request.depth) == (True, 4)
    again = MomCall.restart(f"4241 12.srv ann staff {_DIR} {_NAME}".split()).to_restart(3)
    assert (again.job_id, again.present_job, again.hint) == ("12.srv", "12.srv", 3)
    assert again.generation is None and not again.force
