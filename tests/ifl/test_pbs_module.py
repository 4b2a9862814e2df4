# SPDX-License-Identifier: MIT
"""Module pbs, as programs written for pbs_python use it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from torqueckpt.ifl.library import VARIABLE, Library

from .test_calls import last

REPOSITORY = Path(__file__).resolve().parents[2]
Load = Callable[[str], ModuleType]
FUNCTIONS = """
pbs_default pbs_fbserver pbs_get_server_list pbs_connect pbs_disconnect pbs_query_max_connections
pbs_statjob pbs_statque pbs_statnode pbs_statserver pbs_selstat pbs_selectjob pbs_statfree
pbs_submit pbs_alterjob pbs_alterjob_async pbs_manager pbs_holdjob pbs_rlsjob pbs_deljob
pbs_rerunjob pbs_checkpointjob pbs_sigjob pbs_sigjobasync pbs_runjob pbs_asyrunjob pbs_movejob
pbs_orderjob pbs_msgjob pbs_locjob pbs_terminate pbs_gpumode pbs_stagein new_attrl new_attropl
new_batch_status get_error error pbs_strerror pbse_to_txt pbs_geterrmsg openrm closerm downrm
configrm addreq allreq getreq flushreq activereq fullresp get_mom_values check_resp
use_default_keywords use_user_keywords log_open log_close log_record log_event log_err log_ext
log_init log_roll log_size log_remove_old log_available
"""


def test_every_name_is_there(import_pbs: Load) -> None:
    pbs = import_pbs("torque6")
    assert [name for name in FUNCTIONS.split() if not callable(getattr(pbs, name, None))] == []
    names = ("default_mom_res", "default_linux_res", "default_irix6_res", "errors_txt", "cvar")
    assert [name for name in names if not hasattr(pbs, name)] == []
    found = re.search(r"pbs_python version (\d+)\.(\d+)\.(\d+)$", pbs.version)
    assert found and tuple(map(int, found.groups())) == pbs.version_info >= (4, 1, 0)
    assert (pbs.ATTR_l, pbs.MGR_OBJ_NODE, pbs.SET) == ("Resource_List", 3, 0)
    assert pbs.errors_txt[15001] == "Unknown Job"


def test_fresh_objects_read_empty_and_can_be_written(import_pbs: Load) -> None:
    pbs = import_pbs("torque6")
    lists = pbs.new_attrl(2) + pbs.new_attropl(1)
    assert isinstance(lists, list)
    assert [(a.name, a.resource, a.value, a.op, a.next) for a in lists] == [
        ("", "", "", 0, None)
    ] * 3
    lists[0].name, lists[0].resource, lists[0].value, lists[0].op = "a", "r", "v", pbs.EQ
    status = pbs.new_batch_status()
    assert (status.name, status.attribs, status.text, status.next) == ("", [], "", None)


def test_answers_are_lists_that_outlive_the_connection(import_pbs: Load) -> None:
    pbs = import_pbs("torque2")
    c = pbs.pbs_connect("fake")
    assert c > 0
    jobs = pbs.pbs_statjob(c, "", "NULL", "NULL")
    more = jobs + pbs.pbs_statnode(c, "", pbs.new_attrl(1), "NULL")
    pbs.pbs_statfree(jobs)
    assert pbs.pbs_disconnect(c) == 0
    assert len(more) == 4
    assert more[0].attribs[0].value == "Q"
    assert [a.resource for a in more[0].attribs] == [None, None, "walltime", None, None]


def test_null_is_null_where_it_stands_for_nothing_and_a_word_elsewhere(
    import_pbs: Load, libraries: dict[str, Path]
) -> None:
    pbs, library = import_pbs("torque6"), Library(str(libraries["torque6"]))
    c = pbs.pbs_connect("fake")
    assert pbs.pbs_submit(c, "NULL", "script", "NULL", "NULL") == "7.fake"
    assert last(library) == f"pbs_submit('{c}', '', 'script', NULL, NULL)"
    assert pbs.pbs_runjob(c, "NULL", "NULL", b"NULL") == 0
    assert last(library) == f"pbs_runjob('{c}', 'NULL', NULL)"
    assert pbs.pbs_deljob(c, b"1", "deldelay=5") == 0
    assert last(library) == f"pbs_deljob('{c}', '1', 'deldelay=5')"
    pbs.pbs_disconnect(c)


def test_nothing_raises_and_error_tells_why(import_pbs: Load) -> None:
    pbs = import_pbs("torque6")
    c = pbs.pbs_connect("fake")
    assert pbs.pbs_deljob(c, "unknown", "NULL") == 15001
    assert pbs.error() == (15001, "Unknown Job")
    assert pbs.pbs_geterrmsg(c) == "the server says 15001"
    assert pbs.pbs_statjob(c, "unknown", "NULL", "NULL") == []
    assert pbs.get_error() == 15001
    pbs.pbs_disconnect(c)
    assert pbs.get_error() == 15001, "it survives the disconnect"
    assert pbs.pbs_submit(c, "NULL", "s", "NULL", "NULL") is None
    assert pbs.get_error() == 15004
    assert pbs.pbs_connect("refused") == -15007
    assert pbs.get_error() == 15007
    assert pbs.pbs_locjob(pbs.pbs_connect(None), "1", "NULL") == "fake"
    assert pbs.get_error() == 0


def test_openpbs_says_why_in_the_servers_words(import_pbs: Load) -> None:
    """Most of its numbers mean "System error:"."""
    pbs = import_pbs("openpbs")
    c = pbs.pbs_connect("fake")
    assert pbs.pbs_deljob(c, "unknown", "NULL") == 15001
    assert pbs.error() == (15001, "the server says 15001") == (15001, pbs.pbs_geterrmsg(c))
    pbs.pbs_disconnect(c)
    assert pbs.error() == (15001, "the server says 15001"), "it survives the disconnect"
    assert pbs.pbs_connect("refused") < 0
    assert pbs.error() == (15007, None)


def test_openpbs_says_which_attribute_its_library_refuses(import_pbs: Load) -> None:
    pbs = import_pbs("openpbs")
    c = pbs.pbs_connect("fake")
    pbs.pbs_deljob(c, "unknown", "NULL")  # its words stay with the connection
    wanted = pbs.new_attropl(1)
    wanted[0].name, wanted[0].resource, wanted[0].value = pbs.ATTR_l, "walltime", "no time"
    assert pbs.pbs_submit(c, wanted, "script", "NULL", "NULL") is None
    assert pbs.error() == (15014, "Illegal value Resource_List.walltime")
    wanted[0].value = "1:00"
    assert pbs.pbs_submit(c, wanted, "script", "closed", "NULL") is None
    assert pbs.error() == (15007, "the server says 15007")
    pbs.pbs_disconnect(c)


def test_a_missing_call_is_the_attribute_error_that_it_was(import_pbs: Load) -> None:
    """As pbs_python's own ha_server.py expects it."""
    pbs = import_pbs("openpbs")
    with pytest.raises(AttributeError, match="pbs_get_server_list"):
        pbs.pbs_get_server_list().split(",")


