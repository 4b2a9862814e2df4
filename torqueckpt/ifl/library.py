# SPDX-License-Identifier: MIT
"""Find, open and probe libtorque or OpenPBS's libpbs.

Nothing is opened at import: a machine without a batch system can import this package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from ctypes.util import find_library
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

from torqueckpt.ifl.errors import LibraryNotFound, NotAPbsLibrary, SymbolMissing

VARIABLE = "TORQUECKPT_PBS_LIBRARY"
_ANSWER_SECONDS = 10
_NAMES = ("libtorque.so.2", "libtorque.so", "libpbs.so")
_PREFIXES = ("/usr/local", "/usr", "/opt/torque", "/var/spool/torque", "/opt/pbs")
_LIBRARY_FOLDERS = ("lib", "lib64", f"lib/{os.uname().machine}-linux-gnu")
_ERRNO_FUNCTION = "__pbs_errno_location"  # OpenPBS's; TORQUE has the variable pbs_errno
# Other projects ship a libpbs or a libtorque too; none of them has these.
_PROBES = ("pbs_connect", "pbs_disconnect", "pbs_statjob", "pbs_statfree", "pbs_submit")


class Library:
    """One opened library; `pbs_errno` is read and set here, whatever way the library keeps it."""

    def __init__(self, path: str) -> None:
        """Open the library.

        NotAPbsLibrary when it cannot be loaded, or lacks what each such one has.
        """
        self.path = path
        self.ffi = ffi = _ffi()
        try:
            # Lazily bound: some builds of libtorque leave symbols open that no client calls.
            # Never unloaded: libpbs has work to do in every thread that ends.
            self.lib: Any = ffi.dlopen(path, ffi.RTLD_LAZY | ffi.RTLD_NODELETE)
        except (OSError, UnicodeError) as failure:  # cffi's, for a name that is not UTF-8
            raise NotAPbsLibrary(path=path, problem=failure) from failure
        missing = [name for name in _PROBES if not self.has(name)]
        if missing:
            raise NotAPbsLibrary(path=path, problem=f"it lacks {', '.join(missing)}")
        self.is_openpbs = self.has(_ERRNO_FUNCTION)
        if not self.is_openpbs and not self.has("pbs_errno"):
            raise NotAPbsLibrary(path=path, problem="it has no pbs_errno")
        self.has_torque4_resmon = self.has("begin_rm_req")
        self._libc: Any = ffi.dlopen(None)

    def has(self, name: str) -> bool:
        try:
            getattr(self.lib, name)
        except (AttributeError, self.ffi.error):
            return False
        return True

    def function(self, name: str) -> Any:
        """Find a C function; SymbolMissing names the library and the symbol when it has none."""
        try:
            return getattr(self.lib, name)
        except (AttributeError, self.ffi.error) as missing:
            raise SymbolMissing(library=self.path, symbol=name) from missing

    def reshaped(self, name: str, shape: str) -> Any:
        """Find a C function under another declaration, one of the typedefs in pbs_ifl.h."""
        self.function(name)
        return self.ffi.cast(shape, self.ffi.addressof(self.lib, name))

    def strdup(self, text: bytes) -> Any:
        """Copy a text so that the library may free it."""
        return self._libc.strdup(text)

    def free(self, block: Any) -> None:
        """Call libc's free, for what the library allocated and left to its caller."""
        self._libc.free(block)

    @property
    def pbs_errno(self) -> int:
        """The last error number: TORQUE has one for the process, OpenPBS one for each thread."""
        if self.is_openpbs:
            return int(self.function(_ERRNO_FUNCTION)()[0])
        return int(self.lib.pbs_errno)

    @pbs_errno.setter
    def pbs_errno(self, number: int) -> None:
        if self.is_openpbs:
            self.function(_ERRNO_FUNCTION)()[0] = number
        else:
            self.lib.pbs_errno = number

    def error_text(self, number: int) -> str:
        """The library's own words for a PBSE number, "" when it has none."""
        for name in ("pbs_strerror", "pbse_to_txt"):
            if self.has(name):
                words = self.function(name)(number)
                return _decoded(self.ffi.string(words)).strip() if words else ""
        return ""

    def attribute_in_error(self, handle: int) -> tuple[int, str]:
        """What OpenPBS's library found wrong with the attributes of this thread's last request.

        The PBSE number and the words; (0, "") for nothing, and from TORQUE's, which does not look.
        """
        name = "pbs_get_attributes_in_error"
        found = self.function(name)(handle) if self.has(name) else None
        if not found:
            return 0, ""
        first = found.ecl_attrerr[0]
        words = self.ffi.string(first.ecl_errmsg) if first.ecl_errmsg else b""
        return int(first.ecl_errcode), _decoded(words).strip()


