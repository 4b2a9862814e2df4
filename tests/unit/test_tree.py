# SPDX-License-Identifier: MIT
"""Which processes are the job: found from the session leader, refused when that is not clear."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.unit import real
from torqueckpt.errors import (
    ForeignProcess,
    InteractiveJob,
    NoExecPid,
    OwnProgramInTree,
    SessionGone,
    SeveralExecPids,
)
from torqueckpt.identity import Owner
from torqueckpt.process import privileges, proc, sockets, tree

Start = Callable[..., "subprocess.Popen[bytes]"]


def _session(started: Start, script: str, children: int) -> int:
    """The sid of a session whose leader runs `script` and has so many running children."""
    leader = started("/bin/sh", "-c", script)
    real.children(leader.pid, children)
    return leader.pid


def _stat(pid: int) -> proc.Stat:
    found = proc.stat(pid)
    assert found is not None
    return found


def test_a_job_shell_without_a_child_has_nothing_to_dump(started: Start) -> None:
    sid = started("/bin/sleep", "60").pid
    with pytest.raises(NoExecPid, match=str(sid)):
        tree.exec_process(sid)


def test_the_one_child_of_the_job_shell_is_the_exec_process(started: Start) -> None:
    sid = _session(started, "sleep 60 & wait", 1)
    found = tree.exec_process(sid)
    assert found.ppid == sid != found.pid


def test_two_children_of_the_job_shell_are_refused_unless_one_is_named(started: Start) -> None:
    sid = _session(started, "sleep 60 & tail -f /dev/null & wait", 2)
    real.until(lambda: {e.name for e in real.children(sid, 2)} == {"sleep", "tail"}, "both execs")
    with pytest.raises(SeveralExecPids) as several:
        tree.exec_process(sid)
    for each in real.children(sid, 2):
        assert f"{each.pid} ({each.name})" in str(several.value)
    assert tree.exec_process(sid, match="tai*").name == "tail"
    assert tree.exec_process(sid, match="sleep").name == "sleep"
    with pytest.raises(SeveralExecPids):
        tree.exec_process(sid, match="*")
    with pytest.raises(NoExecPid):
        tree.exec_process(sid, match="SLEEP")


def test_a_session_that_the_mom_leads_itself_is_an_interactive_job(started: Start) -> None:
    """As under qsub -I: its children are another pbs_mom and the shell."""
    named = "printf pbs_mom >/proc/$$/comm; sleep 60 & sleep 60 & wait"
    sid = _session(started, named, 2)
    real.until(lambda: tree.leader(sid).name == "pbs_mom", "its name")
    with pytest.raises(InteractiveJob):
        tree.exec_process(sid)


def test_a_glob_also_knows_a_program_by_the_word_it_was_called_with(started: Start) -> None:
    """The kernel's name of a process is cut to 15 characters."""
    script = "exec -a"  # dash has none
    sid = _session(
        started, "bash -c 'exec -a /opt/my_application_x64 sleep 60' & sleep 60 & wait", 2
    )
    assert script
    real.until(
        lambda: any("my_application" in proc.argv(e.pid)[0] for e in real.children(sid, 2)), "exec"
    )
    found = tree.exec_process(sid, match="my_application_*")
    assert proc.argv(found.pid)[0] == "/opt/my_application_x64"


def test_a_zombie_child_of_the_job_shell_does_not_count(started: Start) -> None:
    code = (
        "import os, time\n"
        "if os.fork() == 0: os._exit(0)\n"
        "if os.fork() == 0: time.sleep(60)\n"
        "time.sleep(60)\n"
    )
    sid = started(*real.python(code)).pid
    zombie = real.until(
        lambda: [pid for pid in proc.children(sid) if real.state(pid) == "Z"], "a zombie child"
    )
    real.children(sid, 1)
    assert tree.exec_process(sid).pid not in zombie


def test_only_zombie_children_are_nothing_to_dump(started: Start) -> None:
    code = "import os, time\nif os.fork() == 0: os._exit(0)\ntime.sleep(60)\n"
    sid = started(*real.python(code)).pid
    real.until(lambda: [p for p in proc.children(sid) if real.state(p) == "Z"], "a zombie child")
    with pytest.raises(NoExecPid):
        tree.exec_process(sid)


def test_a_session_whose_leader_has_ended_is_gone(started: Start) -> None:
    leader = started("/bin/sleep", "60")
    leader.send_signal(signal.SIGKILL)
    real.until(lambda: real.state(leader.pid) == "Z", "a zombie leader")
    for call in (tree.leader, tree.exec_process, lambda sid: tree.exec_process(sid, "session")):
        with pytest.raises(SessionGone):
            call(leader.pid)
    leader.wait()
    with pytest.raises(SessionGone):
        tree.leader(leader.pid)


_OPENPBS = {**os.environ, "PBS_JOBDIR": "/home/ann", "PBS_ENVIRONMENT": "PBS_BATCH"}


@pytest.mark.parametrize(
    ("argv", "children"),
    [
        (("/bin/sh", "-c", "sleep 60 & wait"), 1),
        (("/bin/bash", "--norc", "-c", "sleep 60 & sleep 60 & wait"), 2),
        (("/bin/sleep", "60"), 0),
    ],
)
def test_a_leader_that_openpbs_was_told_to_start_is_the_job(
    started: Start, argv: tuple[str, ...], children: int
) -> None:
    process = started(*argv, stdin=subprocess.DEVNULL, env=_OPENPBS)
    real.execed(process.pid, argv[0])
    real.until(lambda: len(proc.children(process.pid)) == children, "its children")
    assert tree.exec_process(process.pid).pid == process.pid


