# SPDX-License-Identifier: MIT
"""LSF's job starter: the parent of the job for as long as the job lasts; it is never dumped.

The user's command runs in a child of it.  When LSF suspends the job, that child is dumped and
ended; when LSF resumes it, the child comes back from the image.  Only this program may bring it
back, for only what is below it is LSF's to account, signal and kill (contracts/lsf.md).
"""

from __future__ import annotations

import os
import signal
import time

from torqueckpt import log, paths
from torqueckpt.batch.lsf import calls, starter_socket
from torqueckpt.batch.lsf.calls import LsfJob, StarterCall
from torqueckpt.batch.lsf.starter_socket import Answer, Request, StarterListener
from torqueckpt.checkpointers import registry
from torqueckpt.errors import CheckpointRefused, NotResumed, ProgramMissing, TorqueCkptError
from torqueckpt.identity import ImageRef, ProcessId
from torqueckpt.lsf import ending, records
from torqueckpt.lsf.ending import Ending
from torqueckpt.process import inherited, proc, signals, supervise, tree
from torqueckpt.restart import door
from torqueckpt.settings import Settings

_WATCHED = {signal.SIGCHLD, StarterListener.WAKES, *supervise.PASSED_ON}
_LOOK_SECONDS, _REAP_SECONDS = 0.02, 30.0


