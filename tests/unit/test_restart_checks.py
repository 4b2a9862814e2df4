# SPDX-License-Identifier: MIT
"""What of another node would stop a job, or only make it doubtful; build ids of real programs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit import samples
from torqueckpt.checkpointers.criu.criu import Criu
from torqueckpt.files import build_ids
from torqueckpt.manifest import Build, ImageFile, Manifest, Node
from torqueckpt.process import node
from torqueckpt.restart import checks
from torqueckpt.settings import Settings


def fits(manifest: Manifest) -> dict[str, str]:
    found = checks.of_node(manifest, Criu(Settings()), ())
    return {each.subject: each.severity for each in found if each.subject != "checkpointer"}


def like_this_one(**changes: object) -> Manifest:
    own = Node(os.uname().machine, node.features(), ())
    return samples.a_manifest(node=own._replace(**changes), kernel=os.uname().release)


def test_the_node_that_made_the_image_is_one_to_go_on_on() -> None:
    assert set(fits(like_this_one()).values()) == {"ok"}


def test_an_older_kernel_is_a_hazard_a_newer_one_is_told() -> None:
    assert fits(like_this_one()._replace(kernel="99.1.0"))["kernel"] == "hazard"
    assert fits(like_this_one()._replace(kernel="4.18.0-1.el8"))["kernel"] == "note"


def test_another_architecture_is_refused_whatever_it_can() -> None:
    assert fits(like_this_one(machine="riscv64", features=()))["CPU"] == "refused"


def test_an_image_that_does_not_tell_is_not_refused_for_that() -> None:
    assert fits(like_this_one()._replace(node=None))["CPU"] == "note"


def test_a_library_that_is_gone_is_told_among_the_files_and_not_here() -> None:
    gone = like_this_one(builds=(Build("/nonexistent/libx.so", "ab"),))
    assert fits(gone)["libraries"] == "ok"


def test_flags_that_are_the_kernels_own_business_do_not_count(tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nflags\t\t: fpu sse2 avx512f nopl hypervisor md_clear xsavec\n")
    assert node.features(str(told)) == ("avx512f", "fpu", "sse2", "xsavec")
    told.write_text("processor\t: 0\nFeatures\t: fp asimd sve\n")
    assert node.features(str(told)) == ("asimd", "fp", "sve")


def test_threads_need_their_numbers_too() -> None:
    names = ("core-12.img", "core-4000.img", "core-x.img", "ids-77.img", "pages-1.img")
    manifest = samples.a_manifest(image=tuple(ImageFile(name, 1, "") for name in names))
    assert Criu(Settings()).numbers(manifest) == (12, 4000)


def test_a_number_in_use_is_told_with_who_has_it() -> None:
    manifest = samples.a_manifest(image=(ImageFile(f"core-{os.getpid()}.img", 1, ""),))
    found = checks.process_numbers(manifest, Criu(Settings()))
    assert found.severity == "refused"
    assert str(os.getpid()) in found.what and "which runs" in found.what


def test_a_zombies_number_is_waited_for() -> None:
    ended = subprocess.Popen(["/bin/true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    manifest = samples.a_manifest(image=(ImageFile(f"core-{ended.pid}.img", 1, ""),))
    assert "which has ended" in checks.process_numbers(manifest, Criu(Settings())).what
    ended.wait()
    assert checks.numbers_in_time(manifest, Criu(Settings()), 5).severity == "ok"


@pytest.mark.skipif(not Path("/usr/bin/readelf").exists(), reason="no readelf to compare with")
def test_build_ids_are_those_that_readelf_tells() -> None:
    names = [sys.executable, "/bin/sh", *(line.split()[-1] for line in _mapped())]
    compared = 0
    for name in dict.fromkeys(map(os.path.realpath, names)):
        told = subprocess.run(["readelf", "-n", name], capture_output=True, text=True).stdout
        match = re.search(r"Build ID: ([0-9a-f]+)", told)
        assert build_ids.build_id(name) == (match.group(1) if match else ""), name
        compared += bool(match)
    assert compared > 3


def _mapped() -> list[str]:
    maps = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in maps if line.endswith((".so", ".so.6", ".so.1"))]


@pytest.mark.parametrize(
    "data",
    [b"", b"\x7fELF", b"\x7fELF" + b"\xff" * 60, b"\x7fELF\x02\x01" + b"\xff" * 2000, b"#!/bin/sh"],
)
def test_what_is_no_program_has_no_build_id(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "odd"
    file.write_bytes(data)
    assert build_ids.of_files([str(file), str(tmp_path), "/dev/null", "/nonexistent"]) == ()
