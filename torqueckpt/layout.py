# SPDX-License-Identifier: MIT
"""The names on disk below the store's root, and what lies under each; no other module spells them.

STORE/<exec pid>.<job id> -> jobs/USER/LINEAGE/N/image      the newest whole image of each job
STORE/jobs/USER/                0700, the user's: all below is written and read as he
    ids/  journal  lock  chains/JOB@TIME/
    LINEAGE/                    the first job and all jobs resumed from its images
        lock  first.json  live.json  claim.json  intent.json  index.json
        kept/  output/  copies/  tails/
        N/                      a generation: image/  manifest.json  work/  log
"""

from __future__ import annotations

from pathlib import Path

# In the store's root.
JOBS = "jobs"  # a directory for each owner of images

# In an owner's directory.
IDS = "ids"  # job id -> LINEAGE, links: which lineage a job's images belong to
JOURNAL = "journal"  # one JSON line for each checkpoint, restart and failure
CHAINS = "chains"  # a directory for each chain of jobs, named by its first job as a lineage is
LOCK = "lock"  # flock; in a lineage too: taken before anything else of it is looked at

# In a lineage.
FIRST = "first.json"  # the process that was the first job's session leader
INDEX = "index.json"  # what a listing shows of each generation; unsigned, decides nothing
LIVE = "live.json"  # who runs the lineage now, or ran it last
CLAIM = "claim.json"  # who brings it back, for nodes that do not see each other's lock
INTENT = "intent.json"  # what a restart that is under way changes of the job's files
KEPT = "kept"  # the spooled job script and what else of the batch system's a restart needs
OUTPUT = "output"  # stdout and stderr so far, grown from generation to generation
COPIES = "copies"  # files of the job's as they were at a freeze, for the policy snapshot
TAILS = "tails"  # what restarts have taken from the job's files
EDITED = "edited"  # files of an image, written anew for the restart that is under way
ASKED = "asked.json"  # what the batch server says that the job asked for
OVER = "over"  # seconds of the epoch at which the job was first seen to have ended
HELD = (
    "held"  # there, with the job's id in it, while a job that was ended with an image waits for it
)
WANTED = "wanted"  # there while a resume job that was written may not have run yet
FAILED = "failed-"  # and a log's name: what the checkpointer said of the last dump that failed
PARTIAL = ".partial"  # behind a generation's number: it is being made, or removed

# In a generation.
IMAGE = "image"  # the checkpointer's files, and nothing else
MANIFEST = "manifest.json"  # what the image is of, signed; written last
WORK = "work"  # the checkpointer's scratch and logs
LOG = "log"  # what was logged while it was made
BEFORE = "before"  # memory that was dumped ahead, until it is merged into the image

# In a chain's directory.
CHAIN = "chain.json"  # the links that have begun, and what each went on from
END = "end.json"  # how the chain ended: by itself, cancelled, or given up
SCRIPT = "script"  # what the user submitted
WORDS = "words"  # the script's arguments, each with a NUL behind it
ENVIRONMENT = "environment"  # what the first link was given, with NULs between


# The most bytes of a file that is read whole, where safe_files.SMALL is not it.  Its writer keeps
# to it too: what nobody could read again is refused while there is something to go back to.
MANIFEST_BYTES = 64 * 1024 * 1024  # of 300 000 descriptors; a listing reads the index instead
INTENT_BYTES = 2 * MANIFEST_BYTES  # however many of the manifest's files are to be brought back
INDEX_BYTES = 1024 * 1024
SCRIPT_BYTES = 64 * 1024 * 1024  # a job's script, with what some unpack from their end


def of_owner(store: Path, user: str) -> Path:
    """Where a user's images, journal and chains lie."""
    return store / JOBS / user


def of_image(store: Path, user: str, lineage: str, generation: int) -> Path:
    """Where the checkpointer's files of one generation lie."""
    return of_owner(store, user) / lineage / str(generation) / IMAGE