class JobStarter:
    """Starts and ends with a job.  child: the script's shell, after a restart the restore program.

    Exactly one of these holds: the tree below `root` runs or is stopped; the job is saved in an
    image and has no process; it has ended with `status`.
    """

    def __init__(
        self, job: LsfJob, settings: Settings, environment: dict[bytes, bytes], umask: int
    ) -> None:
        self._job, self._settings = job, settings
        self._environment, self._umask = environment, umask
        self._child: ProcessId | None = None
        self._root: ProcessId | None = None
        self._stopped = False
        self._saved: ImageRef | None = None
        self._missed: list[int] = []
        self._status: int | None = None
        self._held_before: set[int] = set()
        self._ending = Ending(job.id, settings)

    def run(self, call: StarterCall) -> int:
        """Run the job from its first to its last instruction; gives its exit status."""
        self._held_before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        listener = self._listen()
        if call.image is not None:
            self._saved = call.image
            self._ending.migrated = records.is_of(self._job.id, call.image, self._settings)
            self._resume()  # where it fails we stay, too: POST_EXEC may remove the image
            return self._stay(listener)
        with calls.written(call.command, self._job.directory) as argv:
            self._begin(argv)
            return self._stay(listener)

    def _listen(self) -> StarterListener | None:
        try:
            return StarterListener(self._job.id)
        except OSError as problem:  # then LSF can stop and continue it, and no more
            log.error(f"{self._job.id}: nobody can ask for its suspension: {problem}")
            return None

    def _begin(self, argv: list[str]) -> None:
        try:
            checkpointer = registry.load(self._settings.checkpointer, self._settings)
            stay = [str(paths.program("sbin", "mom-run")), "--stay", "/bin/sh"]
            self._child = self._spawn([*stay, *checkpointer.launch_argv(argv)])
        except TorqueCkptError as missing:
            log.warning(f"{self._job.id}: started as it is: {missing}")
            self._child = self._spawn(argv)
        self._root = self._child

    def _stay(self, listener: StarterListener | None) -> int:
        while self._status is None:
            got = signal.sigwaitinfo(_WATCHED)
            if got.si_signo == signal.SIGCHLD:
                self._reap()
            elif got.si_signo == StarterListener.WAKES and listener is not None:
                self._serve(listener)
            else:
                self._signalled(got.si_signo, got.si_pid, by_root=got.si_uid == 0)
        log.info(f"{self._job.id}: ended with {self._status}")
        self._ending.note(self._status, is_saved=self._saved is not None)
        return self._status

    def _serve(self, listener: StarterListener) -> None:
        """Answer all requests; whatever goes wrong here, the job goes on."""
        try:
            for asked, caller in listener.calls():
                starter_socket.reply(caller, self._do(asked), wait=self._status is not None)
        except Exception as failure:  # the caller is told that the line broke
            log.traceback_of(failure)

    def _do(self, asked: Request) -> Answer:
        self._reap()  # it may have ended, and nobody has told us yet
        if self._status is not None:
            return Answer("ended", f"job {self._job.id} has ended")
        if asked.verb == "suspend":
            return self._suspend()
        if asked.verb == "resume":
            return self._resume()
        return self._checkpoint(asked.after)

    def _suspend(self) -> Answer:
        if self._saved is not None or self._stopped:  # sbatchd asks again when it was restarted
            return self._answer()
        try:
            self._dump("suspend", end=True)
        except CheckpointRefused as refused:
            return self._stop(str(refused))
        return self._answer()

    def _resume(self) -> Answer:
        if self._saved is not None:
            since = int(time.time())
            reason = self._restore(self._saved)
            if reason:
                self._ending.has_failed("restart", since)
                told = NotResumed(job=self._job.id, reason=reason)
                log.error(str(told))
                inherited.tell(f"lsf-jobstarter: {told}")
                return self._answer(reason)
        else:
            self._run_on()
        return self._answer()

    def _checkpoint(self, after: str) -> Answer:
        try:
            found = self._saved or self._dump("checkpoint", end=after == "kill")
        except CheckpointRefused as refused:
            if not self._stopped:  # the door may have been killed while it had stopped the tree
                self._run_on()
            return self._answer(str(refused))
        if after == "kill":
            self._saved, self._status, self._ending.kept = None, 128 + signal.SIGKILL, True
        elif after == "stop" and self._saved is None and self._root is not None:
            signals.stop_tree(self._root)
            self._stopped = True
        return self._answer(image=found)

    def _dump(self, verb: str, end: bool) -> ImageRef:
        """Have the tree dumped; when it is to end, wait until our child has ended.

        A zombie would hold the process number that the restore needs.
        """
        assert self._root is not None
        since = int(time.time())
        try:
            image = door.dump(verb, self._root.pid, end, self._job.id, self._settings)
        except CheckpointRefused as refused:
            log.warning(str(refused))
            self._ending.has_failed("checkpoint", since)
            if proc.alive(self._root) is not None:
                records.note_failure(self._job.id, since, str(refused), self._settings)
                raise
            held = records.image_of_hold(self._job.id, since, self._settings)
            if held is None:  # it has ended by itself
                raise
            image = held  # the door was killed once the image was safe and the tree was gone
        self._ending.has_worked()
        if end:
            self._saved, self._stopped = image, False
            self._reap(_REAP_SECONDS)
        return image

    def _stop(self, reason: str) -> Answer:
        """Stop the job, as LSF itself would have suspended it."""
        if ending.being_ended():  # it is being ended, and has to run for that
            self._run_on()
        elif self._root is not None:
            signals.stop_tree(self._root)
            self._stopped = True
        return self._answer(reason)

    def _run_on(self) -> None:
        """Let the job's stopped processes run on, and signal no others."""
        stopped = (each.id for each in self._tree() if each.state == "T")
        signals.send_all(stopped, signal.SIGCONT)
        self._stopped = False

    def _tree(self) -> list[proc.Stat]:
        root = proc.alive(self._root) if self._root is not None else None
        return tree.below(root) if root is not None else []

    def _restore(self, image: ImageRef) -> str:
        """Restore the job from the image; gives why that failed, "" when it did not.

        `torqueckpt resume` does it, and becomes the parent of the tree.
        """
        inherited.append_from_now_on()
        since = int(time.time())
        program = str(paths.program("bin", "torqueckpt"))
        words = ["resume", image.lineage, "--generation", str(image.generation)]
        try:
            child = self._spawn([program, *words])
        except ProgramMissing as missing:
            return str(missing)
        while True:
            ended = os.waitpid(child.pid, os.WNOHANG)
            root = records.restored_by(child, image.lineage, self._settings)
            if root is not None:
                break
            if ended[0]:
                return records.why_not_restored(
                    self._job.id, image.lineage, since, ended[1], self._settings
                )
            time.sleep(_LOOK_SECONDS)
        self._child, self._root, self._saved = child, root, None
        self._ending.has_worked()
        if ended[0]:
            self._status = _as_status(ended[1])
        self._run_on()  # it may have been dumped while it was stopped
        while got := signal.sigtimedwait(supervise.PASSED_ON, 0):  # sent while there was no tree
            self._ending.signalled(got.si_signo, got.si_pid, by_root=got.si_uid == 0)
            self._missed.append(got.si_signo)
        for number in self._missed:
            self._pass_on(number)
        self._missed = []
        return ""

    def _signalled(self, number: int, sender: int, by_root: bool) -> None:
        """Pass a signal on to the job, if a user has sent it: LSF signals each process itself.

        A job without processes has only us to get it.  CONT is not passed on: LSF's RESUME comes
        through the listener, and what was stopped for LSF stays so.
        """
        if number == signal.SIGCONT:
            return
        self._ending.signalled(number, sender, by_root)
        if self._saved is not None:
            if number in ending.SIGNALS:
                self._status = 128 + number
            else:
                self._missed.append(number)
            return
        if not by_root:
            self._pass_on(number)
        if self._stopped and number in ending.SIGNALS:
            self._run_on()

    def _pass_on(self, number: int) -> None:
        signals.send_all([each.id for each in self._tree()], number)

    def _reap(self, seconds: float = 0) -> None:
        """Reap our child, if it has ended, or does so within that time."""
        until = time.monotonic() + seconds
        while self._child is not None:
            ended, status = os.waitpid(self._child.pid, os.WNOHANG)
            if ended:
                self._child = self._root = None
                if self._saved is None:
                    self._status = _as_status(status)
            if time.monotonic() >= until:
                return
            time.sleep(_LOOK_SECONDS)

    def _answer(self, reason: str = "", image: ImageRef | None = None) -> Answer:
        image = image or self._saved or ImageRef("", 0)
        state = "saved" if self._saved else "stopped" if self._stopped else "running"
        state = state if self._status is None else "ended"
        return Answer(state, reason, image.lineage, image.generation)

    def _spawn(self, argv: list[str]) -> ProcessId:
        """Start a program as LSF would have: its environment, signals and umask."""
        own = os.umask(self._umask)
        try:
            pid = os.posix_spawn(
                argv[0],
                argv,
                self._environment,
                setsigmask=self._held_before,
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores these two
                setsid=os.getsid(0) == 0,  # led from outside of this container: not to be dumped
            )
        except OSError as problem:
            raise ProgramMissing(program=argv[0], problem=problem.strerror) from problem
        finally:
            os.umask(own)
        started = proc.stat(pid)
        assert started is not None, "our own child, and not waited for"
        return started.id


def _as_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
