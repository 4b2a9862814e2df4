# SPDX-License-Identifier: MIT
"""resume_job.sh holds what the job asked for, and nothing of it is run by a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit import samples
from torqueckpt import layout, paths, render
from torqueckpt.batch import directives, qsub_options
from torqueckpt.errors import SettingsError
from torqueckpt.manifest import Directive, Manifest
from torqueckpt.resubmit import resume_script
from torqueckpt.settings import Settings
from torqueckpt.store.lineage import Lineage

_TOP = Path(__file__).resolve().parents[2]
_TEMPLATES = _TOP / "templates"
_GOLDEN = Path(__file__).parent / "golden"
_HOSTILE = [
    "/home/ann/my dir/out put",
    '/home/ann/it\'s "here"',
    "/x/$(touch ran)/`touch ran`/$HOME",
    "/x;touch ran;&|<>*?[a]{b}~!#",
    "/x\\",
    "-rf",
    "/x/\u202egnp",
    "/x\ntouch ran",
    "/x\r\n#PBS -W x=y",
    "/caf\udce9",
]


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paths of an ordinary installation, not of this one."""
    monkeypatch.setattr(paths, "program", lambda place, name: Path("/usr/local") / place / name)
    monkeypatch.setattr(paths, "settings_file", lambda: Path("/nowhere/torqueckpt.toml"))


def _text(manifest: Manifest, generation: int | None = None, shared: bool = False) -> str:
    image = resume_script.ResumeSource(manifest, qsub_options.of_script(manifest.job.directives))
    return resume_script.text(image, manifest.job.id, Settings(store_shared=shared), generation)


def _with(*wanted: tuple[str, str]) -> Manifest:
    return samples.a_manifest(
        job=samples.job(directives=tuple(Directive(*each) for each in wanted))
    )


@pytest.mark.parametrize(
    ("golden", "generation", "shared"),
    [("torque/resume_job.sh", None, False), ("torque/resume_job.generation.sh", 2, True)],
)
def test_the_script_is_as_it_was_agreed_on(
    golden: str, generation: int | None, shared: bool
) -> None:
    manifest = _with(
        ("l", "nodes=1:ppn=2"),
        ("l", "walltime=1:00:00"),
        ("j", "oe"),
        ("o", "/home/ann/my out"),
        ("W", "depend=afterok:11.srv"),
        ("a", "1200"),
        ("t", "1-3"),
        ("V", ""),
    )
    assert _text(manifest, generation, shared) == (_GOLDEN / golden).read_text()


def _shellcheck() -> str:
    beside = Path(sys.executable).with_name("shellcheck")
    found = str(beside) if beside.exists() else shutil.which("shellcheck")
    return found or pytest.skip("no shellcheck (`make setup` installs one)")


@pytest.mark.parametrize("value", _HOSTILE)
def test_a_hostile_value_leaves_a_script_that_is_in_order(value: str) -> None:
    manifest = _with(("o", value), ("e", value), ("A", value), ("N", value))
    manifest = samples.a_manifest(
        job=samples.job(name=value, spec=value, directives=manifest.job.directives)
    )
    text = _text(manifest)
    for argv in (["/bin/sh", "-n"], [_shellcheck(), "--shell=sh", "-"]):
        checked = subprocess.run(argv, input=text.encode(), capture_output=True)
        assert checked.returncode == 0, checked.stdout.decode() + checked.stderr.decode()
    code = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert code == [
        'cd "$PBS_O_WORKDIR" || exit 125',
        "exec /usr/local/bin/torqueckpt resume 12.srv",
    ]


@pytest.mark.parametrize("value", [each for each in _HOSTILE if each.isprintable()])
def test_a_value_that_a_line_can_hold_comes_back_out_of_the_script_as_it_was(value: str) -> None:
    read = directives.read(_text(_with(("o", value))))
    assert [each.value for each in read if each.option == "o"] == [value]


@pytest.mark.parametrize("value", [each for each in _HOSTILE if not each.isprintable()])
def test_a_value_that_no_line_can_hold_is_left_out_and_that_is_said(value: str) -> None:
    text = _text(_with(("o", value)))
    assert not [each for each in directives.read(text) if each.option == "o"]
    assert text.count("# Left out, no line can hold it: -o ") == 1


@pytest.mark.parametrize("option", ["l x\ntouch ran\n#PBS -l", "", "-"])
def test_an_option_from_a_record_that_was_tampered_with_is_no_line_of_its_own(option: str) -> None:
    """asked.json is its owner's, and an administrator may write his script for him."""
    image = resume_script.ResumeSource(samples.a_manifest(), [Directive(option, "x")])
    text = resume_script.text(image, samples.JOB, Settings(), None)
    assert text.count("# Left out, no line can hold it: -") == 1
    assert not any(line.startswith("touch") for line in text.splitlines())


