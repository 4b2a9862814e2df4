# SPDX-License-Identifier: MIT
"""What the local MOM is configured with, and what it shows of a job's progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torqueckpt.batch.schedule import Rate
from torqueckpt.settings import Settings


class Site(NamedTuple):
    """The installed programs and the settings that concern the local MOM."""

    checkpoint_program: Path
    restart_program: Path
    run_program: Path  # MOM's $checkpoint_run_exe
    default_interval_seconds: int
    jitter_seconds: int
    max_frozen_percent: int
    chain_margin_seconds: int
    rate: Rate  # for -c auto
    settings: Settings  # where the jobs' images lie


@dataclass
class Progress:
    """How a job stands, for whoever watches it."""

    job: str
    state: str = "R"  # as qstat: R running, H held, E ending
    checkpoints: int = 0
    failures: int = 0
    comment: str = ""


Watcher = Callable[[Progress], float]  # told of each change; gives the last image's frozen seconds
