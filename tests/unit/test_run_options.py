# SPDX-License-Identifier: MIT
"""What qsub's options ask of `torqueckpt run`: played, refused in one line, or named."""

from __future__ import annotations

import pytest

from torqueckpt.batch import directives
from torqueckpt.batch.local import options
from torqueckpt.batch.local.options import Asked, Slots
from torqueckpt.errors import InvalidOption, InvalidResource
from torqueckpt.manifest import Directive

_HOST = "node1.example.org"


def asked(*given: tuple[str, str], script: tuple[tuple[str, str], ...] = ()) -> Asked:
    written = [Directive(*each) for each in script]
    return options.read(written, [Directive(*each) for each in given], _HOST)


@pytest.mark.parametrize(
    ("limits", "slots"),
    [
        (["nodes=1:ppn=4"], Slots(4)),
        (["nodes=1"], Slots(1)),
        (["nodes=node1:ppn=2"], Slots(2)),
        (["walltime=100, nodes=1:ppn=2"], Slots(2)),
        (["nodes=1:ppn=2", "nodes=1:ppn=3"], Slots(3)),
        (["procs=3"], Slots(3)),
        (["nodes=1:ppn=2,procs=3"], Slots(5)),
        (["ncpus=3"], Slots(1, 3, 3)),
        (["select=1:ncpus=4:mpiprocs=2:ompthreads=2"], Slots(2, 4, 2)),
        (["select=ncpus=4"], Slots(1, 4, 4)),
        (["select=1:ncpus=2:host=node1"], Slots(1, 2, 2)),
    ],
)
def test_processors_are_those_that_a_server_would_give(limits: list[str], slots: Slots) -> None:
    found = asked(*(("l", each) for each in limits))
    assert (found.slots, found.not_played) == (slots, ())


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("q", "batch"), "-q batch"),
        (("a", "0100"), "-a 0100"),
        (("A", "physics"), "-A physics"),
        (("b", "5"), "-b 5"),
        (("C", "#QSUB"), "-C #QSUB"),
        (("D", "/root"), "-D /root"),
        (("E", ""), "-E"),
        (("f", ""), "-f"),
        (("h", ""), "-h"),
        (("i", "in"), "-i in"),
        (("I", ""), "-I"),
        (("k", "oed"), "-k oed"),
        (("K", "30"), "-K 30"),
        (("L", "tasks=2"), "-L tasks=2"),
        (("l", "mem=4gb"), "-l mem=4gb"),
        (("l", "nodes=2:ppn=2"), "-l nodes=2:ppn=2 (in part)"),
        (("l", "nodes=1:gpus=1"), "-l nodes=1:gpus=1 (in part)"),
        (("l", "nodes=other:ppn=2"), "-l nodes=other:ppn=2 (in part)"),
        (("l", "select=1:ncpus=2:mem=1gb"), "-l select=1:ncpus=2:mem=1gb (in part)"),
        (("m", "abe"), "-m abe"),
        (("M", "ann@example.org"), "-M ann@example.org"),
        (("n", ""), "-n"),
        (("p", "-10"), "-p -10"),
        (("P", "project"), "-P project"),
        (("r", "y"), "-r y"),
        (("R", "oe"), "-R oe"),
        (("T", "x"), "-T x"),
        (("u", "bob"), "-u bob"),
        (("W", "depend=afterok:1:2,umask=022"), "-W depend=afterok:1:2"),
        (("W", "stagein=a@b:c,d@b:e"), "-W stagein=a@b:c,d@b:e"),
        (("X", ""), "-X"),
        (("x", ""), "-x"),
    ],
)
@pytest.mark.parametrize("in_script", [True, False])
def test_what_is_not_played_is_named(given: tuple[str, str], named: str, in_script: bool) -> None:
    found = asked(script=(given,)) if in_script else asked(given)
    assert found.not_played == (named,)


def test_every_option_of_both_qsubs_is_known() -> None:
    assert set(options.ALONE) == directives.WITHOUT_VALUE
    assert set(options.WITH_VALUE) == directives._WITH_VALUE


def test_blanks_around_a_value_are_none_of_it() -> None:
    found = asked(("j", " oe "), ("N", " name"), ("t", " 3"), ("S", " /bin/sh"), ("d", " /tmp "))
    assert [found.last[letter] for letter in "jNd"] == ["oe", "name", "/tmp"]
    assert (found.member, found.shell) == ("3", "/bin/sh")


@pytest.mark.parametrize("given", [("m", "n"), ("r", "n"), ("W", "block=true"), ("z", "")])
def test_what_is_so_anyway_is_not_named(given: tuple[str, str]) -> None:
    assert asked(given).not_played == ()


