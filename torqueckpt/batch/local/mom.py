# SPDX-License-Identifier: MIT
"""Play pbs_mom for one job: run it, call the hook each period, hold, release, deliver its output.

One loop waits for whatever comes first: the job's end, the hook's end, a caller, a signal, the next
checkpoint's time.  Nothing here knows how a checkpoint is made; the installed hook does.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torqueckpt import log
from torqueckpt.batch.local import control, launch
from torqueckpt.batch.local.delivery import Delivery
from torqueckpt.batch.local.due import Due
from torqueckpt.batch.local.launch import Hook
from torqueckpt.batch.local.restarting import LOOK_SECONDS, Restart, to_go_on
from torqueckpt.batch.local.site import Progress, Site, Watcher
from torqueckpt.batch.local.spool import Spool
from torqueckpt.batch.local.submission import Submission
from torqueckpt.batch.local.walltime import Deadline
from torqueckpt.errors import WrongState
from torqueckpt.identity import ProcessId
from torqueckpt.process import memory, proc, signals, tree

_KILL_DELAY_SECONDS = 2.0


@dataclass
class LocalMom:
    """The MOM of one job."""

    spool: Spool
    submission: Submission
    site: Site
    watch: Watcher
    job: str = ""
    progress: Progress = field(init=False)
    _leader: int = 0  # pid that is waited for: the session leader or mom-restart; 0 when ended
    _leader_fd: int = -1
    _sid: int = 0  # the first session id, for ever
    _hook: Hook | None = None
    _callers: list[control.Caller] = field(default_factory=list)  # who wait for its end
    _ended: int | None = None
    _kill_at: float | None = None
    _waiting: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _checkpoint_name: str = ""
    _restart: Restart | None = None  # of a held job, until it is known whether that runs again
    _delivery: Delivery = field(init=False)
    _delivered: bool = False
    _last_word: str = ""  # why it was ended, for its stderr
    _deadline: Deadline = field(init=False)
    _due: Due = field(init=False)

    def __post_init__(self) -> None:
        self.progress = Progress(self.job)
        self._delivery = Delivery(self.job, self.spool, self.submission)
        self._deadline = Deadline(self.submission, self.site.chain_margin_seconds)
        self._due = Due(self.job, self.submission.spec, self.site, time.monotonic())

    def run(self, told: Callable[[str], None]) -> int:
        """Run the job to its end and give its exit status, 128 + N for signal N.

        `told` gets its id once others can ask for something.
        """
        listener = control.listen(self.spool.socket(self.job))
        told(self.job)
        wake = self._catch_signals()
        self._waiting.register(listener, selectors.EVENT_READ, lambda: self._called(listener))
        self._waiting.register(wake, selectors.EVENT_READ, lambda: self._signalled(wake))
        self._begin(launch.start_job(self.job, self.submission, self.spool, self.site))
        self._sid = self._leader
        while self._ended is None or self._hook is not None:
            for ready, _ in self._waiting.select(self._patience()):
                if self._waiting.get_map().get(ready.fileobj) == ready:  # not dealt with meanwhile
                    ready.data()
            self._on_time()
        listener.close()
        if self._last_word:
            self._delivery.add_line(self._last_word)
            if self.progress.comment not in ("", self._last_word):  # something came after it
                self._tell(self._last_word)
        if not self._delivered:
            self._deliver()
        return self._ended

    # What can happen ---------------------------------------------------------------------------

    def _job_ended(self, fd: int) -> None:
        self._waiting.unregister(fd)
        os.close(fd)
        # What is left of the session goes, as at MOM; its zombie still keeps the session's number.
        while self._kill_at is not None and time.monotonic() < self._kill_at and self._others():
            time.sleep(0.02)  # at qdel it has its time for traps
        signals.send_all(self._members(), signal.SIGKILL)
        self._look_whether_it_is_back()
        _, status = os.waitpid(self._leader, 0)
        code = os.waitstatus_to_exitcode(status)
        self._leader, self._leader_fd = 0, -1
        self._ended = code if code >= 0 else 128 - code
        if self._restart is not None:
            self._not_restarted(self._restart, code)

    def _hook_spoke(self) -> None:
        hook = self._hook
        assert hook is not None
        if not hook.spoke():
            return
        self._waiting.unregister(hook.output)
        self._hook = None
        self._checkpointed(hook, *hook.end_of_it())
        self._serve_who_waits()

    def _serve_who_waits(self) -> None:
        while self._callers and self._hook is None and self._restart is None:
            self._serve(self._callers.pop(0))

    def _checkpointed(self, hook: Hook, status: int, comment: str) -> None:
        now = time.monotonic()
        self._deadline.took(hook, status, now)
        if status == 0:
            self._checkpoint_name = hook.name
            self._due.taken(now)
            self.progress.checkpoints += 1
            if hook.end:
                self._held(hook)
        else:
            self._due.failed(now)
            self.progress.failures += 1
        self._tell(comment if status else "")
        if hook.caller is None:
            return
        if status == 0 and hook.end and self.progress.state != "H":
            problem = f"it was ended meanwhile{self._to_go_on()}"
            hook.caller.refuse(WrongState(job=self.job, problem=problem))
        else:
            hook.caller.answer(status, comment if status else "")

    def _called(self, listener: socket.socket) -> None:
        caller = control.accept(listener, self.submission.owner.uid)
        if caller is not None:
            self._callers.append(caller)
            self._serve_who_waits()

    def _serve(self, caller: control.Caller) -> None:
        problem = self._unable(caller.verb)
        if problem:
            caller.refuse(WrongState(job=self.job, problem=problem))
        elif caller.verb == "release":
            self._release(caller)
        else:
            self._call_hook(caller, end=caller.verb == "hold")

    def _unable(self, verb: str) -> str:
        """Why the job's state does not allow this request; "" when it does."""
        if verb == "release":
            return "" if self.progress.state == "H" else "it is not held: nothing to release"
        if self.progress.state == "H":
            return "it is held: release it first"
        if not self.submission.spec.checkpointable:
            return "it is not checkpointable: run it with -c enabled"
        if self._ended is not None:
            return "it ends just now"
        return ""

    def _signalled(self, wake: socket.socket) -> None:
        """End the job for TERM, INT, or a closed terminal's HUP, as qdel does.

        TERM, a moment later KILL.
        """
        wake.recv(64)
        if self.progress.state == "H":
            self._ended = 128 + signal.SIGTERM
            self._say_at_its_end("deleted")
            return
        self._end("deleted")

    def _end(self, why: str) -> None:
        signals.send_all(self._members(), signal.SIGTERM)
        self.progress.state = "E"
        if self._kill_at is None:
            self._kill_at = time.monotonic() + _KILL_DELAY_SECONDS
        self._say_at_its_end(why)

    def _say_at_its_end(self, why: str) -> None:
        """Say why the job ends and how to go on with it, also where nobody sees a terminal."""
        self._last_word = f"{why}{self._to_go_on()}"
        self._tell(self._last_word)

    def _to_go_on(self) -> str:
        return to_go_on(self.job, self.submission.owner, self.site.settings)

    def _on_time(self) -> None:
        now = time.monotonic()
        if self._kill_at is not None and now >= self._kill_at:
            signals.send_all(self._members(), signal.SIGKILL)
            self._kill_at = now + _KILL_DELAY_SECONDS
        self._look_whether_it_is_back()
        running = self.progress.state == "R" and self._ended is None
        if running and self._deadline.is_over(now):
            self._end(f"walltime of {self.submission.walltime} s is over")
            return
        free = running and self._hook is None and self._restart is None
        if free and self._deadline.is_near(now, self._memory):
            self._call_hook(None, end=True)
            return
        if not self._periodic() or now < self._due.next():
            return
        if costly := self._due.skipped(now):
            self._tell(f"checkpoint skipped: {costly}")
            return
        self._call_hook(None, end=False)

    # What is done ------------------------------------------------------------------------------

    def _begin(self, leader: int) -> None:
        self._leader, self._ended = leader, None
        self._leader_fd = fd = os.pidfd_open(leader)
        self._waiting.register(fd, selectors.EVENT_READ, lambda: self._job_ended(fd))
        self.progress.state = "R"
        self._deadline.runs(time.monotonic())
        self._tell("")

    def _call_hook(self, caller: control.Caller | None, end: bool) -> None:
        owner, spec = self.submission.owner, self.submission.spec
        name = spec.name or f"ckpt.{self.job}.{int(time.time())}"
        words = (
            *(str(self.site.checkpoint_program), str(self._sid), self.job),
            *(owner.name, str(owner.gid), str(self._checkpoint_dir()), name),
            *("15" if end else "0", str(spec.depth or "-")),
        )
        self._hook = Hook(words, self.spool.home / "mom_priv", name, caller, end)
        self._waiting.register(self._hook.output, selectors.EVENT_READ, self._hook_spoke)

    def _held(self, hook: Hook) -> None:
        """Deliver the output of a job that was just held.

        It waits, without processes, with its image.
        """
        if self._leader:
            signals.send_all(self._members(), signal.SIGKILL)
            self._job_ended(self._leader_fd)
        self._deadline.stands(time.monotonic())
        if self._kill_at is not None:  # ended meanwhile, with an image to go on from
            self._say_at_its_end(self._last_word.partition(";")[0])
            return
        if hook.caller is None:  # nobody asked for a hold: its walltime is over
            self._say_at_its_end("ended before its walltime")
            return
        self._ended = None
        self._deliver()
        self.progress.state = "H"

    def _release(self, caller: control.Caller) -> None:
        owner = self.submission.owner
        command = [
            *(str(self.site.restart_program), str(self._sid), self.job, owner.name),
            *(str(owner.gid), str(self._checkpoint_dir()), self._checkpoint_name),
        ]
        try:
            for fd in self.spool.open_outputs(self.job, owner, self.submission.joined):
                os.close(fd)
            self._restart = Restart(command, self.job, owner, caller)
        except OSError as problem:
            caller.refuse(WrongState(job=self.job, problem=f"it stays held: {problem}"))
            return
        self._begin(self._restart.pid)

    def _look_whether_it_is_back(self) -> None:
        restart = self._restart
        if restart is None or not restart.has_served():
            return
        self._restart, self._delivered = None, False
        self.spool.outputs_settled(self.job, True)
        restart.caller.answer(0, "")
        restart.close()
        self._serve_who_waits()

    def _not_restarted(self, restart: Restart, code: int) -> None:
        """Have the job wait on, held with its image, and say why."""
        self._restart = None
        self.spool.outputs_settled(self.job, False)
        reason = restart.why_not(code, self.site.settings)
        restart.close()
        problem = f"it was ended meanwhile{self._to_go_on()}"
        if self._kill_at is None:
            self._ended, self.progress.state = None, "H"
            self._deadline.stands(time.monotonic())
            problem = f"it is not restarted and stays held: {reason}"
            self._delivery.add_line(problem)
            self._tell(problem)
        else:
            self._ended = 128 + signal.SIGTERM
        restart.caller.refuse(WrongState(job=self.job, problem=problem))
        self._serve_who_waits()

    def _checkpoint_dir(self) -> Path:
        return self.spool.checkpoint_dir(self.job, self.submission.spec.directory)

    def _deliver(self) -> None:
        self._delivered = True
        for problem in self._delivery.deliver():
            log.warning(f"{self.job}: {problem}")
            self._tell(problem)

    def _members(self) -> list[ProcessId]:
        """All processes of the job.

        The session's, and the leader's tree, which restored ones may have joined.
        """
        if not self._leader:
            return []
        top = proc.stat(self._leader)
        below = tree.below(top) if top is not None else []
        found = {each.pid: each.id for each in [*tree.session(self._leader), *below]}
        return list(found.values())

    def _memory(self) -> int:
        top = proc.stat(self._leader)
        return memory.to_dump(tree.below(top)) if top is not None else 0

    def _others(self) -> list[ProcessId]:
        """Processes of the job that have not ended, without the leader."""
        return [each for each in self._members() if each.pid != self._leader and proc.alive(each)]

    def _periodic(self) -> bool:
        running = self.progress.state == "R" and self._ended is None
        free = running and self._hook is None and self._restart is None
        return free and self.submission.spec.periodic and not self._deadline.near

    def _patience(self) -> float | None:
        times = [self._due.next()] if self._periodic() else []
        times += [self._kill_at] if self._kill_at is not None else []
        times += [time.monotonic() + LOOK_SECONDS] if self._restart is not None else []
        if self.progress.state == "R" and self._ended is None:
            times += self._deadline.next_looks(time.monotonic(), self._hook is None)
        return max(min(times) - time.monotonic(), 0.0) if times else None

    def _catch_signals(self) -> socket.socket:
        wake, tell = socket.socketpair()
        wake.setblocking(False)
        tell.setblocking(False)
        signal.set_wakeup_fd(tell.fileno())
        self._tell_end = tell
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        return wake

    def _tell(self, comment: str) -> None:
        self.progress.comment = comment
        self._due.frozen_seconds = self.watch(self.progress)


def submit(
    submission: Submission, spool: Spool, site: Site, watch: Watcher, told: Callable[[str], None]
) -> int:
    """Give the job its id, run it to its end, and remove what is not needed any more."""
    spool.make()
    job = spool.next_job()
    details, parent = submission.details(), submission.spec.directory
    lines = submission.slots.lines
    spool.add(job, details, submission.script, submission.owner, parent, lines)
    try:
        return LocalMom(spool, submission, site, watch, job).run(told)
    finally:
        spool.remove(job)
