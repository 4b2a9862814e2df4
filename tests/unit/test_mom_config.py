# SPDX-License-Identifier: MIT
"""What a MOM makes of its file's lines, and which of them are told to be wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.mom_configs import OPENPBS, TORQUE
from torqueckpt.batch import config_block, mom_config, program_checks
from torqueckpt.batch.mom_config import Dialect
from torqueckpt.batch.openpbs import mom_config as openpbs
from torqueckpt.batch.torque import mom_config as torque
from torqueckpt.findings import HAZARD, REFUSED, Finding
from torqueckpt.settings import Settings

_BLOCK = ["$checkpoint_script /usr/local/sbin/mom-checkpoint", "$checkpoint_interval 10"]


def _check(data: bytes, dialect: Dialect = torque.DIALECT) -> list[Finding]:
    ours = config_block.ours(data, "config")
    return mom_config.check(data, ours, dialect, "config", lambda line: line)


def _names(data: bytes, dialect: Dialect) -> list[tuple[str, str]]:
    return [(each.name, each.value) for each in dialect.parse(data)]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("misspelt", {1: "did you mean $pbsserver", 2: "did you mean $loglevel"}),
        ("duplicates", {2: "line 1 says the same", 3: "line 1 says something else"}),
        ("capitals", {3: "line 2 says the same"}),
        ("old mac", {}),
        ("a line of 200", {1: "200 bytes"}),
        ("utf-8 with a mark", {}),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(name: str, lines: dict[int, str]) -> None:
    found = _check(TORQUE[name])
    assert [problem.where.number for problem in found] == list(lines)
    for problem, told in zip(found, lines.values()):
        assert told in f"{problem.what}; {problem.remedy}" and problem.severity == HAZARD


_FAULTY = ("misspelt", "duplicates", "capitals", "a line of 200")


@pytest.mark.parametrize("name", sorted(set(TORQUE) - set(_FAULTY)))
def test_a_file_that_works_has_no_problem(name: str) -> None:
    assert _check(TORQUE[name]) == []


def test_torques_directives_are_no_directives_of_openpbs() -> None:
    found = _check(OPENPBS["torque's directives"], openpbs.DIALECT)
    assert [problem.where.number for problem in found] == [1, 2]
    assert all("pbs_mom ends" in each.what and each.severity == REFUSED for each in found)


@pytest.mark.parametrize("name", sorted(set(OPENPBS) - {"torque's directives"}))
def test_openpbs_files_that_work(name: str) -> None:
    assert _check(OPENPBS[name], openpbs.DIALECT) == []


def test_openpbs_takes_a_hash_within_a_line_for_text_and_torque_for_a_comment() -> None:
    line = b"$tmpdir /tmp#1\n  # $logevent 1\n"
    assert _names(line, openpbs.DIALECT) == [("tmpdir", "/tmp#1")]
    assert _names(line, torque.DIALECT) == [("tmpdir", "/tmp")]


def test_a_directive_without_a_value() -> None:
    assert "has no value" in _check(b"$pbsserver\n")[0].what


def test_the_end_of_a_windows_line_is_not_part_of_a_value() -> None:
    assert _names(TORQUE["crlf"], torque.DIALECT)[0] == ("pbsserver", "headnode")


@pytest.mark.parametrize(
    "data",
    [
        b"$checkpoint_interval 5\n",
        b"$Checkpoint_Script /usr/local/sbin/other\n",
    ],
)
@pytest.mark.parametrize("behind", [False, True])
def test_a_line_that_contradicts_ours_stops(data: bytes, behind: bool) -> None:
    block = config_block.merge(b"", _BLOCK, "config")
    found = _check(block + data if behind else config_block.merge(data, _BLOCK, "config"))
    assert [(problem.where.number, problem.severity) for problem in found] == [
        (5 if behind else 1, REFUSED)
    ]
    assert "contradicts torqueckpt's" in found[0].what


@pytest.mark.parametrize("linked", [True, False])
def test_a_line_that_says_what_ours_says_is_told_and_does_not_stop(
    tmp_path: Path, linked: bool
) -> None:
    """mom-checkpoint.sh is the seed's name for it: once a link, today a file of two lines."""
    program, named = tmp_path / "mom-checkpoint", tmp_path / "mom-checkpoint.sh"
    program.touch()
    if linked:
        named.symlink_to("mom-checkpoint")
    else:
        named.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
    theirs = f"$checkpoint_script\t{tmp_path}//mom-checkpoint.sh \n".encode()
    merged = config_block.merge(theirs, [f"$checkpoint_script {tmp_path}/mom-checkpoint"], "config")
    (found,) = _check(merged)
    assert (found.where.number, found.severity) == (1, HAZARD)
    assert "torqueckpt's says the same" in found.what


def test_each_action_of_openpbs_may_be_there_once() -> None:
    data = b"$action checkpoint 1 !/a\n$action restart 1 !/b\n$action checkpoint 2 !/c\n"
    (found,) = _check(data, openpbs.DIALECT)
    assert found.where.number == 3 and "$action checkpoint occurs twice" in found.what


