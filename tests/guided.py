# SPDX-License-Identifier: MIT
"""A search guided by coverage, with atheris (`pip install atheris`), on a test with made-up input:

python -m tests.guided tests.unit.test_fuzz_images TEST -max_total_time=60
"""

from __future__ import annotations

import importlib
import sys

import atheris


def main() -> None:
    module, test, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["torqueckpt"]):
        found = getattr(importlib.import_module(module), test)
    atheris.Setup([sys.argv[0], *options], found.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