@pytest.mark.parametrize("name", ["-bash", "/bin/bash"])
def test_a_shell_that_reads_its_script_from_moms_pipe_is_not(started: Start, name: str) -> None:
    """With a dash, or below what a site's own hook starts; the pipe goes on into the script."""
    code = f'exec -a {name} /bin/bash --norc -c "sleep 60 & wait"'
    process = started("/bin/bash", "-c", code, stdin=subprocess.PIPE, env=_OPENPBS)
    (child,) = real.children(process.pid, 1)
    assert tree.exec_process(process.pid).pid == child.pid


def test_an_interactive_job_of_openpbs_is_refused(started: Start) -> None:
    given = {**_OPENPBS, "PBS_ENVIRONMENT": "PBS_INTERACTIVE"}
    process = started("/bin/sh", "-c", "sleep 60 & wait", env=given)
    real.children(process.pid, 1)
    with pytest.raises(InteractiveJob):
        tree.exec_process(process.pid)


def test_the_whole_session_is_dumped_from_its_leader_when_the_settings_say_so(
    started: Start,
) -> None:
    sid = _session(started, "sleep 60 & sleep 60 & wait", 2)
    assert tree.exec_process(sid, "session").pid == sid


def test_the_tree_has_all_generations_and_the_session_also_what_was_forked_away(
    started: Start,
) -> None:
    script = "(sleep 61 & (sleep 62 & wait) & wait) & (sleep 63 &) ; wait"
    sid = _session(started, script, 1)

    def all_six() -> bool:  # each of the three sleeps has got that far, the last one's shell ended
        members = tree.session(sid)
        return (len(members), [each.name for each in members].count("sleep")) == (6, 3)

    real.until(all_six, "all six processes")
    root = tree.exec_process(sid)
    found = tree.below(root)
    sleeps = {proc.argv(each.pid)[1] for each in found if each.name == "sleep"}
    assert found[0].pid == root.pid
    assert sleeps == {"61", "62"}
    assert len({each.pid for each in found}) == len(found) == 4
    daemon = [each for each in tree.session(sid) if proc.argv(each.pid)[1:] == ["63"]]
    assert len(daemon) == 1 and daemon[0].ppid != sid


def test_a_tree_of_the_owner_alone_passes(started: Start, user: Owner) -> None:
    argv = privileges.as_owner_argv(user, (), ["/bin/sh", "-c", "sleep 60 & wait"])
    leader = started(*argv)
    real.children(leader.pid, 1)
    tree.check(tree.below(_stat(leader.pid)), user)


def test_a_process_of_another_uid_in_the_tree_is_refused_and_named(
    started: Start, user: Owner
) -> None:
    drop = " ".join(privileges.as_owner_argv(user, (), ["/bin/sleep", "60"]))
    sid = _session(started, f"{drop} & wait", 1)
    child = real.children(sid, 1)[0]
    real.execed(child.pid, "/bin/sleep")
    with pytest.raises(ForeignProcess) as refused:
        tree.check(tree.below(_stat(sid)), privileges.owner_of_uid(0))
    assert f"process {child.pid} (sleep) belongs to uid {user.uid}" in str(refused.value)
    with pytest.raises(ForeignProcess, match="belongs to uid 0"):
        tree.check(tree.below(_stat(sid)), user)


def test_a_process_that_could_become_root_again_is_refused(started: Start, user: Owner) -> None:
    change = f"os.setresuid({user.uid}, {user.uid}, 0)"
    code = f"import os, time; {change}; print(flush=True); time.sleep(60)"
    process = started(*real.python(code), stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    with pytest.raises(ForeignProcess, match="belongs to uid 0"):
        tree.check([_stat(process.pid)], user)


@pytest.mark.parametrize("program", ["rootdoor", "mom-restart"])
def test_a_tree_with_a_program_of_our_own_is_never_dumped_and_the_restart_is_what_is_told(
    started: Start, program: str, user: Owner
) -> None:
    process = started("bash", "-c", f"exec -a /usr/local/sbin/{program} sleep 60")
    real.execed(process.pid, f"/usr/local/sbin/{program}")
    for owner in (privileges.owner_of_uid(os.getuid()), user):
        with pytest.raises(OwnProgramInTree, match=f"{process.pid} .*a restart"):
            tree.check([_stat(process.pid)], owner)


def test_what_the_tree_has_open_is_listed_with_its_names(started: Start) -> None:
    process = started("/bin/sleep", "60", stdout=subprocess.DEVNULL)
    links = tree.open_links([_stat(process.pid)])
    assert (process.pid, 1, "/dev/null") in links
    real.end(process)
    assert tree.open_links([_stat(os.getpid())]) != []


def test_the_trees_tcp_sockets_are_seen_each_in_its_state(started: Start) -> None:
    code = (
        "import socket, sys\n"
        "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
        "print(1, flush=True); sys.stdin.readline()\n"
        "c = socket.create_connection(s.getsockname()); a, _ = s.accept()\n"
        "print(2, flush=True); sys.stdin.readline()\n"
    )
    process = started(*real.python(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None

    def states() -> list[int]:
        return sorted(each.state for each in tree.tcp(tree.open_links([_stat(process.pid)])))

    process.stdout.readline()
    assert states() == [sockets.LISTENING]
    process.stdin.write(b"\n")
    process.stdin.flush()
    process.stdout.readline()
    assert states() == [sockets.ESTABLISHED, sockets.ESTABLISHED, sockets.LISTENING]
