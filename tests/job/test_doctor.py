# SPDX-License-Identifier: MIT
"""Nodes that are broken in one way each: the doctor names it, and what mends it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import LIMIT_SECONDS, Site, User

# What breaks the node, in a mount namespace of its own; then the doctor.
_THEN = 'eval "$0"; exec "$@"'


def _doctor(site: Site, *words: str, harm: str = ":", before: tuple[str, ...] = (), **env: str):
    place = ["/usr/bin/unshare", "--mount", "--propagation", "private"]
    argv = [*place, "/bin/sh", "-ec", _THEN, harm, *before, str(site.program), "doctor", *words]
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=LIMIT_SECONDS, env={**_environment(), **env}
    )


def _environment() -> dict[str, str]:
    """Ours, without what tests with a batch system of their own have put there."""
    return {name: text for name, text in os.environ.items() if not name.startswith("PBS_")}


def _rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    return rows


def _found(
    site: Site, check: str, *, harm: str = ":", before: tuple[str, ...] = (), **env: str
) -> dict[str, Any]:
    """The check's first row that is not ok; the doctor's exit status is a failure's."""
    done = _doctor(site, "--json", harm=harm, before=before, **env)
    bad = [row for row in _rows(done) if row["outcome"] != "ok" and row["check"] == check]
    assert bad, done.stdout
    assert done.returncode == (111 if bad[0]["outcome"] == "failure" else 0), done.stderr
    return bad[0]


def _found_by(site: Site, user: User, check: str) -> dict[str, Any]:
    """The same of a doctor who knocks, and makes his proof, as that user."""
    rows = _rows(_doctor(site, "--json", "--job-user", user.name))
    (row,) = [row for row in rows if row["outcome"] != "ok" and row["check"] == check]
    proof = [row["what"] for row in rows if row["group"] == "proof" and row["outcome"] != "ok"]
    assert len(proof) == 1 and "a password is required" in proof[0]
    return row


def _needs(place: str) -> pytest.MarkDecorator:
    """What a test mounts its own in place of."""
    return pytest.mark.skipif(not os.path.exists(place), reason=f"no {place}: no systemd here")


@pytest.fixture
def healthy(site: Site) -> Site:
    """Without a proof there is none that could fail besides."""
    (site.root / "pointers").mkdir()
    site.configure(pointer_dir=str(site.root / "pointers"))
    return site


@pytest.fixture
def mom(healthy: Site) -> Path:
    """A MOM's mom_priv, configured by torqueckpt."""
    home = healthy.root / "pbs"
    (home / "mom_priv").mkdir(parents=True)
    (home / "mom_priv" / "config").write_text("$pbsserver head\n")
    words = ("configure", "torque", "--mom-priv", str(home / "mom_priv"), "--apply")
    assert healthy.call(None, *words).returncode == 0
    return home


def test_a_job_is_dumped_killed_restored_and_nothing_of_it_stays(site: Site, user: User) -> None:
    done = _doctor(site, "--json", "--job-user", user.name)
    rows = _rows(done)
    assert [row for row in rows if row["outcome"] == "failure"] == []
    assert done.returncode == 0
    proof = [row["what"] for row in rows if row["group"] == "proof"]
    assert "was dumped, killed, restored, and is as it was" in proof[0]
    assert proof[1] == "the restart stays in its job's cgroups"
    assert json.loads(site.call(None, "list", "--json").stdout) == []
    assert json.loads(site.call(None, "report", "--json").stdout) == []
    assert [path for path in os.listdir(site.store) if path != "jobs"] == []
    user.has_none()


@pytest.mark.skipif(shutil.which("dmtcp_launch") is None, reason="no dmtcp_launch on PATH")
def test_a_job_is_launched_for_the_checkpointer_that_wants_it(site: Site, user: User) -> None:
    place = Path(str(shutil.which("dmtcp_launch"))).parent
    site.configure(checkpointer="dmtcp", dmtcp_dir=str(place))
    done = _doctor(site, "--json", "--job-user", user.name)
    rows = _rows(done)
    assert [row["outcome"] for row in rows if row["group"] == "proof"] == ["ok", "ok"], rows
    assert [row["what"] for row in rows if row["check"] == "version"][0].startswith("dmtcp ")


