# SPDX-License-Identifier: MIT
"""The scripts of a chain's links: qsub finds its options, and the user's script is as it was."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torqueckpt import paths
from torqueckpt.batch import directives
from torqueckpt.chain import link_script
from torqueckpt.manifest import Directive

_GOLDEN = Path(__file__).parent / "golden" / "torque"
_SCRIPT = """#!/bin/bash -l
#PBS -N long
# said by hand
#PBS -l nodes=1:ppn=2,walltime=24:00:00

cd "$PBS_O_WORKDIR"
#PBS -q other
cat <<'EOF' | ./solve "$1"
THE-JOBS-OWN-SCRIPT
EOF
"""


@pytest.fixture(autouse=True, scope="module")
def _installed() -> Iterator[None]:
    """The paths of an ordinary installation, not of this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "program", lambda place, name: Path("/usr/local") / place / name)
        patch.setattr(paths, "settings_file", lambda: Path("/nowhere/torqueckpt.toml"))
        yield


def following(host: str | None = None) -> str:
    asked = [
        Directive("N", "long"),
        Directive("l", "nodes=1:ppn=2"),
        Directive("l", "walltime=24:00:00"),
        Directive("v", "TORQUECKPT_CHAIN=1,TORQUECKPT_FILES=x=ignore"),
        Directive("o", "/home/ann/my out"),
    ]
    return link_script.following("12.srv", "13.srv", asked, host)


@pytest.mark.parametrize(
    ("golden", "text"),
    [
        ("link.first.sh", lambda: link_script.first(_SCRIPT)),
        ("link.following.sh", following),
        ("link.following.node.sh", lambda: following("node7")),
    ],
)
def test_the_script_is_as_it_was_agreed_on(golden: str, text: Callable[[], str]) -> None:
    made = text()
    assert made == (_GOLDEN / golden).read_text()
    subprocess.run(["/bin/sh", "-n"], input=made, text=True, check=True)
    beside = Path(sys.executable).with_name("shellcheck")
    found = str(beside) if beside.exists() else shutil.which("shellcheck")
    if found:
        looked = subprocess.run([found, "-s", "sh", "-"], input=made, text=True)
        assert looked.returncode == 0


def test_qsub_finds_what_the_user_asked_for_and_nothing_else() -> None:
    assert directives.read(link_script.first(_SCRIPT)) == directives.read(_SCRIPT)


_ODD = """#!/bin/csh
  #PBS-l nodes=1,\\
walltime=1:00:00 \\
  -N long
: still the header
#PBS -VA a\\ b \\\x20
#SITE -q night
 # indented
cd x
#PBS -q other
"""


def test_a_header_that_goes_on_in_other_lines_is_whole_and_the_script_is_as_qsub_spools_it(
    tmp_path: Path,
) -> None:
    made = link_script.first(_ODD)
    assert directives.read(made) == directives.read(_ODD)
    assert [each.option for each in directives.read(made)] == ["l", "N", "V", "A"]
    head = made.partition("exec ")[0].splitlines()
    assert all(line.startswith("#") for line in head)
    spooled = directives.spooled(_ODD)
    assert "\n  #PBS-l nodes=1,walltime=1:00:00   -N long\n: still" in spooled
    assert embedded(made, tmp_path) == spooled.encode()


def test_openpbs_joins_a_line_with_blanks_behind_its_backslash() -> None:
    made = link_script.first("#PBS -l a=1 \\ \n -N x\necho\n", openpbs=True)
    assert [each.value for each in directives.read(made, openpbs=True)] == ["a=1", "x"]


@pytest.mark.parametrize("prefix", ["#SITE", "@@"])
def test_directives_with_a_mark_of_their_own_get_the_usual_one(prefix: str) -> None:
    script = f"#!/bin/sh\n#PBS -N no\n{prefix} -N yes\n# kept\necho\n"
    made = link_script.first(script, prefix)
    assert directives.read(made) == [Directive("N", "yes")]
    assert "# kept" in made.partition("exec ")[0]


def embedded(made: str, place: Path) -> bytes:
    """What the program of the first link is given at descriptor 3, by the shell itself."""
    reads = made.replace("exec /usr/local/bin/torqueckpt link", "exec sh -c 'cat <&3' x")
    (place / "link.sh").write_bytes(reads.encode("utf-8", "surrogateescape"))
    done = subprocess.run(["/bin/sh", place / "link.sh"], capture_output=True, check=True)
    return done.stdout


@pytest.mark.parametrize("large", ["", "# " + 200 * "x" + "\n"])
def test_the_users_script_comes_out_as_it_went_in(tmp_path: Path, large: str) -> None:
    script = f"{_SCRIPT}echo $HOME `date` \\\\ \"'\n{1000 * large}"
    assert embedded(link_script.first(script), tmp_path) == script.encode()


_LINE = st.text(st.characters(exclude_characters="\0\r", exclude_categories=("Cs",)))


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["THE-JOBS-OWN-SCRIPT", "THE-JOBS-OWN-SCRIPT-", "#PBS -N x", "exit 1"]),
            _LINE.map(lambda text: "".join(text.splitlines())),
        ),
        max_size=5,
    )
)
def test_whatever_stands_in_it_the_script_comes_out_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    script = "".join(f"{line}\n" for line in ["#!/bin/sh", *lines])
    place = tmp_path_factory.mktemp("script")
    assert embedded(link_script.first(script), place) == script.encode()