def _ffi() -> Any:
    """The declarations, with the interpreter's cffi, else the one that lies beside this package.

    The package is also used by other interpreters than the one that it was installed for.
    """
    if "_cffi_backend" not in sys.modules and find_spec("_cffi_backend") is None:
        beside = PathFinder.find_spec("_cffi_backend", [str(Path(__file__).parents[2])])
        if beside is not None and beside.loader is not None:
            backend = sys.modules["_cffi_backend"] = module_from_spec(beside)
            beside.loader.exec_module(backend)
    from torqueckpt.ifl._pbs_ifl import ffi

    return ffi


def candidates() -> Iterator[str]:
    """List where a library may be, best first; names without a slash are left to the loader."""
    named = os.environ.get(VARIABLE)
    if named:
        # Somebody who names a library wants that one or an error, never another one.
        folder = Path(named)
        yield from ([str(folder / name) for name in _NAMES] if os.path.isdir(folder) else [named])
        return
    for directory in _configured_folders():
        yield from (str(Path(directory, name)) for name in _NAMES)
    for short in ("torque", "pbs"):
        found = find_library(short)
        if found:
            yield found
    for prefix in _PREFIXES:
        for folder_name in _LIBRARY_FOLDERS:
            yield from (str(Path(prefix, folder_name, name)) for name in _NAMES)


def open_library(path: str | None = None) -> Library:
    """Open the library at `path`, else the first found; LibraryNotFound lists where it looked.

    A file that is there but no PBS library is passed over when it was found by searching, and is an
    error (NotAPbsLibrary) when it was named.
    """
    if path is not None or os.environ.get(VARIABLE):
        return _named(path)
    refused: list[str] = []
    for candidate in candidates():
        if "/" in candidate and not os.path.exists(candidate):
            continue
        try:
            return _opened(candidate)
        except NotAPbsLibrary as problem:
            refused.append(str(problem))
    folders = dict.fromkeys(os.path.dirname(path) for path in candidates() if "/" in path)
    where = f"{', '.join(_NAMES)} in {', '.join(folders)}, and what ldconfig knows"
    raise LibraryNotFound(looked="; ".join([where, *refused]), variable=VARIABLE)


def _named(path: str | None) -> Library:
    wanted = [path] if path is not None else list(candidates())
    present = [candidate for candidate in wanted if not _is_missing(candidate)]
    if not present:
        raise LibraryNotFound(looked=", ".join(wanted), variable=VARIABLE)
    return _opened(present[0])


def _is_missing(path: str) -> bool:
    """Nothing is there; where that cannot be told, opening it says why."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


@cache
def _opened(path: str) -> Library:
    return Library(path)


def _configured_folders() -> Iterator[str]:
    """The folders that `pbs-config` (TORQUE) and pbs.conf (OpenPBS) name."""
    # Root does not run what its caller's PATH happens to name first.
    where = "/usr/local/bin:/usr/bin:/opt/torque/bin" if os.geteuid() == 0 else None
    program = shutil.which("pbs-config", path=where)
    if program:
        directory = _told_by(program)
        if directory:
            yield directory
    try:
        lines = Path(os.environ.get("PBS_CONF_FILE", "/etc/pbs.conf")).read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        name, _, value = line.partition("=")
        if name.strip() == "PBS_EXEC" and value.strip():
            yield str(Path(value.strip(), "lib"))


def _told_by(program: str) -> str:
    """What `pbs-config --libdir` prints; "" where it fails, or says nothing for a while."""
    try:
        answer = subprocess.run(
            [program, "--libdir"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=_ANSWER_SECONDS,
        )
    except subprocess.SubprocessError:
        return ""
    return os.fsdecode(answer.stdout.strip())


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
