# SPDX-License-Identifier: MIT
"""Compare the job's files with what the image needs, and plan what brings them back to it.

Nothing is changed here, and all problems are found before anything is: a checkpointer reopens each
file by its name and wants one not opened for append to be as long as it was.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator

from torqueckpt import file_rules, layout, log
from torqueckpt.files import content, globs, places
from torqueckpt.manifest import Manifest, OpenFile, Place, WatchedFile
from torqueckpt.records import FileChange
from torqueckpt.safe_files import Directory

_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR
_RESTORED = (file_rules.ROLLBACK, file_rules.SNAPSHOT)
_OPENED = {os.O_RDONLY: "read", os.O_WRONLY: "written", os.O_RDWR: "read and written"}
AS_IT_WAS = -1


class Findings:
    """Result of the check: missing and wrong files stop a restart, changed ones may be accepted.

    positions: files whose size the checkpointer must not insist on → the offset at which the job
    goes on, AS_IT_WAS or the present end.
    """

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.wrong: list[str] = []
        self.changed: list[str] = []
        self.changes: list[FileChange] = []
        self.directories: list[str] = []
        self.places: list[Place] = []
        self.positions: dict[str, int] = {}

    def moved_away(self) -> list[str]:
        """The topmost missing directory, or the file itself, of each missing file."""
        return sorted({_topmost_missing(path) for path in self.missing})


def find(
    manifest: Manifest,
    lineage: Directory,
    handed_over: set[str],
    attempt: str,
    store: str,
    read: Callable[[int], None] = content.no_progress,
) -> Findings:
    """Check all files of an image; gives what is wrong, and what is to be done.

    Those in `handed_over` come from elsewhere, those below `store` are nobody's to bring back.
    `read` is told each number of bytes that was read of a file, of compared()'s.
    """
    return _Checker(manifest, lineage, handed_over, attempt, store, read).find()


def cannot_be_opened(path: str, flags: int) -> str:
    """Why a file that is there cannot be opened as the job had it; "" when it can."""
    access = os.R_OK if flags & _ACCESS != os.O_WRONLY else 0
    access |= os.W_OK if flags & _ACCESS != os.O_RDONLY else 0
    if flags & os.O_PATH or os.access(path, access, effective_ids=True):
        return ""
    return f"may not be {_OPENED[flags & _ACCESS]} by its user any more, as the job has it open"


def unreachable(files: Iterable[OpenFile]) -> Iterator[tuple[str, str]]:
    """Files of a new image that a restart would not find now as the job has them, and why.

    The job runs again, and may have removed them itself.
    """
    seen = set()
    for file in files:
        opened = (file.path, file.flags & (_ACCESS | os.O_PATH))
        if file.deleted or file.path.startswith(content.KERNELS) or opened in seen:
            continue
        seen.add(opened)
        if not os.path.exists(file.path):
            yield file.path, "is gone since"
        elif why := cannot_be_opened(file.path, file.flags):
            yield file.path, why


def compared(manifest: Manifest) -> int:
    """How many bytes find() reads, of files that have a copy in the store."""
    restored = (file for file in manifest.watched if file.policy in _RESTORED and file.copy)
    return sum(file.size for file in restored)


class _Checker:
    def __init__(
        self,
        manifest: Manifest,
        lineage: Directory,
        handed_over: set[str],
        attempt: str,
        store: str,
        read: Callable[[int], None],
    ) -> None:
        self._manifest = manifest
        self._lineage = lineage
        self._handed_over = handed_over
        self._attempt = attempt
        self._store = store.rstrip("/") + "/"
        self._read = read
        self._found = Findings()
        self._open = {file.path for file in manifest.files if not file.deleted}
        self._fixed = {  # CRIU wants these to have the recorded size
            file.path
            for file in manifest.files
            if not (file.flags & os.O_APPEND and file.flags & _ACCESS == os.O_WRONLY)
        }

    def find(self) -> Findings:
        for place in self._manifest.places:
            self._place(place)
        for file in self._manifest.watched:
            if file.temporary and self._is_anothers(file.path):
                continue
            if file.policy in _RESTORED:
                self._restored(file)
            elif file.copy and not os.path.lexists(file.path):
                self._gone(file)
            elif file.policy or file.path in self._open:
                self._left_alone(file.path, file.size, file.policy)
        watched = {file.path for file in self._manifest.watched} | self._handed_over
        for path, size in {f.path: f.size for f in self._manifest.files if not f.deleted}.items():
            if path not in watched and not path.startswith(content.KERNELS):
                self._left_alone(path, size, "")
        for rule in self._manifest.rules:
            if rule.complete and rule.policy in _RESTORED:
                for path in globs.Matches(rule, self._manifest.rules):
                    if path not in watched and path not in self._open:
                        self._new(path)
        self._refused()
        for cwd in sorted({process.cwd for process in self._manifest.processes if process.cwd}):
            if not os.path.isdir(cwd) and cwd not in self._found.directories:
                self._missing_cwd(cwd)
        return self._found

    def _place(self, place: Place) -> None:
        """Have one that is gone made again; one that is there must be the job's still."""
        if not places.missing(place):
            problem = places.problem(place)
            self._found.wrong += filter(None, [problem])
            self._found.places += [] if problem else places.with_other_mode(place)
            return
        inside = f"{place.path}/." if stat.S_ISDIR(place.mode) else place.path
        self._to_make(_missing_directories(inside))
        self._found.places.append(place)

    def _is_anothers(self, path: str) -> bool:
        """Whether somebody has put a file where a boot had removed the job's."""
        try:
            uid = os.lstat(path).st_uid
        except OSError:
            return False
        if uid != os.geteuid():
            self._found.wrong.append(f"{path} belongs to another user now (uid {uid})")
        return uid != os.geteuid()

    def _refused(self) -> None:
        """Check that all files that are there can be opened as the job had them."""
        for path, why in unreachable(self._manifest.files):
            if path not in self._handed_over and os.path.exists(path):
                self._found.wrong.append(f"{path} {why}")

    def _missing_cwd(self, cwd: str) -> None:
        """Have a missing working directory made again, where its files are to be put back."""
        inside = f"{cwd}/."
        if file_rules.of_path(self._manifest.rules, inside) == file_rules.SNAPSHOT:
            self._to_make(_missing_directories(inside))
        else:
            self._found.missing.append(cwd)

    def _to_make(self, directories: Iterable[str]) -> None:
        known = self._found.directories
        known += [each for each in directories if each not in known]

    def _left_alone(self, path: str, size: int, policy: str) -> None:
        """Check a file that stays as it is: the job only reads it, or a rule says so."""
        try:
            status = os.stat(path)
        except FileNotFoundError:
            self._found.missing.append(path)
            return
        except OSError as problem:
            self._found.wrong.append(f"{path} cannot be reached ({problem.strerror})")
            return
        if not stat.S_ISREG(status.st_mode):
            self._found.wrong.append(f"{path} is no regular file any more")
        elif status.st_size != size and path in self._fixed:
            end = status.st_size if policy == file_rules.APPEND else AS_IT_WAS
            self._found.positions[path] = end
            if not policy:
                self._found.changed.append(_sizes(path, status.st_size, size))

    def _restored(self, file: WatchedFile) -> None:
        try:
            fd = content.open_regular(file.path, os.O_RDONLY)
        except FileNotFoundError:
            self._gone(file)
            return
        except OSError as problem:
            self._found.wrong.append(f"{file.path}: {problem.strerror}")
            return
        try:
            status = os.fstat(fd)
            if self._has_copy(file):
                if not self._is_the_copy(file, fd, status.st_size):
                    self._change(file.path, status, 0, file.copy, file.mtime_ns)
                return
            why = _problem(file, fd, status)
            if why:  # where that is accepted the file stays as it is: it may be somebody else's
                self._found.changed.append(f"{file.path} {why}")
                if status.st_size != file.size and file.path in self._fixed:
                    self._found.positions[file.path] = AS_IT_WAS
            elif status.st_size > file.size:
                self._change(file.path, status, file.size, "", file.mtime_ns)
        finally:
            os.close(fd)

    def _has_copy(self, file: WatchedFile) -> bool:
        """Whether the file has a copy.

        One that is lost or damaged does not count, and is logged.
        """
        if not file.copy:
            return False
        try:
            with self._lineage.sub(layout.COPIES) as copies:
                fd = copies.open_file(file.copy, os.O_RDONLY)
            try:
                whole = os.fstat(fd).st_size == file.size and content.unchanged(fd, file.blocks)
            finally:
                os.close(fd)
        except OSError:
            whole = False
        if not whole:
            log.warning(f"{file.path}: its copy {layout.COPIES}/{file.copy} is damaged")
        return whole

    def _is_the_copy(self, file: WatchedFile, fd: int, size: int) -> bool:
        with self._lineage.sub(layout.COPIES) as copies:
            copy = copies.open_file(file.copy, os.O_RDONLY)
            try:
                return size == file.size and content.same(fd, 0, copy, 0, size, self._read)
            finally:
                os.close(copy)

    def _gone(self, file: WatchedFile) -> None:
        if not self._has_copy(file):
            if file.path in self._open:
                self._found.missing.append(file.path)
            else:
                self._found.changed.append(f"{file.path} is gone")
            return
        missing = list(_missing_directories(file.path))
        above = os.path.dirname(missing[0] if missing else file.path)
        if not os.access(above, os.W_OK | os.X_OK, effective_ids=True):
            self._found.wrong.append(f"{file.path} is to be put back, {above} is write-protected")
        self._to_make(missing)
        change = FileChange(
            *(file.path, False, 0, 0, 0, file.mode, 0),
            *(True, 0, file.copy, file.mtime_ns, ""),
        )
        self._found.changes.append(change)

    def _new(self, path: str) -> None:
        """Plan the removal of a file that a rule names and that was not there at the freeze.

        An image stays, although a checkpoint does not record it.
        """
        if path.startswith(self._store):
            return
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError:  # gone meanwhile
            return
        self._change(path, status, 0, "", 0, wanted=False)

    def _change(
        self,
        path: str,
        now: os.stat_result,
        keep: int,
        copy: str,
        mtime_ns: int,
        wanted: bool = True,
    ) -> None:
        touched = path if wanted else os.path.dirname(path)
        if not os.access(touched, os.W_OK, effective_ids=True):
            self._found.wrong.append(f"{path} is to be rolled back, {touched} is write-protected")
        change = FileChange(
            path=path,
            present=True,
            device=now.st_dev,
            inode=now.st_ino,
            size=now.st_size,
            mode=stat.S_IMODE(now.st_mode),
            mtime_ns=now.st_mtime_ns,
            wanted=wanted,
            keep=keep,
            copy=copy,
            wanted_mtime_ns=mtime_ns,
            tail=f"{self._attempt}.{len(self._found.changes)}",
        )
        self._found.changes.append(change)


def _problem(file: WatchedFile, fd: int, now: os.stat_result) -> str:
    """Why a file cannot be brought back by cutting it to its size at the freeze; "" when it can."""
    if now.st_size < file.size:
        return f"has {now.st_size} bytes, {file.size} at the checkpoint"
    if not content.unchanged(fd, file.blocks):
        same = (now.st_dev, now.st_ino) == (file.device, file.inode)
        return f"was {'rewritten in place' if same else 'replaced by another file'} since"
    same_size = now.st_size == file.size and now.st_mtime_ns != file.mtime_ns
    if same_size and not content.covers(file.blocks, file.size):
        return "was written to since, its size being the same"
    return ""


def _sizes(path: str, now: int, then: int) -> str:
    return f"{path} has {now} bytes, {then} at the checkpoint"


def _missing_directories(path: str) -> Iterator[str]:
    """The missing directories above `path`, the topmost first."""
    above = os.path.dirname(path)
    if not os.path.lexists(above):
        yield from _missing_directories(above)
        yield above


def _topmost_missing(path: str) -> str:
    return next(_missing_directories(path), path)