def test_the_command_line_overrules_the_script_whose_other_options_stay() -> None:
    found = asked(
        ("q", "long"),
        ("t", "2"),
        script=(("q", "short"), ("J", "1-3"), ("l", "mem=1gb"), ("k", "oed")),
    )
    assert found.not_played == ("-k oed", "-q long", "-l mem=1gb")
    assert found.member == "2"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("j", "xx"), "-j xx: oe, eo or n"),
        (("N", "two words"), "without blanks"),
        (("N", ""), "without blanks"),
        (("S", "sh"), "an absolute path"),
        (("p", "5000"), "from -1024 to 1023"),
        (("p", "high"), "from -1024 to 1023"),
        (("m", "xyz"), "letters of a, b, e"),
        (("r", "maybe"), "y or n"),
        (("K", "0"), "seconds from 1 on"),
        (("k", "x"), "letters of o, e"),
        (("t", "1-3"), "-t 1-3: arrays are not played; -t N runs one member of it"),
        (("t", "1,5%2"), "arrays are not played"),
        (("J", "1-3"), "-J 1-3: arrays are not played; -t N runs one member of it"),
        (("W", "umask=9999"), "octal digits after a 0"),
        (("W", "umask=08"), "octal digits after a 0"),
        (("Q", "x"), "qsub has no such option"),
        (("q", ""), "it is empty"),
    ],
)
def test_a_bad_value_is_refused_in_one_line(given: tuple[str, str], told: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        asked(given)
    assert told in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "item",
    ["walltime=abc", "walltime", "walltime=1:2:3:4:5", "nodes=0", "nodes=1:ppn=0", "nodes=1:ppn=x"]
    + ["procs=many", "ncpus=", "select=1:ncpus=x", "select=0:ncpus=1"],
)
def test_a_bad_resource_is_refused_in_one_line(item: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        asked(("l", item))
    assert str(refused.value).startswith(f"-l {item}: ")


def test_blanks_after_commas_and_around_equals_signs_are_read() -> None:
    assert asked(("l", "mem=1gb, walltime=1:00")).walltime == 60
    assert asked(("l", "walltime = 100")).walltime == 100


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('A="a,b",B=1', {"A": "a,b", "B": "1"}),
        ("A='a,b',B=1,C=x\\,y", {"A": "a,b", "B": "1", "C": "x,y"}),
        ('A="it\'s",B', {"A": "it's", "B": "here"}),
        ("A= x y ,B=2", {"A": " x y ", "B": "2"}),
        ("A=a\\b,B=c\\\\d", {"A": "a\\b", "B": "c\\d"}),
        ("A=x=y", {"A": "x=y"}),
        ("NOWHERE", {"NOWHERE": ""}),
        ("", {}),
    ],
)
def test_variables_are_read_as_openpbs_reads_them(
    text: str, found: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("B", "here")
    monkeypatch.delenv("NOWHERE", raising=False)
    assert options.variables(text) == found


@pytest.mark.parametrize("text", ['A="a', "A=it's,B=1", "=x", "A=1, =2"])
def test_variables_that_qsub_refuses_are_refused(text: str) -> None:
    with pytest.raises(InvalidOption):
        options.variables(text)


def test_paths_may_hold_variables_that_are_known() -> None:
    known = {"HOME": "/home/ann", "PBS_JOBID": "7.node1", "PBS_ARRAYID": "3"}
    assert options.expanded("o", "$HOME/out.${PBS_JOBID}", known) == "/home/ann/out.7.node1"
    assert options.expanded("e", "err.^array_index^", known) == "err.3"
    with pytest.raises(InvalidOption, match="-o .NOSUCH/x: .NOSUCH is no variable"):
        options.expanded("o", "$NOSUCH/x", known)


@pytest.mark.parametrize(
    ("listed", "shell"),
    [
        ("/bin/sh", "/bin/sh"),
        ("/bin/sh@elsewhere,/bin/dash", "/bin/dash"),
        ("/bin/sh@node1,/bin/dash", "/bin/sh"),
        ("/bin/sh@elsewhere", ""),
    ],
)
def test_a_shell_may_be_named_for_a_host(listed: str, shell: str) -> None:
    assert asked(("S", listed)).shell == shell


@pytest.mark.parametrize(("text", "umask"), [("022", 0o022), ("0077", 0o077), ("22", 22)])
def test_a_umask_is_octal_with_a_zero_before_it(text: str, umask: int) -> None:
    assert asked(("W", f"umask={text}")).umask == umask
