# SPDX-License-Identifier: MIT
"""torqueckpt configure lsf: what a queue gets, what is told to be wrong, what is written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from torqueckpt import paths
from torqueckpt.batch.lsf.lsf_conf import Site
from torqueckpt.cli.main import main
from torqueckpt.errors import BadArguments, QueuesNotRead
from torqueckpt.site import lsf_queue

_GOLDEN = Path(__file__).parent / "golden" / "lsf"
_ADMINS = b"Begin Queue\r\nQUEUE_NAME = night # M\xfcnchen\r\nUSERS = all\r\nEnd Queue\r\n"
_VARIANTS = {
    "plain": {"chkpnt": "/gpfs/common/lsf-ckpt"},
    "guests": {
        "chkpnt": "/gpfs/common/lsf-ckpt 30",
        "priority": "10",
        "preemption": "PREEMPTABLE[local atlas]",
    },
    "night": {"chkpnt": "/gpfs/common/lsf-ckpt", "window": "20:00-8:00", "method": "torqueckpt"},
    "memory": {"chkpnt": "/gpfs/common/lsf-ckpt", "mem": "4000/500"},
}

Call = Callable[..., int]


class Cluster:
    """A cluster's files: lsb.queues, LSF_SERVERDIR, the checkpoint directory, our programs."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.queues = top / "conf" / "c1" / "configdir" / "lsb.queues"
        self.queues.parent.mkdir(parents=True)
        self.queues.write_bytes(_ADMINS)
        self.chkpnt = top / "ckpt"
        self.chkpnt.mkdir()
        self.chkpnt.chmod(0o1777)
        for name in ("etc", "bin", "sbin"):
            (top / name).mkdir()
        for name in ("bin/torqueckpt", "sbin/lsf-jobstarter", "sbin/echkpnt", "sbin/erestart"):
            (top / name).touch()
            (top / name).chmod(0o755)

    @property
    def text(self) -> bytes:
        return self.queues.read_bytes()


@pytest.fixture
def cluster(root: None, place: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(paths, "program", lambda where, name: place / where / name)
    monkeypatch.setattr(Site, "post_exec_user", staticmethod(lambda: ""))
    for name in ("LSF_ENVDIR", "LSB_CONFDIR", "LSF_SERVERDIR", "LSF_BINDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LSF_ENVDIR", str(place))
    (place / "lsf.conf").write_text(
        f'# a site\nLSB_CONFDIR={place}/conf\nLSF_SERVERDIR = "{place}/etc"\n'
        f"LSF_BINDIR={place}/bin\nLSB_ECHKPNT_METHOD=blcr\n"
    )
    return Cluster(place)


@pytest.fixture
def call(cluster: Cluster) -> Call:
    def of_night(*words: str) -> int:
        return main(["configure", "lsf", "--queue", "night", *words])

    return of_night


@pytest.mark.parametrize("name", _VARIANTS)
def test_each_variant_is_as_it_was_agreed_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "program", lambda place, name: Path("/usr/local") / place / name)
    (tmp_path / "lsb.queues").touch()
    site = Site({"LSF_ENVDIR": str(tmp_path)})
    made = lsf_queue.plan(name, tmp_path / "lsb.queues", None, _VARIANTS[name], site)
    golden = _GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_bytes(made.new)
    assert made.new == golden.read_bytes()


def test_shells_can_read_what_lsf_gives_them() -> None:
    lines = [line for file in _GOLDEN.iterdir() for line in file.read_text().splitlines()]
    post = {line.split(" = ", 1)[1] for line in lines if line.startswith("POST_EXEC")}
    (command,) = post
    subprocess.run(["/bin/sh", "-n", "-c", command], check=True)


@pytest.mark.parametrize(
    ("directory", "told", "left"),
    [("{top}/job dir", 0, False), ("", 0, True), ("{top}/job dir", 24, True)],
)
def test_post_exec_removes_nothing_that_is_not_named_or_still_needed(
    tmp_path: Path, directory: str, told: int, left: bool
) -> None:
    """torqueckpt's own answer is played: 24 stands for images that are kept."""
    line = (_GOLDEN / "plain").read_text().split("POST_EXEC = ")[1].splitlines()[0]
    (tmp_path / "job dir").mkdir()
    (tmp_path / "torqueckpt").write_text(f"#!/bin/sh\nexit {told}\n")
    (tmp_path / "torqueckpt").chmod(0o755)
    command = line.replace("/usr/local/bin/torqueckpt", f"{tmp_path}/torqueckpt")
    environment = {"LSB_CHKPNT_DIR": directory.format(top=tmp_path)}
    subprocess.run(["/bin/sh", "-c", command], env=environment, cwd=tmp_path / "job dir")
    assert (tmp_path / "job dir").exists() == left