def test_each_thread_has_its_own_error(import_pbs: Load) -> None:
    pbs = import_pbs("torque6")
    c = pbs.pbs_connect("fake")
    pbs.pbs_deljob(c, "unknown", "NULL")
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(pbs.get_error()))
    thread.start()
    thread.join()
    assert (seen, pbs.get_error()) == ([0], 15001)
    pbs.pbs_disconnect(c)


def test_lists_are_taken_where_the_original_had_a_bug(import_pbs: Load) -> None:
    for variant in ("torque6", "openpbs"):
        pbs = import_pbs(variant)
        c = pbs.pbs_connect("fake")
        criteria = pbs.new_attropl(1)
        criteria[0].name, criteria[0].value, criteria[0].op = pbs.ATTR_state, "R", pbs.EQ
        assert pbs.pbs_selectjob(c, criteria, "NULL") == ["1.fake", "2.fake"]
        assert [job.name for job in pbs.pbs_selstat(c, criteria, "NULL")] == ["1.fake", "2.fake"]
        pbs.pbs_disconnect(c)


def test_a_call_that_the_library_lacks(import_pbs: Load) -> None:
    pbs = import_pbs("openpbs")
    c = pbs.pbs_connect("fake")
    with pytest.raises(NotImplementedError, match=r"libopenpbs.so has no pbs_checkpointjob"):
        pbs.pbs_checkpointjob(c, "1", "NULL")
    assert pbs.pbs_query_max_connections() == 9
    pbs.pbs_disconnect(c)


def test_a_mom_is_asked_the_same_way_on_every_version(import_pbs: Load) -> None:
    for variant in ("torque6", "torque2", "openpbs"):
        pbs = import_pbs(variant)
        number = pbs.openrm("mom", 0)
        assert pbs.addreq(number, "ncpus") == 0
        assert pbs.getreq(number) == "ncpus=yes"
        assert pbs.getreq(number) is None
        values = pbs.get_mom_values(number, ["arch", "physmem"])
        assert values == {"arch": "yes", "physmem": "yes"}
        assert pbs.allreq("x") == 1
        assert pbs.flushreq() in (0, 1)
        assert pbs.activereq() == number
        assert pbs.configrm(number, "/c") == 0
        assert pbs.downrm(number) == 0
        assert pbs.closerm(number) == 0
        assert (pbs.closerm(number), pbs.addreq(number, "x"), pbs.getreq(number)) == (-1, -1, None)
        assert pbs.openrm("down", 0) < 0
        with pytest.raises(TypeError):
            pbs.get_mom_values(number, [1])


