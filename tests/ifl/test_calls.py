# SPDX-License-Identifier: MIT
"""The way into C and back, against a library that dies of what a real one merely suffers."""

from __future__ import annotations

import ctypes
import pickle
import sys
import threading
import time

import pytest

from torqueckpt.ifl.attributes import EQ, Attribute
from torqueckpt.ifl.call import INVALID_REQUEST, Calls, check
from torqueckpt.ifl.errors import (
    CannotConnect,
    NotAPbsLibrary,
    PbsError,
    PermissionDenied,
    SymbolMissing,
    UnknownJob,
)
from torqueckpt.ifl.library import Library


def last(library: Library) -> str:
    """How the library was called last."""
    function = ctypes.CDLL(library.path).fake_last
    function.restype = ctypes.c_char_p
    return function().decode()


def connected(library: Library) -> tuple[Calls, int]:
    calls = Calls(library)
    return calls, check("pbs_connect", calls.connect("fake"))


def test_a_reply_is_copied_and_outlives_the_connection(library: Library) -> None:
    calls, c = connected(library)
    jobs = check("pbs_statjob", calls.status("pbs_statjob", c, "", None, None))
    calls.disconnect(c)
    assert [job.name for job in jobs] == ["1.fake", "2.fake"]
    state, plain, walltime, raw, nothing = jobs[1].attribs
    assert (state.name, state.resource, state.value) == ("job_state", None, "Q")
    assert plain.resource is None, "an empty resource reads as none"
    assert (walltime.resource, walltime.value) == ("walltime", "01:00:00")
    assert raw.value.encode("utf-8", "surrogateescape") == b"\xff\xfe"
    assert nothing.value is None
    assert ctypes.CDLL(library.path).fake_live_replies() == 0


def test_no_objects_is_an_empty_list_and_no_error(library: Library) -> None:
    calls, c = connected(library)
    outcome = calls.status("pbs_statjob", c, "none", None, None)
    assert (outcome.value, outcome.number) == ([], 0)
    calls.disconnect(c)


def test_a_stale_error_number_is_not_taken_for_a_failure(library: Library) -> None:
    calls, c = connected(library)
    assert calls.number("pbs_deljob", c, "unknown", None).number == 15001
    outcome = calls.number("pbs_deljob", c, "1", None)
    assert (outcome.value, outcome.number, outcome.text) == (0, 0, "")
    calls.disconnect(c)


def test_a_refusal_brings_the_servers_words_and_its_own_class(library: Library) -> None:
    calls, c = connected(library)
    refusal = calls.number("pbs_deljob", c, "unknown", None)
    assert (refusal.value, refusal.number) == (15001, 15001)
    with pytest.raises(UnknownJob, match=r"pbs_deljob: the server says 15001 \(15001\)"):
        check("pbs_deljob", refusal)
    with pytest.raises(PermissionDenied):
        check("pbs_submit", calls.text("pbs_submit", c, [], None, "closed", None))
    with pytest.raises(CannotConnect) as failure:
        check("pbs_connect", calls.connect("refused"))
    assert failure.value.number == 15007
    calls.disconnect(c)


@pytest.mark.parametrize("handle", [0, 3, -1, 10**6])
def test_a_handle_that_is_not_open_never_reaches_the_library(library: Library, handle: int) -> None:
    calls, c = connected(library)
    assert calls.number("pbs_deljob", handle, "1", None).number == INVALID_REQUEST
    assert calls.status("pbs_statjob", handle, "", None, None).value == []
    assert calls.text("pbs_locjob", handle, "1", None).value is None
    assert calls.disconnect(handle).number == INVALID_REQUEST
    assert calls.message(handle) is None
    calls.disconnect(c)
    assert "not open" in calls.disconnect(c).text, "closed twice"


def test_what_is_sent(library: Library) -> None:
    calls, c = connected(library)
    calls.text(
        "pbs_submit",
        c,
        [
            Attribute("Job_Name", "", "é"),
            Attribute("", "", "nameless"),
            Attribute("Resource_List", "nodes", "1:ppn=2"),
            Attribute("a", None, None),
        ],
        "script",
        None,
        None,
    )
    sent = "'Job_Name.=é:0;Resource_List.nodes=1:ppn=2:0;a.=:0;'"
    assert last(library) == f"pbs_submit('{c}', {sent}, 'script', NULL, NULL)"
    calls.status("pbs_selstat", c, [Attribute("job_state", "", "R", EQ)], b"x")
    assert last(library) == f"pbs_selstat('{c}', 'job_state.=R:4;', 'x')"
    calls.number("pbs_alterjob", c, "1", [Attribute("c", "", "\udcff")], None)
    with pytest.raises(ValueError, match="NUL"):
        calls.number("pbs_deljob", c, "1\x002", None)
    calls.disconnect(c)


