# SPDX-License-Identifier: MIT
"""Find this installation's programs and settings."""

from __future__ import annotations

import sys
from pathlib import Path


def installation() -> Path:
    """PREFIX/lib/torqueckpt, which `make install` made; it holds venv, criu, rootdoor and etc."""
    return Path(sys.prefix).parent


def settings_file() -> Path:
    """The installation's settings file; without an installation, the default."""
    own = installation() / "etc" / "torqueckpt.toml"
    return own if own.parent.is_dir() else Path("/etc/torqueckpt/torqueckpt.toml")


def program(place: str, name: str) -> Path:
    """The path of an installed program; `place` is bin or sbin in the installation's PREFIX."""
    return installation().parent.parent / place / name
