# SPDX-License-Identifier: MIT
"""The manifest: all that is known about one generation, as a signed JSON file.

The file is written and stored by the job's owner, so it is believed by root only after signed() has
compared its HMAC with a key that the owner cannot read.  Integers and strings only: their JSON form
is the same everywhere, which the signature needs.
"""

import hashlib
import hmac
import json
from typing import Any, NamedTuple, Optional

from torqueckpt.typed_json import Malformed, from_json, load, plain, readable

PACKED = ".zst"  # ends the names of image files that were compressed
FORMAT = 2  # 2: what the job's files were like at the freeze, who waited on the monotonic clock

UNLIMITED = 2**64 - 1  # a resource limit that is none, as the kernel and CRIU write it
FILE, DIRECTORY, SOCKET, UNLINKED_SOCKET = "file", "directory", "socket", "unlinked socket"
_RLIMIT_NICE, _RLIMIT_RTPRIO = 13, 14  # how far a process may raise itself


class Directive(NamedTuple):
    """One option the job was submitted with: its letter, its value ("" for one that takes none)."""

    option: str
    value: str


class Job(NamedTuple):
    """The batch job that was dumped; start is its session leader's, in seconds of the epoch."""

    id: str
    owner: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    start: int
    name: str
    spec: str  # the -c specification, "" when unknown
    submit_dir: str
    directives: tuple[Directive, ...]


class Process(NamedTuple):
    """A process of the tree at the freeze."""

    pid: int
    ppid: int
    name: str
    cwd: str
    stopped: bool = False


class OpenFile(NamedTuple):
    """A regular file that the tree has open; size and offset in bytes as of the freeze.

    fd is -1 for one that is only mapped or executed; mapped: shared, so that writing goes to it.
    """

    pid: int
    fd: int
    path: str
    device: int
    inode: int
    flags: int
    offset: int
    size: int
    mapped: bool
    deleted: bool


class Rule(NamedTuple):
    """A rule like `scratch/**=snapshot`, its glob absolute.

    complete: all files that it matched at the freeze were recorded.
    """

    glob: str
    policy: str
    complete: bool


class Block(NamedTuple):
    """A part of a file and its checksum."""

    offset: int
    length: int
    xxh3: str


class WatchedFile(NamedTuple):
    """A file that the job writes, or that a rule names, as it was at the freeze.

    blocks are samples of it, of a small file all; copy its name in the lineage's copies/, "" when
    there is none.  settled: whoever finds the same ctime_ns again finds the same content.
    temporary: a boot removes it, and it was the job's owner's; policy is "" for one of those that
    the job only reads, or has not open.
    """

    path: str
    policy: str
    device: int
    inode: int
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    settled: bool
    blocks: tuple[Block, ...]
    copy: str
    temporary: bool = False


class Place(NamedTuple):
    """A directory, FIFO or link of the job's that a boot removes; mode is its st_mode.

    target is what a link leads to, "" for the others.  present: the mode of a directory that a
    restart finds with another one, -1 where it is gone.
    """

    path: str
    mode: int
    target: str = ""
    mtime_ns: int = 0  # of a directory
    present: int = -1


class Stream(NamedTuple):
    """The job's own stdout or stderr.

    path names the spool file at the freeze; kept is the file in the lineage's output/ whose first
    `size` bytes are the stream from the job's first line to the freeze.
    """

    name: str
    path: str
    kept: str
    size: int


class Kept(NamedTuple):
    """A file of the batch system's that a restart needs, kept in the store.

    path is what the image knows it by, copy its name in the lineage's kept/.
    """

    path: str
    copy: str
    offset: int


class ImageFile(NamedTuple):
    """A file of the image, its size in bytes and its XXH3-128 in hex."""

    name: str
    size: int
    xxh3: str


class Build(NamedTuple):
    """A program or library that the job has mapped, and the build id that is in it, in hex."""

    path: str
    build_id: str


class Node(NamedTuple):
    """What of its node a job may depend on; features are instruction sets."""

    machine: str
    features: tuple[str, ...]
    builds: tuple[Build, ...]


class BoundThread(NamedTuple):
    """A thread that has other CPUs than those its batch system gave the job: a mask in hex."""

    tid: int
    cpus: str


class IoPriority(NamedTuple):
    """The class and level of a thread's input and output, as ioprio_get(2) has it (ionice)."""

    tid: int
    value: int


class Attributes(NamedTuple):
    """What a process had of its own that CRIU does not save (process/attributes.py)."""

    pid: int
    personality: int  # personality(2): setarch
    slack_ns: int  # of its timers
    memory_policy: int  # set_mempolicy(2), mode and flags: numactl
    nodes: str  # NUMA nodes of that policy, as in "0-3,8"
    coredump_filter: int  # core(5)


class Ceiling(NamedTuple):
    """The most that any process of the job had when the dump began.

    Root has it from the kernel (process/ceiling.py), and no restored process gets more.  It is one
    for the whole tree: a process that had less than another could be given the other's.  Securebits
    cannot be seen from outside; nobody without capabilities can set those that matter.
    """

    hard_limits: tuple[int, ...]  # by number, as those below; or UNLIMITED
    nice: int  # the lowest
    real_time: int  # the highest real-time priority, 0: none
    idle: bool  # all are SCHED_IDLE
    oom_score_adj: int  # the lowest
    bounding: int  # capabilities in any bounding set, as a mask
    groups: tuple[int, ...]
    no_new_privs: bool  # of all
    seccomp: int  # the least mode, 0: one has none
    bound: tuple[BoundThread, ...]
    attributes: tuple[Attributes, ...] = ()  # not in older ones
    io_priorities: tuple[IoPriority, ...] = ()

    @property
    def may_be_nice(self) -> int:
        """The lowest nice that its processes could give themselves until they were frozen."""
        return min(self.nice, 20 - min(self.hard_limits[_RLIMIT_NICE], 40))

    @property
    def may_be_real_time(self) -> int:
        return max(self.real_time, min(self.hard_limits[_RLIMIT_RTPRIO], 99))

    @property
    def stays_idle(self) -> bool:
        """Whether none of them could have left SCHED_IDLE."""
        return self.idle and self.may_be_nice == self.nice and self.hard_limits[_RLIMIT_NICE] == 0


