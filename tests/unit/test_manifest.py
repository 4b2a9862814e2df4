# SPDX-License-Identifier: MIT
"""A manifest is written by a user and read by root: all that is broken in it is told, not met."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import samples
from torqueckpt import manifest, typed_json
from torqueckpt.identity import ProcessId
from torqueckpt.manifest import Manifest
from torqueckpt.records import Intent, Live
from torqueckpt.typed_json import Malformed, plain

_KEYS = st.binary(min_size=32, max_size=64)
_OTHER_KEY = bytes(32)


def _edited(path: str, value: object) -> bytes:
    """A manifest that is right but for one field."""
    whole = json.loads(manifest.encode(samples.a_manifest(), samples.KEY))
    at = whole["manifest"]
    *way, last = path.split(".")
    for step in way:
        at = at[int(step)] if step.isdigit() else at[step]
    at[int(last) if last.isdigit() else last] = value
    return json.dumps(whole).encode()


def test_every_manifest_comes_back_as_it_was_and_signed() -> None:
    @settings(max_examples=min(60, settings().max_examples), deadline=None)
    @given(st.from_type(Manifest), _KEYS)
    def comes_back(made: Manifest, key: bytes) -> None:
        made = made._replace(format=manifest.FORMAT)
        data = manifest.encode(made, key)
        assert manifest.decode(data) == made
        assert manifest.signed(data, key)
        assert not manifest.signed(data, key[:-1] + bytes([key[-1] ^ 1]))

    comes_back()


@pytest.mark.parametrize("kind", [Live, Intent, ProcessId])
def test_every_record_comes_back_as_it_was(kind: type) -> None:
    @settings(max_examples=min(60, settings().max_examples), deadline=None)
    @given(st.from_type(kind))
    def comes_back(record: object) -> None:
        assert typed_json.from_json(kind, json.loads(json.dumps(plain(record)))) == record

    comes_back()


def test_file_names_that_are_no_utf8_come_back() -> None:
    made = samples.a_manifest(job=samples.job(submit_dir="/home/caf\udce9"))
    assert manifest.decode(manifest.encode(made, samples.KEY)) == made


def test_another_key_is_no_signature() -> None:
    data = manifest.encode(samples.a_manifest(), samples.KEY)
    assert manifest.signed(data, samples.KEY)
    assert not manifest.signed(data, _OTHER_KEY)


def test_no_byte_can_be_changed_unnoticed() -> None:
    data = manifest.encode(samples.a_manifest(), samples.KEY)
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 4
        try:
            believed = manifest.signed(bytes(changed), samples.KEY)
        except Malformed:
            continue
        # Only white space and the name of the signature itself mean nothing.
        assert not believed or manifest.decode(bytes(changed)) == samples.a_manifest()


@pytest.mark.parametrize("signature", ["", "é", "\udc80", None, 7, [], {"a": 1}, "0" * 64])
def test_a_signature_that_is_none_is_wrong_and_nothing_worse(signature: object) -> None:
    whole = json.loads(manifest.encode(samples.a_manifest(), samples.KEY))
    whole["signature"] = signature
    assert not manifest.signed(json.dumps(whole).encode(), samples.KEY)
    del whole["signature"]
    assert not manifest.signed(json.dumps(whole).encode(), samples.KEY)


def test_a_manifest_torn_at_any_byte_is_malformed() -> None:
    data = manifest.encode(samples.a_manifest(), samples.KEY)
    for length in range(0, len(data) - 1, 11):
        with pytest.raises(Malformed):
            manifest.decode(data[:length])


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("format", 1, "format 1"),
        ("format", "1", "format unknown"),
        ("format", None, "format unknown"),
        ("generation", "1", "Manifest.generation: int"),
        ("generation", True, "Manifest.generation: int"),
        ("generation", 1.0, "Manifest.generation: int"),
        ("frozen_us", 1 << 200, "Manifest.frozen_us: too large"),
        ("job.groups.1", -(1 << 200), "Manifest.job.groups[1]: too large"),
        ("established_tcp", 0, "Manifest.established_tcp: bool"),
        ("host", None, "Manifest.host: str"),
        ("job", [], "Manifest.job: an object"),
        ("job.groups", 7, "Manifest.job.groups: a list"),
        ("job.groups", {"0": 7}, "Manifest.job.groups: a list"),
        ("job.groups.1", "wheel", "Manifest.job.groups[1]: int"),
        ("job.directives.0", "l", "Manifest.job.directives[0]: an object"),
        ("processes.1.pid", [], "Manifest.processes[1].pid: int"),
    ],
)
def test_a_field_of_a_wrong_type_is_named(path: str, value: object, named: str) -> None:
    with pytest.raises(Malformed) as broken:
        manifest.decode(_edited(path, value))
    assert named in str(broken.value)


def test_a_missing_field_is_named() -> None:
    whole = json.loads(manifest.encode(samples.a_manifest(), samples.KEY))
    del whole["manifest"]["job"]["uid"]
    with pytest.raises(Malformed, match=r"Manifest\.job: uid is missing"):
        manifest.decode(json.dumps(whole).encode())


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b"7", b'"x"', b'{"manifest": 7}', b"\xff\xfe\x00", b"\0" * 9],
)
def test_what_is_no_manifest_at_all_is_malformed(data: bytes) -> None:
    for read in (manifest.decode, lambda data: manifest.signed(data, samples.KEY)):
        with pytest.raises(Malformed):
            read(data)


@pytest.mark.parametrize("depth", [*range(800, 1010, 3), 20_000, 2_000_000])
def test_nesting_of_any_depth_is_malformed_or_ignored_and_never_a_crash(depth: int) -> None:
    nest = b"[" * depth + b"]" * depth
    right = manifest.encode(samples.a_manifest(), samples.KEY)
    start = b'{"manifest": {'
    for data in (
        nest,
        right.replace(b'"format":2,', b'"format": ' + nest + b","),
        right.replace(b'"format":2,', b'"format": 2, "more": ' + nest + b","),
        start + b'"format": 2, "host": ' + nest + b"}}",
    ):
        try:
            assert not manifest.signed(data, samples.KEY)
            assert manifest.decode(data) == samples.a_manifest()
        except Malformed as told:
            assert len(str(told)) < 500


@given(st.binary(max_size=300))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    with pytest.raises(Malformed):
        manifest.decode(data)
