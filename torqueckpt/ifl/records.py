# SPDX-License-Identifier: MIT
"""Jobs, nodes, queues and the server as a client wants them: typed, frozen, without C."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar, Union

from torqueckpt.ifl.attributes import BatchStatus

R = TypeVar("R", bound="Record")
Value = Union[str, Mapping[str, str]]

# The letters that servers give the states of jobs (qstat(1B) of TORQUE and of OpenPBS):
#
#   letter  the job                                           TORQUE  OpenPBS
#   Q       is queued, and may start at any moment               x       x
#   H       is held: so it was submitted, or a checkpoint        x       x
#           has ended its processes and it waits to go on
#   W       waits for its time (qsub -a)                         x       x
#   T       is in transit: to another queue, or to its MOM       x       x
#   R       runs                                                 x       x
#   S       is suspended (qsig -s suspend)                       x       x
#   U       is suspended: somebody works at its node                     x
#   B       is an array, of which a member has begun                     x
#   E       exits: its processes are gone, its files are         x       x
#           being delivered
#   C       has completed; kept for keep_completed seconds       x
#   F       has finished; known from the job history                     x
#   X       has finished, as a member of an array                        x
#   M       was moved to another server                                  x
_IN_QUEUE = frozenset("QHW")
_WAITS = frozenset("QHWT")
_ENDED = frozenset("CFX")
_DIGITS = 12  # more of them are no time, pid or status: users write some of what servers tell


class Record(NamedTuple):
    """An object: its name and its attributes, each a text or, with resources, a mapping of texts.

    An attribute that the server did not send, or was not asked for, reads as "" or None.
    """

    name: str
    attributes: Mapping[str, Value]

    @classmethod
    def read(cls: type[R], status: BatchStatus) -> R:
        attributes: dict[str, Value] = {}
        for attribute in status.attribs:
            name, value = str(attribute.name or ""), str(attribute.value or "")
            if not attribute.resource:
                attributes[name] = value
                continue
            resources = attributes.get(name)
            if not isinstance(resources, dict):
                resources = attributes[name] = {}
            resources[str(attribute.resource)] = value
        return cls(status.name or "", attributes)

    def text(self, *names: str) -> str:
        """The value of the first of these attributes that is there.

        Systems spell them differently.
        """
        for name in names:
            value = self.attributes.get(name)
            if isinstance(value, str):
                return value
        return ""

    def resource(self, name: str, resource: str) -> str:
        value = self.attributes.get(name)
        return value.get(resource, "") if isinstance(value, Mapping) else ""


class Job(Record):
    """A job; `state` is the server's letter, "" where it was not asked for."""

    @property
    def id(self) -> str:
        return self.name

    @property
    def owner(self) -> str:
        """The user's name, without the host that the server adds."""
        return self.text("Job_Owner").partition("@")[0]

    @property
    def user(self) -> str:
        """Whose processes it has: seldom another than its owner (qsub -u, -P)."""
        return self.text("euser") or self.owner

    @property
    def title(self) -> str:
        return self.text("Job_Name")

    @property
    def state(self) -> str:
        return self.text("job_state")

    @property
    def waits(self) -> bool:
        """It has not begun yet, or waits to go on."""
        return self.state in _WAITS

    @property
    def is_in_queue(self) -> bool:
        """It waits in the queue of this server, where it can be altered: it is not in transit."""
        return self.state in _IN_QUEUE

    @property
    def is_held(self) -> bool:
        return self.state == "H"

    @property
    def runs(self) -> bool:
        return self.state == "R"

    @property
    def is_exiting(self) -> bool:
        """Its processes are gone, and its end is not settled yet."""
        return self.state == "E"

    @property
    def has_ended(self) -> bool:
        """For good: it is known only as something of the past."""
        return self.state in _ENDED

    @property
    def queue(self) -> str:
        return self.text("queue")

    @property
    def comment(self) -> str:
        return self.text("comment")

    @property
    def checkpoint(self) -> str:
        """The -c specification as the server keeps it, "u" for none."""
        return self.text("Checkpoint")

    @property
    def hold_types(self) -> str:
        """The types of hold on the job, letters of u, o and s; "n" for none."""
        return self.text("Hold_Types")

    @property
    def session_id(self) -> int | None:
        return _number(self.text("session_id"))

    @property
    def exit_status(self) -> int | None:
        return _number(self.text("exit_status", "Exit_status"))

    @property
    def walltime_seconds(self) -> int | None:
        """Walltime used so far, as of the server's last poll of the MOM."""
        return seconds(self.resource("resources_used", "walltime"))

    @property
    def walltime_limit_seconds(self) -> int | None:
        """The walltime that the job asked for; None without a limit."""
        return seconds(self.resource("Resource_List", "walltime"))

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that the job runs on, each once, the mother superior first."""
        places = self.text("exec_host").split("+")
        return _once(place.partition("/")[0] for place in places)


class Node(Record):
    @property
    def states(self) -> tuple[str, ...]:
        """The node's states: free, down, offline, job-exclusive…; several at a time."""
        return _once(self.text("state").replace(" ", "").split(","))

    @property
    def properties(self) -> tuple[str, ...]:
        return _once(self.text("properties").split(","))

    @property
    def note(self) -> str:
        """Why the node is offline: TORQUE's note, OpenPBS's comment."""
        return self.text("note", "comment")

    @property
    def jobs(self) -> tuple[str, ...]:
        """The ids of the jobs on the node.

        TORQUE lists slot/id and slot ranges, OpenPBS id/slot.
        """
        pieces = [piece.strip().partition("/") for piece in self.text("jobs").split(",")]
        return _once(
            after if _is_slot(before) else before for before, slash, after in pieces if slash
        )


class Queue(Record):
    @property
    def is_enabled(self) -> bool:
        return self.text("enabled") == "True"

    @property
    def is_started(self) -> bool:
        return self.text("started") == "True"

    @property
    def is_execution(self) -> bool:
        return self.text("queue_type").startswith("E")


class Server(Record):
    @property
    def state(self) -> str:
        return self.text("server_state")

    @property
    def version(self) -> str:
        return self.text("pbs_version")


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))


def _is_slot(text: str) -> bool:
    return text.replace("-", "").isdigit()


def _number(text: str) -> int | None:
    if len(text) > _DIGITS:
        return None
    try:
        return int(text)
    except ValueError:
        return None


def seconds(text: str) -> int | None:
    """Convert [[days:]hours:]minutes:seconds, or a plain number, to seconds."""
    parts = text.split(":")
    if not all(part.isdecimal() and len(part) <= _DIGITS for part in parts) or len(parts) > 4:
        return None
    return sum(int(part) * unit for part, unit in zip(reversed(parts), (1, 60, 3600, 86400)))