def test_apply_makes_links_and_a_block_and_twice_is_once(
    cluster: Cluster, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--apply", "--chkpnt", str(cluster.chkpnt)) == 0
    told = capsys.readouterr()
    assert "next: badmin reconfig" in told.out and told.err == ""
    assert cluster.text.startswith(_ADMINS.partition(b"End Queue")[0] + b"# BEGIN torqueckpt")
    for name in ("echkpnt", "erestart"):
        link = cluster.top / "etc" / f"{name}.blcr"
        assert link.resolve() == cluster.top / "sbin" / name
    before = cluster.text
    assert call("--apply") == 0 and "nothing to change" in capsys.readouterr().out
    assert call("--check") == 0 and capsys.readouterr().out == ""
    assert cluster.text == before and len(list(cluster.queues.parent.iterdir())) == 2
    kept = next(path for path in cluster.queues.parent.iterdir() if path != cluster.queues)
    assert kept.read_bytes() == _ADMINS
    assert call("--apply", "--remove") == 0 and cluster.text == _ADMINS


def test_what_is_not_said_again_stays_and_what_is_empty_goes(cluster: Cluster, call: Call) -> None:
    chkpnt = f"{cluster.chkpnt} 20"
    assert call("--apply", "--chkpnt", chkpnt, "--priority", "9", "--method", "ours") == 0
    assert call("--apply", "--mem", "400/100") == 0
    for line in (f"CHKPNT = {chkpnt}\n", "PRIORITY = 9\n", "mem = 400/100\n", "/echkpnt.ours -k]"):
        assert line.encode() in cluster.text
    assert call("--apply", "--priority", "") == 0
    assert b"PRIORITY" not in cluster.text and b"mem = 400/100" in cluster.text


@pytest.mark.parametrize("words", [[], ["--diff"], ["--check"]])
def test_looking_writes_nothing(
    cluster: Cluster, call: Call, words: list[str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert call(*words, "--chkpnt", str(cluster.chkpnt)) == (86 if "--check" in words else 0)
    assert cluster.text == _ADMINS and list((cluster.top / "etc").iterdir()) == []
    told = capfdbinary.readouterr()
    assert b"echkpnt.blcr" in told.out + told.err


@pytest.mark.parametrize(
    ("lines", "told", "stops"),
    [
        (["CHKPNT = {ckpt}"], ":2: CHKPNT occurs twice: torqueckpt's says the same", False),
        (["chkpnt = /other"], ":2: CHKPNT = /other contradicts torqueckpt's CHKPNT = ", True),
        (["#if time(1-2)", "JOB_STARTER = x", "#endif"], ":3: JOB_STARTER = x contradicts", True),
        (["NICE = 1", "NICE = 2"], ":3: NICE occurs twice: line 2, the later one counts", False),
        (["PRE_POST_EXEC_USER = root"], ":2: POST_EXEC would run as root", True),
        (["TERMINATE_WHEN = WINDOW"], ":2: TERMINATE_WHEN = WINDOW: jobs are killed", False),
    ],
)
def test_what_the_administrator_wrote_against_it_is_told_with_its_line(
    cluster: Cluster,
    call: Call,
    capsys: pytest.CaptureFixture[str],
    lines: list[str],
    told: str,
    stops: bool,
) -> None:
    text = "\n".join(["Begin Queue", *lines, "QUEUE_NAME = night", "End Queue", ""])
    cluster.queues.write_text(text.format(ckpt=cluster.chkpnt))
    before = cluster.text
    assert call("--apply", "--chkpnt", str(cluster.chkpnt)) == (86 if stops else 0)
    assert (cluster.text == before) == stops
    assert told in capsys.readouterr().err
    assert call("--check", "--chkpnt", str(cluster.chkpnt)) == 86
    assert f"{cluster.queues}{told}" in capsys.readouterr().out


def test_keywords_of_two_branches_are_no_contradiction(cluster: Cluster, call: Call) -> None:
    lines = b"#if time(1-2)\nNICE = 1\n#else\nNICE = 2\n#endif\n"
    cluster.queues.write_bytes(_ADMINS.replace(b"USERS = all\r\n", lines))
    assert call("--apply", "--chkpnt", str(cluster.chkpnt)) == 0
    assert call("--check") == 0


def test_a_queue_that_is_defined_twice_is_told(
    cluster: Cluster, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.queues.write_bytes(_ADMINS * 2)
    assert call("--apply", "--chkpnt", str(cluster.chkpnt)) == 0
    assert call("--check") == 86
    assert "the queue night has a section in line 1 already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda c: c.chkpnt.rmdir(), "ckpt: No such file or directory; no job of the queue"),
        (lambda c: (c.chkpnt.rmdir(), c.chkpnt.touch()), "ckpt is no directory"),
        (lambda c: c.chkpnt.chmod(0o755), "users cannot write in"),
        (lambda c: c.top.chmod(0o750), "users cannot pass"),
        (lambda c: (c.top / "sbin/echkpnt").unlink(), "sbin/echkpnt: No such file"),
        (lambda c: (c.top / "sbin/erestart").chmod(0o644), "erestart is not executable"),
        (lambda c: (c.top / "sbin/erestart").chmod(0o750), "cannot be run by users"),
        (lambda c: os.chown(c.top / "sbin/lsf-jobstarter", 1, 0), "and every user runs it"),
        (lambda c: (c.top / "bin/torqueckpt").chmod(0o777), "can be written by others"),
        (lambda c: (c.top / "etc/echkpnt.blcr").touch(), "is there and not torqueckpt's"),
    ],
)
def test_what_would_have_jobs_fail_is_not_written(
    cluster: Cluster,
    call: Call,
    capsys: pytest.CaptureFixture[str],
    break_it: Callable[[Cluster], object],
    told: str,
) -> None:
    break_it(cluster)
    assert call("--apply", "--chkpnt", str(cluster.chkpnt)) == 86
    assert told in capsys.readouterr().err and cluster.text == _ADMINS


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda c: c.chkpnt.chmod(0o777), "users can take away each other's"),
        (lambda c: (c.top / "etc/erestart.blcr").unlink(), "etc/erestart.blcr: is missing"),
        (lambda c: (c.top / "lsf.conf").write_text(""), "LSF_SERVERDIR is not known"),
    ],
)
def test_what_becomes_wrong_later_is_told(
    cluster: Cluster,
    call: Call,
    capsys: pytest.CaptureFixture[str],
    break_it: Callable[[Cluster], object],
    told: str,
) -> None:
    assert call("--apply", "--chkpnt", str(cluster.chkpnt)) == 0
    break_it(cluster)
    capsys.readouterr()
    assert call("--check", "--lsb-queues", str(cluster.queues)) == 86
    assert told in capsys.readouterr().out


