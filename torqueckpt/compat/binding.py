# SPDX-License-Identifier: MIT
"""What the functions of module pbs share: the library, the last error, and the text 'NULL'.

Importing this opens the library; ImportError when there is none.  These functions raise nothing
for what a server refuses: they return a number, None or [], and error() tells why.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import TypeVar, Union

from torqueckpt.errors import TorqueCkptError
from torqueckpt.ifl.attributes import Attribute, BatchStatus, Text
from torqueckpt.ifl.call import Calls, Outcome
from torqueckpt.ifl.library import open_library

T = TypeVar("T")
Attributes = Union[Sequence[Attribute], str, None]

try:
    library = open_library()
except (TorqueCkptError, OSError) as failure:  # OSError: pbs-config cannot be run
    raise ImportError(str(failure), name="pbs") from failure
except ImportError as failure:
    cffi = "install cffi for it (Debian: python3-cffi-backend, Red Hat: python3-cffi, else pip)"
    told = f"pbs: {sys.executable} has no cffi ({failure}): {cffi}"
    raise ImportError(told, name="pbs") from failure
calls = Calls(library)


class _Last(threading.local):
    number = 0
    text = ""


_last = _Last()


def get_error() -> int:
    """The PBSE number of this thread's last request, 0 when it went well."""
    return _last.number


def error() -> tuple[int, str | None]:
    """The PBSE number of the last request, and what it means.

    In OpenPBS most numbers mean "System error:", and the words come from pbs_geterrmsg.
    """
    words = _last.text if library.is_openpbs else ""
    return _last.number, words or pbs_strerror(_last.number)


def pbs_strerror(number: int) -> str | None:
    """The library's text for a PBSE number; None when it has none."""
    return library.error_text(number) or None


def optional(text: Text) -> Text:
    """None for 'NULL', which means C's NULL in `extend`, a destination or a location."""
    return None if text in ("NULL", b"NULL") else text


def listed(attributes: Attributes) -> Sequence[Attribute]:
    """A list for C; 'NULL' and None are an empty one."""
    return () if attributes is None or isinstance(attributes, str) else attributes


def noted(outcome: Outcome[T]) -> T:
    """The value of an outcome; its number and text are kept for error()."""
    _last.number, _last.text = outcome.number, outcome.text
    return outcome.value


def number_of(name: str, c: int, *arguments: object) -> int:
    return noted(calls.number(name, c, *arguments))


def text_of(name: str, c: int, *arguments: object) -> str | None:
    return noted(calls.text(name, c, *arguments))


def statuses_of(name: str, c: int, *arguments: object) -> list[BatchStatus]:
    return noted(calls.status(name, c, *arguments))