def test_what_a_doctor_that_was_killed_has_left_goes_with_the_next(site: Site, user: User) -> None:
    directory = site.store / "jobs" / user.name
    for began in (1, int(time.time())):
        (directory / f"77.doctor@{began}" / "1").mkdir(parents=True)
    subprocess.run(["chown", "-R", user.name, directory], check=True)
    directory.chmod(0o700)
    _doctor(site, "--job-user", user.name)
    left = [name for name in os.listdir(directory) if "@" in name]
    assert left == [f"77.doctor@{began}"]


@pytest.fixture
def another_cgroup() -> Iterator[Path]:
    """A new one, beside that of the tests."""
    top = Path("/sys/fs/cgroup")
    made = (top / "pids" if (top / "pids").is_dir() else top) / f"tckpt-{os.getpid()}"
    try:
        made.mkdir()
    except OSError as refused:
        pytest.skip(f"no cgroup can be made here: {refused}")
    yield made
    made.rmdir()


def test_a_restart_that_ends_in_another_cgroup_is_told(
    site: Site, user: User, another_cgroup: Path
) -> None:
    """As pam_systemd does it, where a site's own rule has sudo open a session."""
    door = site.root / "lib" / "torqueckpt" / "rootdoor"
    move = f"import os; open({str(another_cgroup / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))"
    door.write_text(door.read_text().replace("import sys\n", f"import sys\n{move}\n"))
    done = _doctor(site, "--json", "--job-user", user.name)
    proof = [row for row in _rows(done) if row["group"] == "proof"]
    assert [row["outcome"] for row in proof] == ["ok", "failure"] and done.returncode == 111
    assert "left the cgroup" in proof[1]["what"] and "!pam_session" in proof[1]["fix"]


def test_the_table_has_a_line_for_each_row_and_no_colours_in_a_pipe(healthy: Site) -> None:
    healthy.store.chmod(0o777)
    done = _doctor(healthy)
    (line,) = [line for line in done.stdout.splitlines() if "owner and mode" in line]
    assert line.startswith("failure  store: owner and mode")
    assert line.rstrip().endswith(f"chmod 0755 {healthy.store}")
    assert "\x1b" not in done.stdout
    assert done.stderr.startswith("torqueckpt: this node is not fit for checkpoints: 1 failure")


def test_criu_is_missing(healthy: Site) -> None:
    healthy.configure(criu_path="/nowhere/criu")
    row = _found(healthy, "version")
    assert "/nowhere/criu is missing" in row["what"] and "criu_path" in row["fix"]


def test_a_checkpointer_that_is_too_old(healthy: Site) -> None:
    old = healthy.root / "criu-old"
    old.write_text("#!/bin/sh\necho Version: 3.17.1\n")
    old.chmod(0o755)
    healthy.configure(criu_path=str(old))
    row = _found(healthy, "version")
    assert "3.17.1" in row["what"] and "4.2" in row["what"]
    assert row["fix"].startswith("take out criu_path in /") and "then make install" in row["fix"]


def test_a_kernel_that_is_too_old(healthy: Site) -> None:
    row = _found(healthy, "release", before=("/usr/bin/setarch", "--uname-2.6"))
    assert "Linux 2.6" in row["what"] and "5.9" in row["fix"]


def test_a_store_that_everybody_can_write(healthy: Site) -> None:
    (healthy.store / "jobs").chmod(0o1777)
    row = _found(healthy, "owner and mode")
    assert row["fix"] == f"chmod 0755 {healthy.store}/jobs"


def test_a_store_on_a_tmpfs_that_is_full(healthy: Site) -> None:
    mount = f"mount -t tmpfs -o size=1m,mode=755 tmpfs {healthy.store}; mkdir {healthy.store}/jobs"
    fill = f"dd if=/dev/zero of={healthy.store}/rest 2>/dev/null || :"
    done = _doctor(healthy, "--json", harm=f"{mount}; {fill}")
    rows = {row["check"]: row for row in _rows(done) if row["group"] == "store"}
    assert rows["room"]["outcome"] == rows["speed"]["outcome"] == "failure"
    assert "every checkpoint is refused" in rows["room"]["what"]
    assert "is full" in rows["speed"]["what"] and "torqueckpt prune" in rows["speed"]["fix"]
    assert "a boot takes all images away" in rows["file system"]["what"]


