# SPDX-License-Identifier: MIT
"""A job that OpenPBS would restart is queued again: what the server is asked, and when not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from torqueckpt.batch.openpbs import launch_hook, requeue
from torqueckpt.errors import NoLaunchHook
from torqueckpt.ifl.errors import PermissionDenied, UnknownJob
from torqueckpt.ifl.records import Job
from torqueckpt.settings import Settings

_JOB = "12.node1"
_SELECT = {"select": "1:ncpus=2+1:ncpus=1:vnode=node1[0]"}


class Server:
    """Plays the server: a running job goes back into its queue, held by an operator."""

    def __init__(self, state: str = "R", refused: int = 0) -> None:
        self.state, self.refused = state, refused
        self.asked: list[tuple[object, ...]] = []

    def job(self, job: str, attributes: object) -> Job:
        if self.state == "gone":
            raise UnknownJob(call="pbs_statjob", text="Unknown Job Id", number=15001)
        facts = {"job_state": self.state, "exec_host": "node1/0*2", "Resource_List": _SELECT}
        return Job(job, facts)

    def __getattr__(self, name: str) -> Callable[..., None]:
        def request(job: str, *words: object, **options: object) -> None:
            if self.refused:
                self.refused -= 1
                raise PermissionDenied(call=name, text="Unauthorized Request", number=15007)
            self.asked.append((name, *words, *options))
            self.state = "H" if name == "rerun" else self.state

        return request


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(requeue.time, "sleep", seconds.append)
    return seconds


def _requeued(
    server: Server, monkeypatch: pytest.MonkeyPatch, held: str = "", shared: bool = False
) -> list[tuple[object, ...]]:
    monkeypatch.setattr(requeue, "Afresh", lambda settings: server)
    requeue.requeue(_JOB, Settings(store_shared=shared), held)
    return server.asked


def test_it_is_held_queued_again_on_its_node_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = "1:ncpus=2:host=node1+1:ncpus=1:vnode=node1[0]"
    assert _requeued(Server(), monkeypatch) == [
        ("hold", "o"),
        ("rerun", "force"),
        ("alter", {"Resource_List": {"select": chunks}}),
        ("release", "o"),
    ]


def test_where_nodes_share_the_store_it_may_go_on_on_any(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _requeued(Server(), monkeypatch, shared=True)
    assert [name for name, *_ in asked] == ["hold", "rerun", "release"]


def test_one_that_would_start_from_the_beginning_stays_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = _requeued(Server(), monkeypatch, held="no image of it")
    assert asked == [
        ("hold", "o"),
        ("rerun", "force"),
        ("comment", f"torqueckpt: held: no image of it, then qrls -h o {_JOB}"),
    ]


def test_a_server_that_refuses_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, waited: list[float]
) -> None:
    asked = _requeued(Server(refused=2), monkeypatch)
    assert [name for name, *_ in asked] == ["hold", "rerun", "alter", "release"]
    assert waited == [20, 20]


def test_one_that_is_queued_already_is_only_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _requeued(Server("H"), monkeypatch)
    assert [name for name, *_ in asked] == ["alter", "release"]


def test_one_that_was_deleted_meanwhile_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _requeued(Server("gone"), monkeypatch) == []


def test_the_hook_is_looked_for_at_the_mom_that_calls(tmp_path: Path) -> None:
    node_file = str(tmp_path / "aux" / _JOB)
    with pytest.raises(NoLaunchHook):
        launch_hook.refuse_without(node_file)
    hook = launch_hook.place(tmp_path / "mom_priv")
    hook.parent.mkdir(parents=True)
    hook.touch()
    launch_hook.refuse_without(node_file)
