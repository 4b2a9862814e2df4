# SPDX-License-Identifier: MIT
"""A checkpointer that only pretends, for checkpoints of real processes without CRIU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit import samples
from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.base import Checkpointer, Dump, Restore
from torqueckpt.settings import Settings
from torqueckpt.store.store import Store


class Pretender(Checkpointer):
    """Writes a file and says that it is the image."""

    name = "pretender"
    has_freeze_hook = False

    def __init__(self, settings: Settings) -> None:
        self.program = Path("/bin/sh")

    def version_argv(self) -> list[str]:
        return []

    def dump_argv(self, dump: Dump) -> list[str]:
        return ["/bin/sh", "-c", 'echo memory >"$0/memory"', str(dump.image_dir)]

    def restore_argv(self, restore: Restore) -> list[str]:
        raise NotImplementedError(self.name)

    def incomplete(self, dump: Dump) -> str:
        return ""

    def reason(self, work_dir: Path, verb: str) -> str:
        return ""


def settings(store: Store, place: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings under which it dumps into the store, and each call is a new one."""
    monkeypatch.setitem(registry._TABLE, "pretender", f"{__name__}:Pretender")
    (place / "key").write_text(samples.KEY.hex())
    (place / "key").chmod(0o600)
    return Settings(
        store=store.root.path,
        checkpointer="pretender",
        signature_key=place / "key",
        reserve_mib=0,
        repeat_window_seconds=-2,
    )
