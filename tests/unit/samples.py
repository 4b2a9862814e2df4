# SPDX-License-Identifier: MIT
"""A manifest, a live record, an image: valid ones, for tests to break."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torqueckpt import manifest
from torqueckpt.identity import ProcessId
from torqueckpt.manifest import (
    Block,
    Directive,
    Job,
    Kept,
    Manifest,
    OpenFile,
    Process,
    Rule,
    Stream,
    WatchedFile,
)
from torqueckpt.records import Live, LiveStream
from torqueckpt.store.lineage import Lineage

KEY = bytes(range(32))
JOB = "12.srv"
LINEAGE = "12.srv@1700000000"


def job(**changes: Any) -> Job:
    job = Job(
        id=JOB,
        owner="ann",
        uid=1000,
        gid=1000,
        groups=(1000, 1002),
        start=1700000000,
        name="relax",
        spec="enabled,c=20",
        submit_dir="/home/ann/relax",
        directives=(Directive("l", "walltime=1:00:00"), Directive("j", "oe")),
    )
    return job._replace(**changes)


def a_manifest(**changes: Any) -> Manifest:
    found = Manifest(
        format=manifest.FORMAT,
        lineage=LINEAGE,
        generation=1,
        job=job(),
        checkpoint_name="ckpt.12.srv.1700000600",
        created=1700000600,
        host="node1",
        boot_id="4f1a7ad6-4f67-4a8b-9d69-d3a4f3b3bd9b",
        monotonic_seconds=86400,
        waiting=(4242,),
        kernel="6.1.0",
        checkpointer="criu",
        checkpointer_version="4.2.1",
        exec_pid=4242,
        sid=4241,
        established_tcp=False,
        processes=(
            Process(4242, 4241, "bash", "/home/ann/relax"),
            Process(4243, 4242, "relax", ""),
        ),
        files=(open_file("/home/ann/relax/traj"),),
        watched=(
            WatchedFile(
                *("/home/ann/relax/traj", "rollback", 2049, 78, 0o644, 10, 1700000500000000000),
                *(1700000500000000000, True),
                *((Block(0, 10, "1f2e3d4c5b6a7988"),), ""),
            ),
        ),
        rules=(Rule("/home/ann/relax/log*", "snapshot", True),),
        remarks=("/home/ann/relax/big: not copied",),
        streams=(Stream("stdout", "/var/spool/torque/spool/12.srv.OU", "stdout", 7),),
        kept=(Kept("/var/spool/torque/mom_priv/jobs/12.srv.SC", "12.srv.SC", 33),),
        image=(),
        frozen_us=7000,
        wall_ms=32,
    )
    return found._replace(**changes)


def open_file(path: str | Path, **changes: Any) -> OpenFile:
    """A file that the job has open for writing, ten bytes long."""
    found = OpenFile(4243, 3, str(path), 2049, 78, os.O_RDWR, 10, 10, False, False)
    return found._replace(**changes)


def live(**changes: Any) -> Live:
    leader = ProcessId("4f1a7ad6-4f67-4a8b-9d69-d3a4f3b3bd9b", 4241, 1000)
    found = Live(
        job=JOB,
        host="node1",
        keeper=leader,
        tree=ProcessId(leader.boot_id, 4242, 1001),
        attempt="",
        streams=(LiveStream("stdout", "/var/spool/torque/spool/12.srv.OU", 2049, 77, 0, "stdout"),),
        written=1700000600,
    )
    return found._replace(**changes)


def stream(file: Path, **changes: Any) -> LiveStream:
    """A stream that goes to a real file."""
    status = file.stat()
    found = LiveStream("stdout", str(file), status.st_dev, status.st_ino, 0, "stdout")
    return found._replace(**changes)


def generation(lineage: Lineage, files: dict[str, bytes], doubts: tuple[str, ...] = ()) -> Manifest:
    """Make the next whole generation, its image of these files; called as the owner."""
    with lineage.new_generation() as new:
        for name, data in files.items():
            (new.image_dir / name).write_bytes(data)
        with new.sealing() as image:
            pass
        written = a_manifest(generation=new.number, image=tuple(image), doubts=doubts)
        new.write_manifest(written, KEY)
    return written