def test_a_mom_answer_is_kept_unless_it_is_none(import_pbs: Load) -> None:
    pbs = import_pbs("torque6")
    values: dict[str, str] = {}
    for answer in ("a=1", " b = x=y ", "c=? 15201", "d=", "nothing", None):
        pbs.check_resp(values, answer)
    assert values == {"a": "1", "b": "x=y", "d": ""}


def python(code: str, library: Path) -> subprocess.CompletedProcess[str]:
    """Run the code where the installed top-level modules can be imported."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/torqueckpt/compat/toplevel",
            VARIABLE: str(library),
        },
        capture_output=True,
        text=True,
    )


def test_without_a_library_import_fails_and_says_where_it_looked(tmp_path: Path) -> None:
    done = python("from PBSQuery import PBSQuery, PBSError; import pbs", tmp_path)
    assert done.stderr.splitlines()[-1].startswith("ImportError: no libtorque or libpbs")
    assert str(tmp_path / "libtorque.so.2") in done.stderr


@pytest.mark.parametrize(
    "named", ["/dev/null", "/etc", "/" + "x" * 300, os.fsdecode(b"/tmp/\xff.so"), "-"]
)
def test_what_cannot_be_a_library_is_an_import_error(named: str, tmp_path: Path) -> None:
    """Whatever the system has against it: unreadable, a name too long, one that is not UTF-8."""
    if named == os.fsdecode(b"/tmp/\xff.so"):
        named = str(tmp_path / os.fsdecode(b"\xff.so"))
        Path(named).touch()
    done = python("import pbs", Path(named))
    assert done.stderr.splitlines()[-1].startswith("ImportError: "), done.stderr
    again = python("try:\n    import pbs\nexcept ImportError:\n    print('none')", Path(named))
    assert again.stdout == "none\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_library_that_its_user_may_not_read_is_an_import_error(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    code = """
import os
import torqueckpt.ifl._pbs_ifl
from torqueckpt.ifl import library
real = library.open_library
def open_library():  # the package itself may lie where only root can read
    os.setegid(65534)
    os.seteuid(65534)
    return real()
library.open_library = open_library
import pbs
"""
    for named in (closed / "lib", closed):
        done = python(code, named)
        assert done.stderr.splitlines()[-1].startswith("ImportError: "), done.stderr


def test_a_pbs_config_that_cannot_be_run_is_an_import_error(tmp_path: Path) -> None:
    program = tmp_path / "pbs-config"
    program.write_bytes(b"\x7fELF, or nearly")
    program.chmod(0o755)
    code = f"import os; os.geteuid = lambda: 1000; os.environ['PATH'] = {str(tmp_path)!r}\n"
    done = python(f"{code}del os.environ[{VARIABLE!r}]\nimport pbs", tmp_path)
    assert done.stderr.splitlines()[-1].startswith("ImportError: "), done.stderr


def test_installed_names_are_the_modules_themselves(libraries: dict[str, Path]) -> None:
    code = (
        "import pbs\n"
        "from PBSQuery import PBSQuery, PBSError\n"
        "c = pbs.pbs_connect('fake'); print(len(pbs.pbs_statjob(c, '', 'NULL', 'NULL')))\n"
        "q = PBSQuery('fake')\n"
        "print(sorted(q.getjobs()), q.getjob('1.fake')['job_state'], q.getjob('9'))\n"
        "try:\n    PBSQuery('refused')\nexcept PBSError as e:\n    print(repr(str(e)))\n"
    )
    done = python(code, libraries["torque6"])
    assert done.stdout.splitlines() == [
        "2",
        "['1.fake', '2.fake'] ['Q'] {}",
        repr("Could not make a connection with refused\n"),
    ], done.stderr


def test_the_example_of_events_needs_no_server(libraries: dict[str, Path]) -> None:
    program = REPOSITORY / "docs" / "examples" / "node_events.py"
    code = (
        "import runpy, sys\n"
        "sys.argv = ['', 'rectime=1,message=EVENT:disk=full:since=12,state=free']\n"
        f"runpy.run_path({str(program)!r}, run_name='__main__')\n"
    )
    done = python(code, libraries["torque6"])
    assert done.stdout.splitlines() == [
        "argument: event disk = full",
        "argument: event since = 12",
    ], done.stderr
