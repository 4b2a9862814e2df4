# SPDX-License-Identifier: MIT
"""Write _pbs_ifl.py from pbs_ifl.h: `python -m torqueckpt.ifl.build`.

The outcome is committed, so that installing needs neither a compiler nor this step; a test compares
the two.  cffi's out-of-line ABI mode: nothing is parsed at import, nothing is linked.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
DECLARATIONS = HERE / "pbs_ifl.h"
MODULE = HERE / "_pbs_ifl.py"
_HEAD = "# SPDX-License-Identifier: MIT\n# fmt: off\n# ruff: noqa\n"


def generated() -> str:
    """The text of _pbs_ifl.py for the declarations as they stand."""
    ffi = FFI()
    ffi.cdef(DECLARATIONS.read_text())
    ffi.set_source("torqueckpt.ifl._pbs_ifl", None)
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory, MODULE.name)
        ffi.emit_python_code(str(target))
        return _HEAD + target.read_text()


if __name__ == "__main__":
    MODULE.write_text(generated())