@pytest.mark.parametrize("period", ["", " 30"])
def test_lsf_must_know_the_method_or_bchkpnt_and_brestart_fail(
    cluster: Cluster,
    call: Call,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    period: str,
) -> None:
    conf = cluster.top / "lsf.conf"
    without = conf.read_text().replace("LSB_ECHKPNT_METHOD=blcr\n", "")
    conf.write_text(without)
    monkeypatch.setenv("LSB_ECHKPNT_METHOD", "blcr")  # the daemons do not have it from there
    assert call("--apply", "--chkpnt", f"{cluster.chkpnt}{period}") == 0
    assert "LSB_ECHKPNT_METHOD=blcr in lsf.conf" in capsys.readouterr().err
    assert call("--check") == 86
    told = capsys.readouterr().out
    assert "bchkpnt, bmig and brestart" in told and "LSB_ECHKPNT_METHOD=blcr in lsf.conf" in told
    assert ("every so often" in told) == bool(period)
    conf.write_text(f'{without}LSB_ECHKPNT_METHOD="other"\n')
    assert call("--check") == 86
    conf.write_text(f'{without}LSB_ECHKPNT_METHOD="other blcr"\n')
    assert call("--check") == 0


def test_lsf_must_find_the_method_where_it_looks_for_it(
    cluster: Cluster, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = cluster.top / "elsewhere"
    elsewhere.mkdir()
    with (cluster.top / "lsf.conf").open("a") as conf:
        conf.write(f"LSB_ECHKPNT_METHOD_DIR={elsewhere}\n")
    assert call("--apply", "--chkpnt", str(cluster.chkpnt)) == 0
    capsys.readouterr()
    assert call("--check") == 86
    told = capsys.readouterr().out
    for name in ("echkpnt", "erestart"):
        remedy = f"ln -s {cluster.top}/sbin/{name} {elsewhere}/{name}.blcr"
        assert remedy in told
        subprocess.run(remedy.split(), check=True)
    assert call("--check") == 0


def test_a_site_whose_post_exec_runs_as_root_is_refused(
    cluster: Cluster, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Site, "post_exec_user", staticmethod(lambda: "root"))
    assert call("--apply", "--chkpnt", str(cluster.chkpnt)) == 86
    assert cluster.text == _ADMINS


def test_lsf_sudoers_is_read(tmp_path: Path) -> None:
    (tmp_path / "lsf.sudoers").write_text("# x\nLSB_PRE_POST_EXEC_USER=lsfadmin\n")
    assert Site.post_exec_user(tmp_path / "lsf.sudoers") == "lsfadmin"
    assert Site.post_exec_user(tmp_path / "none") == ""


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"chkpnt": "relative"},
        {"chkpnt": "/a#b"},
        {"chkpnt": "/a 0"},
        {"chkpnt": "/a\nEnd Queue"},
        {"chkpnt": "/a", "method": "default"},
        {"chkpnt": "/a", "method": "../x"},
        {"chkpnt": "/a", "priority": "-1"},
        {"chkpnt": "/a", "window": "at night"},
        {"chkpnt": "/a", "mem": "100/500"},
        {"chkpnt": "/a", "mem": "1.2.3/1"},
        {"chkpnt": "/a", "preemption": "PREEMPTIVE"},
    ],
)
def test_values_that_lsf_would_not_understand_are_refused(
    chosen: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "q").write_bytes(_ADMINS)
    with pytest.raises(BadArguments, match="usage: torqueckpt configure lsf"):
        lsf_queue.plan("night", tmp_path / "q", None, chosen, Site({}))


