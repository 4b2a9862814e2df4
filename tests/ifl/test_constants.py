# SPDX-License-Identifier: MIT
"""Names and values, against pbs_python's own, and against pbs_ifl.h where a compiler finds one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from torqueckpt.ifl._pbs_ifl import ffi
from torqueckpt.ifl.constants import constants

from .conftest import COMPILER
from .vectors import DATA

INCLUDES = [
    folder
    for folder in (
        *os.environ.get("TORQUECKPT_PBS_INCLUDE", "").split(":"),
        "/usr/local/include",
        "/usr/include",
        "/usr/include/torque",
        "/opt/pbs/include",
    )
    if folder and Path(folder, "pbs_ifl.h").exists()
]
STRUCTS = {
    "attrl": ("next", "name", "resource", "value", "op"),
    "attropl": ("next", "name", "resource", "value", "op"),
    "batch_status": ("next", "name", "attribs", "text"),
}
# Limits that grew or shrank between releases, and names that mean the C library's own things
DIFFERING = {"MAX_ENCODE_BFR", "PBSEVENT_MASK", "PBSE_TOTAL_CEILING", "TRUE", "FALSE"}


def test_every_name_of_pbs_python_has_its_newest_value() -> None:
    rows = [
        line.split("\t") for line in (DATA / "pbs_python_constants.tsv").read_text().splitlines()
    ]
    table = constants()
    names = set()
    for name, *rest in rows[1:]:
        newest = next(value for value in reversed(rest[3:]) if value)
        assert str(table[name]) == newest, name
        names.add(name)
    assert len(names) == 403
    assert set(table) == names


def test_numbers_are_numbers_and_words_are_words() -> None:
    table = constants()
    assert table["SET"] == 0
    assert table["MGR_OBJ_NONE"] == -1
    assert table["ATTR_l"] == "Resource_List"
    assert table["DELDELAY"] == "deldelay="
    assert table["DEFAULT_PRIORITY"] == "0", "a text in the headers"


def test_openpbs_has_four_other_attributes_and_nine_other_lengths() -> None:
    torque, openpbs = constants(), constants(openpbs=True)
    differing = {name for name in torque if torque[name] != openpbs[name]}
    attributes = {name for name in differing if name.startswith("ATTR_")}
    assert attributes == {"ATTR_J", "ATTR_array_id", "ATTR_maxarraysize", "ATTR_submit_host"}
    assert len(differing) == 13
    assert set(torque) == set(openpbs)


def compiled_answers(folder: str, tmp_path: Path, lines: list[str]) -> list[str]:
    """What a C program with this pbs_ifl.h prints."""
    source, binary = tmp_path / "abi.c", tmp_path / "abi"
    logs = '#include "log.h"\n' if Path(folder, "log.h").exists() else ""
    errors = '#include "pbs_error.h"\n' if Path(folder, "pbs_error.h").exists() else ""
    source.write_text(
        '#include <stdio.h>\n#include <stddef.h>\n#include <sys/socket.h>\n#include "pbs_ifl.h"\n'
        + errors + logs
        + '#define NUMBER(n) printf("%s %ld\\n", #n, (long)(n));\n'
        + '#define WORD(n) printf("%s %s\\n", #n, n);\n'
        + "int main(void) {\n" + "\n".join(lines) + "\nreturn 0; }\n"
    )  # fmt: skip
    for program in (COMPILER, shutil.which("c++")):
        language = ["-x", "c++", "-fpermissive"] if program and program.endswith("++") else []
        argv = [str(program), *language, "-w", "-I", folder, "-o", str(binary), str(source)]
        if program and subprocess.run(argv, capture_output=True).returncode == 0:
            return subprocess.run([str(binary)], capture_output=True, text=True).stdout.splitlines()
    pytest.skip(f"{folder}: no compiler takes this pbs_ifl.h")


@pytest.mark.skipif(COMPILER is None or not INCLUDES, reason="no compiler or no pbs_ifl.h")
@pytest.mark.parametrize("folder", INCLUDES)
def test_structs_are_laid_out_as_the_compiler_does(folder: str, tmp_path: Path) -> None:
    asked, expected = [], []
    for struct, fields in STRUCTS.items():
        asked.append(f"NUMBER(sizeof(struct {struct}))")
        expected.append(f"sizeof(struct {struct}) {ffi.sizeof(f'struct {struct}')}")
        for field in fields:
            asked.append(f"NUMBER(offsetof(struct {struct}, {field}))")
            offset = ffi.offsetof(f"struct {struct}", field)
            expected.append(f"offsetof(struct {struct}, {field}) {offset}")
    assert compiled_answers(folder, tmp_path, asked) == expected


@pytest.mark.skipif(COMPILER is None or not INCLUDES, reason="no compiler or no pbs_ifl.h")
@pytest.mark.parametrize("folder", INCLUDES)
def test_constants_are_those_of_the_header(folder: str, tmp_path: Path) -> None:
    openpbs = "__pbs_errno_location" in Path(folder, "pbs_ifl.h").read_text()
    table = constants(openpbs)
    operators = ["SET", "UNSET", "INCR", "DECR", "EQ", "NE", "GE", "GT", "LE", "LT", "DFLT"]
    asked = [f"NUMBER({name})" for name in operators]
    for name, value in table.items():
        kind = "NUMBER" if isinstance(value, int) else "WORD"
        if name not in operators:
            asked += [f"#ifdef {name}", f"{kind}({name})", "#endif"]
    answers = dict(line.split(" ", 1) for line in compiled_answers(folder, tmp_path, asked))
    differing = {
        name: (table[name], value)
        for name, value in answers.items()
        if str(table[name]) != value and name not in DIFFERING
    }
    assert differing == {}
    assert len(answers) > 100