def test_a_store_that_is_mounted_for_reading_only(healthy: Site) -> None:
    harm = f"mount --bind {healthy.store} {healthy.store}; "
    harm += f"mount -o remount,bind,ro {healthy.store}"
    row = _found(healthy, "speed", harm=harm)
    assert row["outcome"] == "failure" and "Read-only" in row["what"]
    assert row["fix"].startswith("mount it for writing")


def test_no_store_at_all(healthy: Site) -> None:
    healthy.configure(store="/nowhere/store")
    make = "install -d -m 0755 /nowhere/store /nowhere/store/jobs"
    rows = _rows(_doctor(healthy, "--json"))
    for check in ("owner and mode", "room", "speed"):
        assert [row["fix"] for row in rows if row["check"] == check] == [make]


def test_setpriv_is_missing(healthy: Site) -> None:
    row = _found(healthy, "setpriv", harm="mount --bind /dev/null /usr/bin/setpriv")
    assert row["what"].startswith("/usr/bin/setpriv is missing") and "util-linux" in row["fix"]
    row = _found(healthy, "its own check", harm="mount --bind /dev/null /usr/bin/setpriv")
    assert row["fix"] == "see the row on setpriv"


def test_sudo_is_missing(healthy: Site) -> None:
    row = _found(healthy, "sudo door", harm="mount --bind /dev/null /usr/bin/sudo")
    assert "not setuid" in row["what"] and "chmod 4755" in row["fix"]


@pytest.fixture
def without_rule(healthy: Site) -> Iterator[Site]:
    text = healthy.sudo_rule.read_bytes()
    healthy.sudo_rule.unlink()
    yield healthy
    healthy.sudo_rule.write_bytes(text)


def test_the_sudo_rule_is_missing(without_rule: Site) -> None:
    row = _found(without_rule, "sudo door")
    assert "no user gets through" in row["what"] and "/etc/sudoers.d" in row["fix"]


def test_who_may_use_sudo_with_a_password_is_refused_before_anything_is_touched(
    without_rule: Site, user: User
) -> None:
    """sudo itself would end with 1, which would be taken for the job's."""
    rule = without_rule.sudo_rule
    rule.write_text(f"{user.name} ALL=(ALL:ALL) ALL\n")
    rule.chmod(0o440)
    row = _found_by(without_rule, user, "sudo door")
    assert "a password is required" in row["what"] and "/etc/sudoers.d" in row["fix"]
    words = user.argv("/usr/bin/env", "PBS_JOBID=9.x", without_rule.program, "resume", "8.x")
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert done.returncode == 125 and "a password is required" in done.stderr


def test_a_shell_that_may_not_use_sudo(healthy: Site) -> None:
    row = _found(healthy, "capabilities", before=("/usr/bin/setpriv", "--no-new-privs"))
    assert "NoNewPrivileges=no" in row["fix"]


def test_a_container_that_took_capabilities_away(healthy: Site) -> None:
    lost = ("/usr/bin/setpriv", "--bounding-set", "-checkpoint_restore")
    row = _found(healthy, "capabilities", before=lost)
    assert row["what"].endswith("has lost checkpoint_restore")
    assert "CapabilityBoundingSet=" in row["fix"]


@pytest.mark.parametrize("limit", ["104857600", "104857600:"])  # both, and the soft one alone
def test_a_limit_on_the_size_of_files(healthy: Site, limit: str) -> None:
    row = _found(healthy, "limits", before=("/usr/bin/prlimit", f"--fsize={limit}"))
    assert "100 MiB" in row["what"] and "LimitFSIZE=infinity" in row["fix"]


def test_a_key_that_others_can_read(healthy: Site) -> None:
    key = healthy.root / "etc" / "signature.key"
    key.chmod(0o644)
    assert f"chmod 0600 {key}".rpartition("/")[2] in _found(healthy, "signature key")["fix"]


def test_no_key(healthy: Site) -> None:
    (healthy.root / "etc" / "signature.key").unlink()
    assert _found(healthy, "signature key")["fix"] == "make install makes one"


def test_a_mom_configuration_that_somebody_has_edited(healthy: Site, mom: Path) -> None:
    config = mom / "mom_priv" / "config"
    config.write_text(config.read_text().replace("$checkpoint_run_exe", "#$checkpoint_run_exe"))
    row = _found(healthy, "MOM's configuration", PBS_HOME=str(mom))
    assert row["outcome"] == "failure" and row["what"].startswith(str(config))
    assert row["fix"] == "torqueckpt configure torque --apply"