def test_the_blocks_themselves_have_no_problem_and_their_lines_fit() -> None:
    sbin, pointers = Path("/opt/local/torqueckpt/sbin"), Path("/var/spool/checkpoint-pointers")
    for dialect, pairs in (
        (torque.DIALECT, torque.block(sbin, pointers, 10)),
        (openpbs.DIALECT, openpbs.block(sbin, pointers, 780)),
    ):
        lines = [f"${name} {value}" for name, value in pairs]
        assert _check(config_block.merge(b"", lines, "config"), dialect) == []


# Programs that the MOM runs -----------------------------------------------------------------------


@pytest.fixture
def script(root: None, place: Path) -> Path:
    made = place / "mom-checkpoint"
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    return made


def _told(script: Path, group_matters: bool = False) -> str:
    found = program_checks.check(script, "config", 7, group_matters=group_matters)
    assert all(problem.severity == REFUSED and problem.where.number == 7 for problem in found)
    return "\n".join(map(str, found))


def test_a_program_of_roots_that_nobody_else_can_write_is_fine(script: Path) -> None:
    assert _told(script, group_matters=True) == ""


def test_a_program_that_is_missing(script: Path) -> None:
    script.unlink()
    assert "No such file" in _told(script)


def test_a_program_that_is_a_directory(script: Path) -> None:
    assert "is not a file" in _told(script.parent)


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (0o644, "is not executable; chmod u+x"),
        (0o055, "is not executable"),
        (0o775, "can be written by others"),
        (0o757, "can be written by others"),
    ],
)
def test_a_program_with_a_mode_that_will_not_do(script: Path, mode: int, told: str) -> None:
    script.chmod(mode)
    assert told in _told(script)


def test_a_program_of_somebody_else(script: Path) -> None:
    os.chown(script, 1234, 0)
    assert "belongs to uid 1234" in _told(script)


def test_openpbs_wants_a_system_group(script: Path) -> None:
    os.chown(script, 0, 11)
    assert "has group 11" in _told(script, group_matters=True)
    assert _told(script) == ""


def test_a_program_in_a_directory_that_others_can_change(script: Path) -> None:
    script.parent.chmod(0o777)
    assert "which others can change" in _told(script)


# Lines of the site's that take something from checkpoints ----------------------------------------


def _starter(place: Path, text: str) -> str:
    starter = place / "starter"
    starter.write_text(text)
    return str(starter)


def test_a_job_starter_that_does_not_end_in_mom_run_is_told(tmp_path: Path) -> None:
    starter = _starter(tmp_path, '#!/bin/sh\n# not by mom-run\nexec "$@"\n')
    what, remedy = torque.against("job_starter", starter, Settings()) or ("", "")
    assert "by it, not by mom-run" in what
    command = remedy.partition("end in: ")[2]
    assert command.endswith('/sbin/mom-run "$@"')
    _starter(tmp_path, f"#!/bin/sh\n{command}\n")  # as it says
    assert torque.against("job_starter", starter, Settings()) is None
    assert torque.against("job_starter", str(tmp_path / "none"), Settings()) is not None


@pytest.mark.parametrize("value", ["false", "False", "no", "0", "off"])
def test_login_files_that_are_not_to_be_read_need_a_setting(value: str) -> None:
    told = torque.against("source_login_batch", value, Settings())
    assert told is not None and told[1].startswith("login_shell = false in ")
    assert torque.against("source_login_batch", value, Settings(login_shell=False)) is None
    interactive = torque.against("source_login_interactive", value, Settings(login_shell=False))
    assert interactive is not None and "qsub -I without -c" in interactive[1]


@pytest.mark.parametrize("name", ["source_login_batch", "source_login_interactive"])
@pytest.mark.parametrize("value", ["true", "1", "yes", "on"])
def test_login_files_that_are_read_anyway_are_no_matter(name: str, value: str) -> None:
    assert torque.against(name, value, Settings()) is None


@pytest.mark.parametrize(
    "line",
    ["exec_with_exec true", "preexec /x", "spool_as_final_name true", "nospool_dir_list *"]
    + ["job_output_file_umask 077", "jobdirectory_sticky true", "nodefile_suffix -ib"]
    + ["job_oom_score_adjust 300", "mom_oom_immunize true"],
)
def test_lines_under_which_jobs_were_seen_to_be_held_and_released_are_no_matter(line: str) -> None:
    """tests/torque/test_site_lines.py shows some of them."""
    name, value = line.split()
    assert torque.against(name, value, Settings()) is None


def test_a_factor_of_the_walltime_is_told() -> None:
    told = torque.against("wallmult", "4", Settings())
    assert told is not None and "last checkpoints of chains are late" in told[0]
    for name, value in (("wallmult", "1.0"), ("wallmult", "odd"), ("cputmult", "4")):
        assert torque.against(name, value, Settings()) is None


@pytest.mark.parametrize(("value", "told"), [("true", True), ("false", False)])
def test_an_openpbs_mom_that_takes_no_hooks_is_told(value: str, told: bool) -> None:
    assert (openpbs.against("reject_root_scripts", value, Settings()) is not None) == told
