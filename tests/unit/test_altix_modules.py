# SPDX-License-Identifier: MIT
"""The Altix checkpointer's modules go in in order, out in reverse, and never half way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from torqueckpt.errors import ModuleRefused, ModulesMissing, NeedsRoot
from torqueckpt.settings import Settings
from torqueckpt.site import altix_modules

_INSMOD = """#!/bin/sh
name=$(basename "$1" .ko)
echo "insmod $1" >>{top}/calls
grep -q "^$name " {top}/proc && {{ echo "insmod: ERROR: File exists" >&2; exit 1; }}
[ ! -e {top}/refuse.$name ] || {{ echo "insmod: ERROR: Invalid module format" >&2; exit 1; }}
echo "$name 16384 0 - Live 0x0" >>{top}/proc
"""
_RMMOD = """#!/bin/sh
echo "rmmod $1" >>{top}/calls
[ ! -e {top}/inuse.$1 ] || {{ echo "rmmod: ERROR: Module $1 is in use" >&2; exit 1; }}
sed -i "/^$1 /d" {top}/proc
"""


class Machine:
    def __init__(self, top: Path) -> None:
        self.top = top
        (top / "proc").write_text("ext4 999 1 - Live 0x0\nckpt_other 1 0 - Live 0x0\n")
        for name, text in (("insmod", _INSMOD), ("rmmod", _RMMOD)):
            (top / name).write_text(text.format(top=top))
            (top / name).chmod(0o755)
        for name in altix_modules.ORDER:
            (top / f"{name}.ko").touch()
            (top / f"{name}.ko").chmod(0o644)
        self.settings = Settings(modules_dir=top)
        self.kernel = altix_modules.Kernel(top / "proc", (top / "insmod",), (top / "rmmod",))

    def calls(self) -> list[str]:
        calls = self.top / "calls"
        return calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def machine(root: None, place: Path) -> Machine:
    return Machine(place)


def test_in_in_order_out_in_reverse_and_each_once(machine: Machine) -> None:
    assert altix_modules.missing(machine.kernel) == ["syscover", "ckpt"]
    assert altix_modules.load(machine.settings, machine.kernel) == ["syscover", "ckpt"]
    assert altix_modules.load(machine.settings, machine.kernel) == []
    assert altix_modules.missing(machine.kernel) == []
    assert altix_modules.unload(machine.kernel) == ["ckpt", "syscover"]
    assert altix_modules.unload(machine.kernel) == []
    assert machine.calls() == [
        f"insmod {machine.top}/syscover.ko",
        f"insmod {machine.top}/ckpt.ko",
        "rmmod ckpt",
        "rmmod syscover",
    ]


def test_one_that_is_there_already_is_left_there_when_the_other_is_refused(
    machine: Machine,
) -> None:
    altix_modules.load(machine.settings, machine.kernel)
    altix_modules.unload(machine.kernel)
    (machine.top / "refuse.ckpt").touch()
    with pytest.raises(ModuleRefused, match="refuses to load ckpt: .*Invalid module format"):
        altix_modules.load(machine.settings, machine.kernel)
    assert altix_modules.missing(machine.kernel) == ["syscover", "ckpt"]  # taken out again
    with (machine.top / "proc").open("a") as proc:
        proc.write("syscover 1 0 - Live 0x0\n")
    with pytest.raises(ModuleRefused):
        altix_modules.load(machine.settings, machine.kernel)
    assert altix_modules.missing(machine.kernel) == ["ckpt"]


def test_one_that_is_in_use_stays_and_so_does_what_it_needs(machine: Machine) -> None:
    altix_modules.load(machine.settings, machine.kernel)
    (machine.top / "inuse.ckpt").touch()
    with pytest.raises(ModuleRefused, match="refuses to unload ckpt: .*in use"):
        altix_modules.unload(machine.kernel)
    assert altix_modules.missing(machine.kernel) == []


def test_a_module_that_others_could_have_written_is_not_loaded(machine: Machine) -> None:
    (machine.top / "ckpt.ko").chmod(0o664)
    with pytest.raises(ModulesMissing, match="root only"):
        altix_modules.load(machine.settings, machine.kernel)
    os.chown(machine.top / "ckpt.ko", 1234, 0)
    with pytest.raises(ModulesMissing):
        altix_modules.load(machine.settings, machine.kernel)
    (machine.top / "ckpt.ko").unlink()
    with pytest.raises(ModulesMissing, match="No such file"):
        altix_modules.load(machine.settings, machine.kernel)
    assert machine.calls() == []


def test_a_node_without_modules_dir(machine: Machine) -> None:
    with pytest.raises(ModulesMissing, match="not set"):
        altix_modules.load(Settings(), machine.kernel)


def test_a_kernel_without_modules(machine: Machine) -> None:
    (machine.top / "proc").unlink()
    assert altix_modules.missing(machine.kernel) == ["syscover", "ckpt"]


def test_who_is_not_root_is_told_so(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NeedsRoot, match="sudo torqueckpt modules load"):
        altix_modules.load(machine.settings, machine.kernel)