def test_a_queue_of_lsf_that_somebody_has_edited(healthy: Site) -> None:
    top = healthy.root / "lsf"
    for name in ("conf/cluster/configdir", "etc", "images"):
        (top / name).mkdir(parents=True)
    (top / "images").chmod(0o1777)
    places = f"LSB_CONFDIR={top}/conf\nLSF_SERVERDIR={top}/etc\n"
    (top / "lsf.conf").write_text(f"{places}LSB_ECHKPNT_METHOD=blcr\n")
    queues = top / "conf/cluster/configdir/lsb.queues"
    queues.write_text("Begin Queue\nQUEUE_NAME = guests\nEnd Queue\n")
    environment = {**_environment(), "LSF_ENVDIR": str(top)}
    none = _found(healthy, "LSF's queues", LSF_ENVDIR=str(top))
    assert none["outcome"] == "warning" and "configure lsf --queue" in none["fix"]
    words = ("configure", "lsf", "--queue", "guests", "--chkpnt", str(top / "images"), "--apply")
    argv = [str(healthy.program), *words]
    subprocess.run(argv, env=environment, check=True, capture_output=True)
    rows = _rows(_doctor(healthy, "--json", LSF_ENVDIR=str(top)))
    told = [row["what"] for row in rows if row["check"] == "LSF's queues"]
    assert told == ["guests is as it should be"]
    lines = queues.read_text().splitlines(keepends=True)
    queues.write_text("".join(line for line in lines if "JOB_STARTER" not in line))
    found = _found(healthy, "LSF's queues", LSF_ENVDIR=str(top))
    assert (
        found["outcome"] == "failure"
        and found["fix"] == "torqueckpt configure lsf --queue guests --apply"
    )


def test_an_epilogue_that_deletes_images(healthy: Site, mom: Path) -> None:
    epilogue = mom / "mom_priv" / "epilogue"
    epilogue.write_text(f"#!/bin/sh\n# tidy up\nrm -rf {healthy.store}/jobs/$2/*\nexit 0\n")
    row = _found(healthy, "epilogue and cron", PBS_HOME=str(mom))
    assert row["what"].startswith(f"{epilogue}:3: rm -rf") and row["outcome"] == "failure"
    assert "torqueckpt prune" in row["fix"]
    epilogue.write_text("#!/bin/sh\nfind /dev/shm -user $2 -delete\n")
    assert _found(healthy, "epilogue and cron", PBS_HOME=str(mom))["outcome"] == "warning"


@_needs("/etc/systemd/logind.conf")
def test_logind_that_removes_shared_memory(healthy: Site) -> None:
    conf = healthy.root / "logind.conf"
    conf.write_text("[Login]\n#RemoveIPC=no\nRemoveIPC=yes\n")
    row = _found(healthy, "RemoveIPC", harm=f"mount --bind {conf} /etc/systemd/logind.conf")
    assert row["outcome"] == "failure" and row["fix"].startswith("RemoveIPC=no below [Login]")


@_needs("/etc/systemd")
def test_logind_whose_last_word_is_in_a_file_of_its_directory(healthy: Site) -> None:
    """A line in logind.conf itself would not be heard."""
    place = healthy.root / "systemd"
    (place / "logind.conf.d").mkdir(parents=True)
    (place / "logind.conf").write_text("[Login]\nRemoveIPC=no\n")
    (place / "logind.conf.d" / "site.conf").write_text("[Login]\nRemoveIPC=yes\n")
    row = _found(healthy, "RemoveIPC", harm=f"mount --bind {place} /etc/systemd")
    assert "in /etc/systemd/logind.conf.d/site.conf; systemctl" in row["fix"]


@_needs("/etc/tmpfiles.d")
def test_a_tmpfiles_rule_that_cleans_the_store(healthy: Site) -> None:
    rules = healthy.root / "tmpfiles.d"
    rules.mkdir()
    (rules / "site.conf").write_text(f"d {healthy.store} 0755 root root 3d\n")
    harm = f"mount --bind {rules} /etc/tmpfiles.d"
    row = _found(healthy, "tmpfiles", harm=harm)
    assert row["fix"] == f"echo 'x {healthy.store}' >>/etc/tmpfiles.d/torqueckpt.conf"
    done = _doctor(healthy, "--json", harm=f"{harm}; {row['fix']}")
    assert [r["outcome"] for r in _rows(done) if r["check"] == "tmpfiles"] == ["ok"]