class Connection(NamedTuple):
    """One end of a TCP connection that was established at the freeze, as root has seen it."""

    local: str
    local_port: int
    remote: str
    remote_port: int


class Needs(NamedTuple):
    """What of its node a restore needs, beside files and process numbers, by what the image says.

    descriptor is the highest number that a process (pid) has open, -1 for none.
    """

    descriptor: int = -1
    pid: int = 0
    terminals: tuple[int, ...] = ()  # pseudo terminals: N of /dev/pts/N


class Made(NamedTuple):
    """A name that its restore makes, for a moment or for good, and that stays if that ends midway.

    A FILE was deleted at the freeze, had this mode and was written to at this time; ghost is the
    number by which its content is in the image.  So was a DIRECTORY.  Sockets are bound to `path`.
    """

    path: str
    kind: str
    ghost: str = ""
    mode: int = 0
    mtime_us: int = 0


class Manifest(NamedTuple):
    """All that is known about one generation."""

    format: int
    lineage: str
    generation: int
    job: Job
    checkpoint_name: str  # MOM's CKPTNAME, "" when there was none
    created: int
    host: str
    boot_id: str
    monotonic_seconds: int  # that clock when it was made
    waiting: tuple[int, ...]  # pids that waited for a time of that clock
    kernel: str
    checkpointer: str
    checkpointer_version: str
    exec_pid: int
    sid: int
    established_tcp: bool
    processes: tuple[Process, ...]
    files: tuple[OpenFile, ...]
    watched: tuple[WatchedFile, ...]
    rules: tuple[Rule, ...]
    remarks: tuple[str, ...]
    streams: tuple[Stream, ...]
    kept: tuple[Kept, ...]
    image: tuple[ImageFile, ...]
    frozen_us: int
    wall_ms: int
    node: Optional[Node] = None  # noqa: UP045 (read at run time, also by Python 3.9); not in older
    ceiling: Optional[Ceiling] = None  # noqa: UP045 (the same)
    connections: tuple[Connection, ...] = ()
    listening: tuple[int, ...] = ()  # the ports that the job listened at; not in older ones
    needs: Needs = Needs()
    doubts: tuple[str, ...] = ()  # why it would not come back, as far as was known when it was made
    never: tuple[str, ...] = ()  # those of them that do not pass
    places: tuple[Place, ...] = ()
    made: tuple[Made, ...] = ()
    made_for_job: tuple[str, ...] = ()  # directories that the batch system removes at its end
    suspended: tuple[int, ...] = ()  # pids that were stopped from outside, all of the job together

    @property
    def copied(self) -> set[str]:
        """Paths of the files that the store has, and a restart needs not find."""
        kept = {each.path for each in self.streams} | {each.path for each in self.kept}
        return kept | {each.path for each in self.watched if each.copy}

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.image)

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of the image's files, by name."""
        return {file.name: file.size for file in self.image}

    @property
    def packed(self) -> bool:
        """Whether some of the image's files are compressed."""
        return any(file.name.endswith(PACKED) for file in self.image)


class Parsed(NamedTuple):
    """A manifest's JSON, parsed once for signed() and decode()."""

    body: dict[str, Any]
    signature: str


def encode(manifest: Manifest, key: bytes) -> bytes:
    """Write a manifest with its signature; OSError(EFBIG) where it has too much to be read."""
    body = _canonical(plain(manifest))
    signature = _signature(body, key).encode()
    return readable(b'{"manifest":%b,"signature":"%b"}' % (body, signature))


def decode(data: "bytes | Parsed") -> Manifest:
    """Build a manifest, without checking its signature; Malformed."""
    return from_json(Manifest, _parsed(data).body)


def signed(data: "bytes | Parsed", key: bytes) -> bool:
    """Whether `data` was written by encode() with this key; Malformed when it is no manifest."""
    body, signature = _parsed(data)
    try:
        right = _signature(_canonical(body), key)
    except RecursionError as broken:  # deeper than can be written, though it could be read
        raise Malformed("nested too deeply") from broken
    # As bytes: compare_digest refuses strings that are not ASCII.
    return hmac.compare_digest(right.encode(), signature.encode("utf-8", "backslashreplace"))


def parse(data: bytes) -> Parsed:
    """Parse a manifest's JSON, which is most of the work; Malformed."""
    whole = load(data)
    if not isinstance(whole, dict) or not isinstance(whole.get("manifest"), dict):
        raise Malformed("no manifest in it")
    found, signature = whole["manifest"].get("format"), whole.get("signature")
    if found != FORMAT:
        shown = found if isinstance(found, int) else "unknown"
        raise Malformed(f"format {shown}, this version reads {FORMAT}")
    return Parsed(whole["manifest"], signature if isinstance(signature, str) else "")


def _parsed(data: "bytes | Parsed") -> Parsed:
    return parse(data) if isinstance(data, bytes) else data


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _signature(canonical: bytes, key: bytes) -> str:
    return hmac.new(key, canonical, hashlib.sha256).hexdigest()