@pytest.mark.parametrize("name", ["default", "", "a b", "a\nb", "é"])
def test_a_name_that_no_queue_can_have(name: str, tmp_path: Path) -> None:
    (tmp_path / "q").write_bytes(_ADMINS)
    with pytest.raises(BadArguments):
        lsf_queue.plan(name, tmp_path / "q", None, {"chkpnt": "/a"}, Site({}))


def test_a_file_that_is_not_there_or_is_not_the_only_one(cluster: Cluster, call: Call) -> None:
    named = "`torqueckpt configure lsf --lsb-queues FILE`"
    with pytest.raises(QueuesNotRead, match=f"no such file; name it with {named}"):
        lsf_queue.plan("night", cluster.top / "none", None, {}, Site())
    second = cluster.top / "conf" / "c2" / "configdir"
    second.mkdir(parents=True)
    (second / "lsb.queues").touch()
    with pytest.raises(QueuesNotRead, match="2 such files"):
        Site().queues()
    (cluster.top / "lsf.conf").write_text("")
    with pytest.raises(QueuesNotRead, match="LSB_CONFDIR is not set"):
        Site().queues()


def test_badmin_is_run_only_when_it_is_asked_for(
    cluster: Cluster, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    badmin = cluster.top / "bin" / "badmin"
    badmin.write_text(f'#!/bin/sh\necho "$LSF_ENVDIR: $*" >>{cluster.top}/called\necho done\n')
    badmin.chmod(0o755)
    assert call("--apply", "--chkpnt", str(cluster.chkpnt)) == 0
    assert not (cluster.top / "called").exists()
    assert call("--apply", "--reconfig") == 0 and "done" in capsys.readouterr().out
    assert (cluster.top / "called").read_text() == f"{cluster.top}: reconfig\n"
    words = "echo Checking configuration files; echo no mbatchd >&2; echo Reconfiguration aborted"
    badmin.write_text(f"#!/bin/sh\n{words}\nexit 1\n")
    assert call("--apply", "--reconfig") == 47
    told = capsys.readouterr().err
    for line in ("Checking configuration files", "no mbatchd", "Reconfiguration aborted"):
        assert line in told


def test_lsb_queues_that_lies_in_lsb_confdir_itself_is_found(cluster: Cluster, call: Call) -> None:
    own = cluster.top / "conf" / "lsb.queues"
    cluster.queues.rename(own)
    assert Site().queues() == own
    assert call("--apply", "--chkpnt", str(cluster.chkpnt)) == 0 and call("--check") == 0
    assert b"lsf-jobstarter" in own.read_bytes()


def test_a_queue_whose_starter_gets_the_command_in_apostrophes_is_told_and_put_right(
    cluster: Cluster, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--apply", "--chkpnt", str(cluster.chkpnt)) == 0
    old = cluster.text.replace(b"lsf-jobstarter; exit $?; %USRCMD", b"lsf-jobstarter '%USRCMD'")
    cluster.queues.write_bytes(old)
    capsys.readouterr()
    assert call("--check") == 86
    assert "JOB_STARTER: LSF puts commands between its apostrophes" in capsys.readouterr().out
    assert call("--apply") == 0 and call("--check") == 0
    assert b"lsf-jobstarter; exit $?; %USRCMD\n" in cluster.text
