# SPDX-License-Identifier: MIT
"""How every program ends."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn


def leave(status: int) -> NoReturn:
    """End at once: what Python would tidy up first, for milliseconds, the kernel takes anyway."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # closed when the program began
                stream.flush()
        except BrokenPipeError:  # nobody wants the rest
            pass
        except OSError as problem:
            status = status or 1
            with suppress(OSError):  # nor that
                os.write(2, f"the output could not be written: {problem.strerror}\n".encode())
    os._exit(status)
