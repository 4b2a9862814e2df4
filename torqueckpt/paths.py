# SPDX-License-Identifier: MIT
"""Where this installation's programs and settings lie."""

from __future__ import annotations

import sys
from pathlib import Path


def installation() -> Path:
    """PREFIX/lib/torqueckpt: what `make install` made; it holds venv, criu, rootdoor and etc."""
    return Path(sys.prefix).parent


def settings_file() -> Path:
    """The installation's own settings file; a package that was not installed takes the default."""
    own = installation() / "etc" / "torqueckpt.toml"
    return own if own.parent.is_dir() else Path("/etc/torqueckpt/torqueckpt.toml")


def program(place: str, name: str) -> Path:
    """An installed program of ours: `place` is bin or sbin under the installation's PREFIX."""
    return installation().parent.parent / place / name
