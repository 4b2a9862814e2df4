# SPDX-License-Identifier: MIT
"""A CRIU that waits before it dumps or restores, so that a test can look and act meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import Site


@contextmanager
def slow_criu(site: Site, verb: str, **options: object) -> Iterator[Path]:
    """CRIU waits before this verb of its own, until the file that is given is there.

    options: settings; FILE.waits is there once it waits."""
    slow, real = site.root / "slow-criu", site.root / "lib/torqueckpt/criu/criu"
    place = site.root / "anybodys"  # CRIU is the job's owner
    place.mkdir()
    place.chmod(0o777)
    go_on = place / "go-on"
    waits = f"touch {go_on}.waits; until [ -e {go_on} ]; do sleep 0.05; done"
    slow.write_text(f'#!/bin/sh\n[ "$1" != {verb} ] || {{ {waits}; }}\nexec {real} "$@"\n')
    slow.chmod(0o755)
    site.configure(criu_path=str(slow), **options)
    yield go_on
    site.configure()
