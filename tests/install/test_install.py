# SPDX-License-Identifier: MIT
"""`make install` for packagers, and `make uninstall`: what goes in comes out, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_TOP = Path(__file__).resolve().parents[2]
_PROGRAMS = {"bin/torqueckpt", "sbin/mom-checkpoint", "sbin/mom-restart", "bin/chkpnt"}


class Stage:
    """A DESTDIR, and the packager's own things in it."""

    def __init__(self, top: Path) -> None:
        self.root = top / "stage"
        self.package = top / "SGI_Altix_checkpointing_0.71"
        (self.package / "tools").mkdir(parents=True)
        for name in ("chkpnt", "resume"):
            (self.package / "tools" / name).write_text("#!/bin/sh\n")
            (self.package / "tools" / name).chmod(0o755)

    def make(self, target: str, **variables: str) -> subprocess.CompletedProcess[str]:
        words = [f"{name}={value}" for name, value in variables.items()]
        outer = ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES")  # variables of the make that runs us
        return subprocess.run(
            ["make", "-s", "-C", _TOP, target, f"DESTDIR={self.root}", *words],
            capture_output=True,
            text=True,
            env={name: value for name, value in os.environ.items() if name not in outer},
        )

    def files(self) -> set[str]:
        """Without the many files of the interpreter's own tree."""
        found = set()
        for directory, names, files in os.walk(self.root):
            if "venv" in names:
                names.remove("venv")
            links = [name for name in names if (Path(directory) / name).is_symlink()]
            here = os.path.relpath(directory, self.root)
            found.update(os.path.normpath(f"{here}/{name}") for name in [*files, *links])
        return found


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An installation for Altix; the tests here look at it in turn, the last one takes it away."""
    stage = Stage(tmp_path_factory.mktemp("stage"))
    (stage.root / "usr/local/bin").mkdir(parents=True)
    (stage.root / "usr/local/bin" / "mine").touch()
    made = stage.make("install", FLAVOUR="altix", ALTIX_PACKAGE=str(stage.package))
    assert made.returncode == 0, made.stderr
    yield stage


def test_the_programs_services_pages_and_tools_are_there(staged: Stage) -> None:
    found = staged.files()
    assert {f"usr/local/{name}" for name in _PROGRAMS} <= found
    units = "usr/local/lib/systemd/system/torqueckpt"
    assert {f"{units}-{name}.service" for name in ("periodic", "shutdown", "modules")} <= found
    pages = ("man1/torqueckpt-show.1", "man5/torqueckpt.toml.5", "man8/mom-checkpoint.8")
    assert {f"usr/local/share/man/{page}" for page in pages} <= found
    assert "usr/local/share/man/man1/cr_run.1" not in found  # no shims, no pages of theirs


def test_the_docs_that_messages_name_are_there(staged: Stage) -> None:
    doc = "usr/local/share/doc/torqueckpt"
    pages = {f"{doc}/{page.name}" for page in (_TOP / "docs").glob("*.md")}
    found = staged.files()
    assert pages | {f"{doc}/examples/own_checkpointer/setup.cfg"} <= found
    for name in ("exit-codes", "files", "resources"):
        assert f"usr/local/share/man/man7/torqueckpt-{name}.7" in found
    assert f"/{doc}" in (staged.root / "usr/local/share/man/man1/torqueckpt.1").read_text()


def _site(staged: Stage) -> Path:
    """Where users' python3 looks for modules of the site's, in the stage."""
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    argv = [_TOP / "install/client-place", str(python), "/usr/local"]
    place = subprocess.run(argv, capture_output=True, text=True).stdout.strip()
    if not place:
        pytest.skip("no python3 of users' that could import pbs")
    return staged.root / place[1:]


def test_users_python_finds_pbs_and_starts_as_before(staged: Stage) -> None:
    for directory in (_site(staged), staged.root / "usr/local/lib/torqueckpt/python"):
        assert sorted(os.listdir(directory)) == ["PBSQuery.py", "pbs.py"]
        assert "/usr/local/lib/torqueckpt/venv/lib/python3" in (directory / "pbs.py").read_text()
    assert not any(name.endswith(".pth") for name in staged.files())
    example = staged.root / "usr/local/share/doc/torqueckpt/examples/list_jobs.py"
    assert os.access(example, os.X_OK)


def test_the_settings_are_the_flavours(staged: Stage) -> None:
    text = (staged.root / "etc/torqueckpt/torqueckpt.toml").read_text()
    assert '\ncheckpointer = "altix"\n' in text and "\nmodules_dir = " in text
    assert '\n# store = "/var/spool/checkpoint"\n' in text  # the rest as it was, explained


def test_directories_have_their_modes(staged: Stage) -> None:
    for name in ("checkpoint", "checkpoint/jobs", "checkpoint-pointers", "torqueckpt"):
        assert (staged.root / "var/spool" / name).stat().st_mode & 0o7777 == 0o755


def test_nothing_knows_the_staging_directory(staged: Stage) -> None:
    told = subprocess.run(
        ["grep", "-rIl", "--", str(staged.root), str(staged.root)], capture_output=True, text=True
    )
    assert told.stdout == ""


def test_installing_again_changes_no_file(staged: Stage) -> None:
    def dates() -> dict[str, float]:
        return {name: (staged.root / name).lstat().st_mtime for name in sorted(staged.files())}

    before = dates()
    assert staged.make("install", FLAVOUR="altix").returncode == 0
    assert dates() == before


def test_a_store_that_is_in_use_is_not_moved_and_that_is_said(staged: Stage) -> None:
    settings = staged.root / "etc/torqueckpt/torqueckpt.toml"
    before = settings.read_text()
    told = staged.make("install", FLAVOUR="altix", STORE="/other/store", SPOOL="/other/spool")
    assert told.returncode == 0
    assert 'has store = "/var/spool/checkpoint", and so it stays' in told.stderr
    assert 'put store = "/other/store" there' in told.stderr
    assert "SPOOL=/other/spool changes nothing" in told.stderr and "POINTERS" not in told.stderr
    assert not (staged.root / "other").exists()
    settings.write_text(f'{before}store = "/moved/by-hand"\n')
    told = staged.make("install", FLAVOUR="altix")
    assert (told.returncode, told.stderr) == (0, "")
    assert (staged.root / "moved/by-hand/jobs").is_dir()
    stores = (staged.root / "etc/torqueckpt/stores").read_text()
    assert stores == "/var/spool/checkpoint\n/moved/by-hand\n"
    settings.write_text(before)
    (staged.root / "moved/by-hand/jobs").rmdir()
    (staged.root / "moved/by-hand").rmdir()
    (staged.root / "moved").rmdir()


def test_what_users_own_inside_of_the_programs_directory_does_not_go_with_it(
    staged: Stage,
) -> None:
    settings = staged.root / "etc/torqueckpt/torqueckpt.toml"
    before = settings.read_text()
    settings.write_text(f'{before}store = "/usr/local/lib/torqueckpt/store"\n')
    told = staged.make("uninstall")
    assert told.returncode != 0 and "move it to another place first" in told.stderr
    assert (staged.root / "usr/local/bin/torqueckpt").exists()
    settings.write_text(before)


def test_without_a_compiler_a_line_for_each_library_says_what_cannot_be_done(
    staged: Stage,
) -> None:
    preload = staged.root / "usr/local/lib/torqueckpt/preload"
    names = ("tcp-repair.so", "restore.so", "continue-calls.so", "no-io-uring.so")
    libraries = [preload / name for name in names]
    sums = [each.with_name(f"{each.name}.sha256") for each in libraries]
    for each in sums:
        each.write_text("another version's\n")
    told = staged.make("install", FLAVOUR="altix", CC="/nonexistent/cc")
    assert told.returncode == 0
    tcp, restore, calls, ring = (each for each in told.stderr.splitlines() if "compiler" in each)
    assert "TCP connections" in tcp and "criu_net_admin" in tcp
    for words in ("numactl", "daemons", "ends processes of its own at once"):
        assert words in restore
    assert "what a job waits in" in calls
    assert "torchrun" in ring
    assert not any(each.exists() for each in [*libraries, *sums])
    told = staged.make("install", FLAVOUR="altix")
    assert (told.returncode, "compiler" in told.stderr) == (0, False)
    assert {each.stat().st_mode & 0o7777 for each in libraries} == {0o644}


def _named_sh(staged: Stage, program: str) -> str:
    return f'#!/bin/sh\nexec /usr/local/sbin/{program} "$@"\n'


@pytest.mark.parametrize("program", ["mom-checkpoint", "mom-restart"])
def test_who_writes_his_script_to_a_guides_name_overwrites_no_program(
    staged: Stage, program: str
) -> None:
    named = staged.root / f"usr/local/sbin/{program}.sh"
    assert (named.read_text(), named.stat().st_mode & 0o7777) == (_named_sh(staged, program), 0o755)
    before = (named.parent / program).read_bytes()
    with open(named, "w") as file:  # as an editor does, or cat >
        file.write("#!/bin/sh\nexit 0\n")
    told = staged.make("install", FLAVOUR="altix", ALTIX_PACKAGE=str(staged.package))
    assert f"/usr/local/sbin/{program}.sh is not torqueckpt's and stays" in told.stderr
    assert named.read_text() == "#!/bin/sh\nexit 0\n"
    assert (named.parent / program).read_bytes() == before
    named.unlink()


def test_the_link_of_earlier_versions_becomes_a_file(staged: Stage) -> None:
    named = staged.root / "usr/local/sbin/mom-checkpoint.sh"
    named.unlink(missing_ok=True)
    named.symlink_to("mom-checkpoint")
    before = (named.parent / "mom-checkpoint").read_bytes()
    told = staged.make("install", FLAVOUR="altix", ALTIX_PACKAGE=str(staged.package))
    assert (told.returncode, "stays" in told.stderr) == (0, False)
    assert (named.is_symlink(), named.read_text()) == (False, _named_sh(staged, "mom-checkpoint"))
    assert (named.parent / "mom-checkpoint").read_bytes() == before


def test_uninstalling_takes_away_exactly_that(staged: Stage) -> None:
    (staged.root / "var/spool/checkpoint/jobs/ann").mkdir()
    own = staged.root / "usr/local/sbin/mom-restart.sh"
    own.write_text("#!/bin/sh\nexit 0\n")
    other = _site(staged) / "PBSQuery.py"
    other.write_text("class PBSQuery: pass\n")  # pbs_python itself was installed meanwhile
    (other.parent / "__pycache__").mkdir()
    (other.parent / "__pycache__/pbs.cpython-311.pyc").touch()
    assert staged.make("uninstall").returncode == 0
    kept = {"etc/torqueckpt/torqueckpt.toml", "etc/torqueckpt/stores"}
    kept.add(str(other.relative_to(staged.root)))
    assert staged.files() == {"usr/local/bin/mine", "usr/local/sbin/mom-restart.sh", *kept}
    assert not (other.parent / "__pycache__").exists()
    left = {str(p.relative_to(staged.root)) for p in staged.root.rglob("*") if p.is_dir()}
    assert "var/spool/checkpoint/jobs/ann" in left
    assert not {"usr/local/lib/torqueckpt", "usr/local/share"} & left
    assert "var/spool/checkpoint-pointers" not in left


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"FLAVOUR": "vmware"}, "none of criu, altix, blcr, dmtcp"),
        ({"FLAVOUR": "../x"}, "none of criu"),
        ({"ALTIX_PACKAGE": "/x"}, "is for FLAVOUR=altix"),
        ({"FLAVOUR": "altix", "ALTIX_PACKAGE": "/nowhere"}, "/nowhere: no such directory"),
        ({"POINTERS": "relative"}, "an absolute path is needed"),
        ({"STORE": "/usr/local/lib/torqueckpt/store"}, "goes with the program"),
        ({"PREFIX": "/with blank"}, "no blanks"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path, variables: dict[str, str], told: str
) -> None:
    stage = Stage(tmp_path)
    refused = stage.make("install", **variables)
    assert refused.returncode != 0 and told in refused.stderr and not stage.root.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: it hides visudo in a mount namespace")
def test_a_node_without_sudo_is_told_so_in_one_line(tmp_path: Path) -> None:
    hide = 'mount --bind /dev/null "$(command -v visudo)" && exec install/packages sudo'
    told = subprocess.run(
        ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", hide],
        cwd=_TOP,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DESTDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert told.returncode != 0
    assert told.stderr.splitlines() == [
        "torqueckpt: missing here: sudo (Debian's names); install them and try again"
    ]


def test_a_mirror_whose_lists_are_expired_is_told_with_what_can_be_done(tmp_path: Path) -> None:
    """apt's own words, as it says them of a mirror that stands still."""
    apt = tmp_path / "apt-get"
    said = "E: Release file for m/InRelease is expired (invalid since 23d 8h). Updates"
    apt.write_text(f"""#!/bin/sh
case $* in
    *--print-uris*) echo "'file:/m/dists/forky/InRelease' m 0" ;;
    *) echo "{said} will not be applied." >&2 && exit 100 ;;
esac
""")
    apt.chmod(0o755)
    told = subprocess.run(
        [_TOP / "install" / "get-criu", tmp_path / "criu"],
        env={"PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
    )
    assert told.returncode != 0 and not (tmp_path / "criu").exists()
    assert said in told.stderr and "is the clock right?" in told.stderr
    assert 'Acquire::Check-Valid-Until "false"' in told.stderr
