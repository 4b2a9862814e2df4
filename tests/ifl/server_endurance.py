# SPDX-License-Identifier: MIT
"""Handles, memory and threads on a real server; tests/batch runs it on both."""

from __future__ import annotations

import contextlib
import gc
import resource
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from torqueckpt.ifl.call import INVALID_REQUEST, Calls
from torqueckpt.ifl.connection import Connection
from torqueckpt.ifl.errors import UnknownJob
from torqueckpt.ifl.library import Library

from .batch import Batch
from .server import ServerTests

ROUNDS = 10_000


class ServerEndurance(ServerTests):
    """The tests; see ServerTests."""

    def test_bad_handles_do_not_crash(self, batch: Batch) -> None:
        calls = Calls(Library(str(batch.library)))
        c = calls.connect(None).value
        for handle in (0, -1, 8, 10**6):
            assert calls.number("pbs_deljob", handle, "1", None).number == INVALID_REQUEST
            assert calls.status("pbs_statserver", handle, None, None).value == []
        assert calls.disconnect(c).number == 0
        assert calls.disconnect(c).number == INVALID_REQUEST
        assert calls.status("pbs_statserver", c, None, None).number == INVALID_REQUEST

    def test_ten_thousand_rounds_of_questions_keep_memory_flat(
        self, batch: Batch, job: str
    ) -> None:
        # Without a time limit: threads make malloc keep an arena or two more, once.
        with Connection(library=Library(str(batch.library))) as pbs:

            def rounds(count: int) -> int:
                for number in range(count):
                    assert job in [one.id for one in pbs.jobs()]
                    if number % 10 == 0:
                        with pytest.raises(UnknownJob):
                            pbs.job("999999.x")
                        pbs.nodes()
                gc.collect()
                return resident_kilobytes()

            started = rounds(500)
            begin = time.monotonic()
            grown = rounds(ROUNDS) - started
            seconds = time.monotonic() - begin
        print(f"{ROUNDS} rounds in {seconds:.1f} s: {grown} KB more than after the first 500")
        assert grown < 512

    def test_connections_come_and_go_without_leaving_anything(self, batch: Batch) -> None:
        library = Library(str(batch.library))

        def rounds(count: int) -> int:
            for _ in range(count):
                with Connection(library=library) as pbs:
                    pbs.queues()
            return resident_kilobytes()

        started = rounds(50)
        grown = rounds(200) - started  # not more: OpenPBS needs a reserved port for each
        print(f"200 connections: {grown} KB more than after the first 50")
        assert grown < 1024

    def test_two_threads_ask_at_once(self, batch: Batch) -> None:
        library = Library(str(batch.library))
        wrong: list[BaseException] = []

        def ask() -> None:
            try:
                with Connection(library=library) as pbs:
                    for _ in range(100):
                        assert pbs.nodes()
                        with pytest.raises(UnknownJob):
                            pbs.job("999999.x")
            except BaseException as failure:
                wrong.append(failure)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    def test_python_goes_on_while_a_connect_blocks(self, batch: Batch) -> None:
        server, release = full_listener()
        calls = Calls(Library(str(batch.library)))
        outcome: list[int] = []
        thread = threading.Thread(target=lambda: outcome.append(calls.connect(server).value))
        begin = time.monotonic()
        thread.start()
        ticks = 0
        while time.monotonic() - begin < 2 and thread.is_alive():
            time.sleep(0.001)
            ticks += 1
        blocked = time.monotonic() - begin
        release()
        thread.join(60)
        print(f"connect blocked for {blocked:.1f} s at least, {ticks} turns of another thread")
        assert blocked >= 2, "the connect did not block at all"
        assert ticks > 500


def full_listener() -> tuple[str, Callable[[], None]]:
    """host:port of a listener whose queue is full, so that a connect waits; and what ends that."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    filling = [socket.socket() for _ in range(2)]
    for one in filling:
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect(listener.getsockname())

    def release() -> None:
        for one in [listener, *filling]:
            one.close()

    return f"127.0.0.1:{listener.getsockname()[1]}", release


def resident_kilobytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024
