# SPDX-License-Identifier: MIT
"""lsb.queues is read as mbatchd reads it; our lines go in and out, and no other byte moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.lsb_queues import FILES, NONE
from torqueckpt.batch.lsf import queues
from torqueckpt.errors import ConfigBlockDamaged, QueuesNotRead

_LINES = ["JOB_STARTER = /x/sbin/lsf-jobstarter; exit $?; %USRCMD", "CHKPNT = /gpfs/ckpt 30"]
_OTHERS = ["CHKPNT = /tmp", "mem = 500/100", 'POST_EXEC = a && { [ -z "$X" ] || b; }']
_ALL = {**FILES, **NONE}

_bits = st.sampled_from(
    [
        *(b"Begin Queue\n", b"End Queue\n", b"QUEUE_NAME = night\n", b"QUEUE_NAME = day\n"),
        *(b"#if a\n", b"#else\n", b"#endif\n", b"PRIORITY = 3\n", b"HOSTS = a \\\n", b"\\\n"),
        *(b"# x \\\n", b"\r", b"\xff", b"=", b"#", b"\\", b"\n", b"\0", b"End", b" Queue", b"\x1c"),
        *(b"# BEGIN torqueckpt\n", b"# END torqueckpt\n"),
    ]
)
_files = st.one_of(st.binary(max_size=120), st.lists(_bits, max_size=14).map(b"".join))
_sections = st.lists(
    st.lists(
        st.sampled_from(
            [
                b"PRIORITY = 3\n",
                b"# c\n",
                b"HOSTS = a \\\n b\n",
                b"\n",
                b"#if x\nNICE = 1\n#endif\n",
            ]
        ),
        max_size=4,
    ).map(b"".join),
    min_size=1,
    max_size=3,
)


def _merge(data: bytes, lines: list[str] = _LINES, name: str = "night") -> bytes:
    return queues.merge(data, name, lines, "lsb.queues")


def _remove(data: bytes, name: str = "night") -> bytes:
    return queues.remove(data, name, "lsb.queues")


def _values(data: bytes, keyword: str, name: str = "night") -> list[str]:
    found = queues.named(data, name, "lsb.queues")
    return [k.value for queue in found for k in queue.keywords if k.name == keyword]


def test_there_are_thirty_files_to_try() -> None:
    assert len(set(_ALL.values())) == len(_ALL) >= 30


@pytest.mark.parametrize("name", _ALL)
def test_merging_twice_is_merging_once_and_taking_out_gives_the_file_back(name: str) -> None:
    data = _ALL[name]
    merged = _merge(data)
    assert merged != data and _merge(merged) == merged
    assert set(_values(merged, "CHKPNT")) == {"/gpfs/ckpt 30"}
    assert _remove(merged) == data
    changed = _merge(merged, _OTHERS)
    assert set(_values(changed, "MEM")) == {"500/100"} and _merge(changed) == merged
    assert _remove(changed) == data


@pytest.mark.parametrize("name", FILES)
def test_only_the_section_of_the_queue_grows_and_each_of_its_lines_stays(name: str) -> None:
    data, merged = FILES[name], _merge(FILES[name])
    ours = {line.encode() for line in _LINES}
    kept = b"".join(
        line
        for line in merged.splitlines(keepends=True)
        if line.strip() not in ours and b"# BEGIN torqueckpt (" not in line
        if line != b"# END torqueckpt\n"
    )
    assert kept == b"".join(data.splitlines(keepends=True))
    for queue in queues.parse(merged, "x"):
        assert ("JOB_STARTER" in {k.name for k in queue.keywords}) == (
            queue.name in ("night", "blcr")
        )


@pytest.mark.parametrize("name", NONE)
def test_a_queue_that_is_not_there_gets_a_section_at_the_end(name: str) -> None:
    merged = _merge(NONE[name])
    assert merged.startswith(NONE[name]) and merged.endswith(b"\n# END torqueckpt\nEnd Queue\n")


def test_what_was_written_into_a_queue_that_we_made_stays() -> None:
    merged = _merge(b"").replace(b"QUEUE_NAME = night\n", b"QUEUE_NAME = night\nUSERS = ann\n")
    assert _merge(merged) == merged
    left = _remove(merged)
    assert left.endswith(b"QUEUE_NAME = night\nUSERS = ann\nEnd Queue\n")
    assert _merge(left) == merged


def test_two_queues_have_a_block_each() -> None:
    data = FILES["as installed"]
    both = _merge(_merge(data), _OTHERS, "normal")
    assert _values(both, "CHKPNT") == ["/gpfs/ckpt 30"]
    assert _values(both, "CHKPNT", "normal") == ["/tmp"]
    assert _remove(_remove(both, "normal")) == data


@pytest.mark.parametrize(
    ("name", "keyword", "values"),
    [
        ("infn trieste", "HOSTS", ["wn01 wn02 wn03 wn04"]),
        ("capitals", "PRIORITY", ["3"]),
        ("comments behind", "QUEUE_NAME", ["night"]),
        ("a comment ends a continuation", "PRIORITY", ["3"]),
        ("a comment ends a continuation", "HOSTS", ["a b"]),
        ("continued to its last line", "HOSTS", ["a"]),
        ("latin-1", "DESCRIPTION", ["Geb\\xe4ude\\xa03"]),
        ("utf-8", "DESCRIPTION", ["coda non più"]),
        ("two branches", "PRIORITY", ["20", "2"]),
        ("begin and end as keywords", "BEGIN", ["4"]),
    ],
)
def test_values_are_read_as_the_daemon_reads_them(
    name: str, keyword: str, values: list[str]
) -> None:
    assert _values(FILES[name], keyword) == values


def test_a_backslash_before_a_cr_goes_on_in_no_other_line() -> None:
    data = b"Begin Queue\r\nHOSTS = a \\\r\nQUEUE_NAME = night\r\nEnd Queue\r\n"
    assert _values(data, "QUEUE_NAME") == ["night"]


@pytest.mark.parametrize(
    ("data", "line", "told"),
    [
        (b"Begin Queue\nQUEUE_NAME = night\n", 1, "has no end"),
        (b"\nBegin Queue\nBegin Queue\nEnd Queue\n", 3, "line 2 begins"),
        (b"End Queue\n", 1, "ends nothing"),
        (b"Begin Queue\nEnd Limits\n", 2, "ends nothing"),
        (b"#if x\nBegin Queue\n#endif\nEnd Queue\n", 4, "parts it"),
        (b"#if x\nBegin Queue\n#else\nEnd Queue\n#endif\n", 4, "parts it"),
        (b"#if x\n", 2, "no #endif"),
        (b"\n#endif\n", 2, "without an #if"),
        (b"Begin Queue\nEnd Queue\nX = a\\\n", 3, "goes on"),
        (b"Begin Queue\nX = a\\\nEnd Queue\n", 1, "has no end"),
    ],
)
def test_sections_that_do_not_fit_are_told_with_their_line(
    data: bytes, line: int, told: str
) -> None:
    with pytest.raises(QueuesNotRead, match=told) as refused:
        _merge(data)
    assert str(refused.value).startswith(f"lsb.queues:{line}: ")


def test_a_damaged_block_is_told_with_its_line_in_the_file() -> None:
    data = b"\n\nBegin Queue\nQUEUE_NAME = night\n# BEGIN torqueckpt\nEnd Queue\n"
    with pytest.raises(ConfigBlockDamaged, match=r"lsb.queues:5: .*no end"):
        _merge(data)


def test_a_line_that_would_be_read_as_another_one_is_not_written() -> None:
    with pytest.raises(QueuesNotRead, match="would not be read"):
        _merge(FILES["one queue"], ["CHKPNT = /a#b"])


@given(_files)
def test_any_bytes_are_merged_or_refused_and_come_back(data: bytes) -> None:
    try:
        merged = _merge(data)
    except (QueuesNotRead, ConfigBlockDamaged):
        return
    assert _merge(merged) == merged
    if b"# BEGIN torqueckpt" not in data:
        assert _remove(merged) == data


@given(_sections, st.integers(0, 2))
def test_made_up_queues_are_merged_and_come_back(sections: list[bytes], which: int) -> None:
    data = b"".join(
        b"Begin Queue\nQUEUE_NAME = q%d\n%sEnd Queue\n" % pair for pair in enumerate(sections)
    )
    name = f"q{which}"
    merged = _merge(data, _LINES, name)
    assert _values(merged, "CHKPNT", name) == ["/gpfs/ckpt 30"]
    for other in set(range(len(sections))) - {which}:
        assert _values(merged, "CHKPNT", f"q{other}") == []
    assert _remove(merged, name) == data