def test_openpbs_is_always_asked_for_what_it_groups_nodes_by(library: Library) -> None:
    calls, c = connected(library)
    calls.status("pbs_statnode", c, "", [Attribute("state")], None)
    more = "resources_available.=:0;" if library.is_openpbs else ""
    assert last(library) == f"pbs_statnode('{c}', '', 'state.=:0;{more}', NULL)"
    calls.status("pbs_statnode", c, "", [], None)
    assert last(library) == f"pbs_statnode('{c}', '', '', NULL)"
    calls.disconnect(c)


def test_a_library_that_writes_into_extend_spoils_nothing(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SEND_FAILS", "1")
    calls, c = connected(library)
    extend = b"x"
    calls.number("pbs_deljob", c, "1", extend)
    calls.text("pbs_submit", c, [], "script", None, extend)
    calls.status("pbs_statjob", c, "", None, extend)
    assert extend == b"x"
    calls.disconnect(c)


def test_a_library_may_free_a_value_and_put_another_there(library: Library) -> None:
    """OpenPBS does so with paths and dependencies."""
    calls, c = connected(library)
    for _ in range(100):
        calls.text("pbs_submit", c, [Attribute("Output_Path", "", "out")], "s", None, None)
    expected = "host:out" if library.is_openpbs else "out"
    assert f"'Output_Path.={expected}:0;'" in last(library)
    calls.disconnect(c)


def test_a_missing_symbol_is_named(libraries: dict[str, str]) -> None:
    openpbs = Library(str(libraries["openpbs"]))
    calls, c = connected(openpbs)
    with pytest.raises(SymbolMissing, match=r"libopenpbs.so has no pbs_checkpointjob"):
        calls.number("pbs_checkpointjob", c, "1", None)
    with pytest.raises(NotImplementedError):
        calls.number("pbs_checkpointjob", c, "1", None)
    calls.disconnect(c)


def test_a_library_that_is_none_is_refused(tmp_path: object) -> None:
    with pytest.raises(NotAPbsLibrary, match="lacks pbs_connect"):
        Library("libc.so.6")
    with pytest.raises(NotAPbsLibrary):
        Library(f"{tmp_path}/nothing.so")


def test_threads_call_one_after_the_other_and_keep_their_own_errors(library: Library) -> None:
    """The library ends the process when two calls are in it at once."""
    calls = Calls(library)
    wrong: list[str] = []

    def ask(number: int) -> None:
        c = calls.connect("fake").value
        for _ in range(200):
            job, expected = ("unknown", 15001) if number % 2 else ("1", 0)
            got = calls.number("pbs_deljob", c, job, None).number
            if got != expected:
                wrong.append(f"{job}: {got}")
            calls.status("pbs_statjob", c, "", None, None)
        calls.disconnect(c)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_number_that_is_given_out_again_belongs_to_its_new_owner(library: Library) -> None:
    calls = Calls(library)
    wrong: list[int] = []

    def come_and_go() -> None:
        for _ in range(300):
            c = calls.connect("fake").value
            wrong.extend(filter(None, [calls.number("pbs_deljob", c, "1", None).number]))
            wrong.extend(filter(None, [calls.disconnect(c).number]))

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=come_and_go) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert wrong == []


def test_python_goes_on_while_a_connect_blocks(library: Library) -> None:
    calls = Calls(library)
    thread = threading.Thread(target=calls.connect, args=("slow",))
    start = time.monotonic()
    thread.start()
    count = 0
    while thread.is_alive():
        time.sleep(0.001)
        count += 1
    assert time.monotonic() - start >= 0.7
    assert count > 10  # once at most, if nobody else came to his turn


def test_errors_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(UnknownJob(call="pbs_deljob", text="no", number=15001)))
    assert isinstance(again, UnknownJob)
    assert (again.number, str(again)) == (15001, "pbs_deljob: no (15001)")
    assert again.exit_code == PbsError.exit_code