@_needs("/etc/tmpfiles.d")
def test_files_in_tmp_that_go_before_the_images_that_need_them(healthy: Site) -> None:
    rules = healthy.root / "tmpfiles.d"
    rules.mkdir()
    (rules / "tmp.conf").write_text("q /tmp 1777 root root 1d12h\n")
    row = _found(healthy, "tmpfiles", harm=f"mount --bind {rules} /etc/tmpfiles.d")
    assert "files in /tmp go after 1d12h, images after 7 days" in row["what"]


@_needs("/etc/tmpfiles.d")
def test_a_boot_that_empties_a_directory_whose_files_checkpoints_do_not_copy(healthy: Site) -> None:
    rules, scratch = healthy.root / "tmpfiles.d", healthy.root / "scratch"
    rules.mkdir()
    scratch.mkdir()
    scratch.chmod(0o1777)
    (rules / "site.conf").write_text(f"D {scratch} 1777 root root -\nD /tmp 1777 root root -\n")
    harm = f"mount --bind {rules} /etc/tmpfiles.d"
    row = _found(healthy, "boot", harm=harm)
    directories = ["/tmp", "/dev/shm", "/run", "$TMPDIR", str(scratch)]
    assert row["fix"] == f"temporary_directories = {json.dumps(directories)} in torqueckpt.toml"
    pointers = str(healthy.root / "pointers")
    healthy.configure(temporary_directories=directories, pointer_dir=pointers)
    done = _doctor(healthy, "--json", harm=harm)
    assert [r["outcome"] for r in _rows(done) if r["check"] == "boot"] == ["ok"]


def test_on_a_terminal_what_mends_it_stands_below(healthy: Site) -> None:
    healthy.store.chmod(0o777)
    words = ["/usr/bin/script", "-qec", f"{healthy.program} doctor", "/dev/null"]
    wide = {**os.environ, "COLUMNS": "200", "TERM": "xterm"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_SECONDS, env=wide)
    shown = done.stdout
    found, fix = (shown.index(text) for text in ("can be written by others", "chmod 0755"))
    assert "\x1b[1;31mfailure" in shown and found < fix
    assert "this node is not fit for checkpoints" in shown


def test_on_80_columns_most_rows_have_a_line_of_their_own(healthy: Site) -> None:
    words = ["/usr/bin/script", "-qec", f"{healthy.program} doctor", "/dev/null"]
    small = {**os.environ, "COLUMNS": "80", "TERM": "xterm", "NO_COLOR": "1"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_SECONDS, env=small)
    assert done.returncode == 0, done.stdout
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.stdout)
    table = plain[plain.index("   what ") :].splitlines()
    assert all(len(line) <= 80 for line in table)
    began = [line for line in table if line.startswith(("ok ", "warning "))]
    assert len(table) < 2 * len(began)
    assert any(line.split() == ["ok", "setpriv", *line.split()[2:]] for line in began)
    assert "this node is fit for checkpoints: " in table[-1]


def test_users_are_told_to_call_it_through_sudo(site: Site, user: User) -> None:
    done = site.call(user, "doctor")
    assert done.returncode == 77 and "sudo torqueckpt doctor" in done.stderr


_SOME_KINDS = """
import sys
from torqueckpt import settings
from torqueckpt.doctor import examine, proof
proof.CHECKS = ()
proof.RESOURCE_CHECKS = [each for each in proof.RESOURCE_CHECKS if each.name in sys.argv[2:]]
examine.CHECKS = ()
for row in examine.examine(settings.load(), examine.privileges.owner(sys.argv[1]), full=True):
    print(row.check, row.outcome, row.what.partition(",")[0], sep="|")
"""


def test_each_kind_of_resource_is_restored_or_refused_by_name(site: Site, user: User) -> None:
    python = site.root / "lib" / "torqueckpt" / "venv" / "bin" / "python"
    kinds = ("memory", "SysV shared memory", "POSIX timer")
    words = (str(python), "-I", "-c", _SOME_KINDS, user.name, *kinds)
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert done.stdout.splitlines() == [
        "memory|ok|restored as it was",
        "SysV shared memory|ok|refused before the dump",
        "POSIX timer|ok|restored as it was",
    ], done.stderr
    assert os.listdir(site.store / "jobs" / user.name / "ids") == []
    assert not [name for name in os.listdir(site.store / "jobs" / user.name) if "@" in name]