def test_a_host_name_from_a_manifest_that_was_tampered_with_is_no_line_of_its_own() -> None:
    text = _text(samples.a_manifest(host="node1\ntouch ran"))
    assert not [line for line in text.splitlines() if line.startswith("touch")]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (["nodes=1:ppn=2", "walltime=60"], ["walltime=60", "nodes=node1:ppn=2"]),
        (["nodes=1:ppn=2,walltime=60,mem=1gb"], ["walltime=60,mem=1gb", "nodes=node1:ppn=2"]),
        (["walltime=60,nodes=node7:ppn=4:gpus=1"], ["walltime=60", "nodes=node1:ppn=4:gpus=1"]),
        (["nodes=1:big:ppn=2+1:ppn=8"], ["nodes=node1:ppn=2"]),
        (["walltime=60"], ["walltime=60", "nodes=node1"]),
        (["procs=4,walltime=60"], ["walltime=60", "nodes=node1:ppn=4"]),
        (["select=1:ncpus=2:mem=4gb"], ["select=1:ncpus=2:mem=4gb:host=node1"]),
        (
            ["select=ncpus=2:host=n7+2:mem=1gb:vnode=n8,walltime=60"],
            ["walltime=60", "select=ncpus=2:host=node1+2:mem=1gb:host=node1"],
        ),
        ([], ["nodes=node1"]),
    ],
)
def test_the_job_goes_to_the_node_of_its_image_with_all_else_that_it_had_asked_for(
    asked: list[str], wanted: list[str]
) -> None:
    manifest = _with(*(("l", value) for value in asked))
    read = directives.read(_text(manifest))
    assert [each.value for each in read if each.option == "l"] == wanted
    shared = directives.read(_text(manifest, shared=True))
    assert [each.value for each in shared if each.option == "l"] == asked


@pytest.mark.parametrize("generation", [None, 7])
@pytest.mark.parametrize("job", ["12.srv", "12[3].srv", "12[].node-1.example.org"])
@pytest.mark.parametrize("name", ["plain", "my dir", 'it\'s "$(touch ran)"', "new\nline", "-x;id"])
def test_the_script_calls_the_program_with_exactly_the_right_words(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str, job: str, generation: int | None
) -> None:
    where = place / name
    where.mkdir()
    program = where / "torqueckpt"
    program.write_text('#!/bin/sh\nprintf "%s\\n.\\n" "$PWD" "$@" >"$OUT"\nexit 7\n')
    program.chmod(0o755)
    monkeypatch.setattr(paths, "program", lambda *_: program)
    text = resume_script.text(
        resume_script.ResumeSource(samples.a_manifest(), []), job, Settings(), generation
    )
    environment = {"PATH": os.defpath, "PBS_O_WORKDIR": str(where), "OUT": str(place / "called")}
    ended = subprocess.run(["/bin/sh"], input=text.encode(), env=environment, cwd=place)
    options = ["--generation", str(generation)] if generation else []
    words = (place / "called").read_text().split("\n.\n")[:-1]
    assert ended.returncode == 7
    assert words == [str(where), "resume", *options, job]
    assert sorted(os.listdir(place)) == sorted(["called", name])


def test_a_directory_that_is_gone_ends_the_job_with_our_own_failure(place: Path) -> None:
    environment = {"PATH": os.defpath, "PBS_O_WORKDIR": str(place / "gone")}
    ended = subprocess.run(
        ["/bin/sh"],
        input=_text(samples.a_manifest()).encode(),
        env=environment,
        stderr=subprocess.PIPE,
    )
    assert ended.returncode == 125


def test_a_template_that_is_missing_or_lacks_a_value_is_an_error_that_names_it() -> None:
    with pytest.raises(SettingsError, match="torque/none"):
        render.render("torque/none.j2", {})
    with pytest.raises(SettingsError, match="'directives' is undefined"):
        render.render("torque/resume_job.sh.j2", {})


def test_a_sites_own_template_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(paths, "settings_file", lambda: tmp_path / "torqueckpt.toml")
    own = tmp_path / "templates" / "torque"
    own.mkdir(parents=True)
    (own / "resume_job.sh.j2").write_text("exec {{ program | sh }} # ours\n")
    assert _text(samples.a_manifest()) == "exec /usr/local/bin/torqueckpt # ours\n"


def test_the_scripts_that_mom_had_tell_what_the_user_asked_for(lineage: Lineage) -> None:
    assert resume_script.script_of(lineage) is None
    kept = lineage.path / layout.KEPT
    kept.mkdir()
    (kept / "12.srv.JB").write_text("#PBS -N no\n")
    assert resume_script.script_of(lineage) is None
    (kept / "12.srv.SC").write_text("#!/bin/sh\n#PBS-l nodes=1\n")
    (kept / "13.srv.SC").write_bytes(b"#PBS -A \xff\n")
    assert resume_script.script_of(lineage) == [Directive("l", "nodes=1"), Directive("A", "\ufffd")]
