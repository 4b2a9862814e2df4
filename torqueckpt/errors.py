# SPDX-License-Identifier: MIT
"""All errors of this package: each with its message and its exit code.

The numbers are part of the interface: site scripts and MOM comments are built on them, so a number
is never given to another error.  The manual's table is checked against this module by a test.
"""

from __future__ import annotations


class TorqueCkptError(Exception):
    """An error with its own message and exit code; only a door's main() turns it into an exit."""

    message = "torqueckpt failed"
    exit_code = 1

    def __init__(self, **details: object) -> None:
        self.details = details
        super().__init__(self.message.format(**details))


OWN_FAILURE = 125  # where the exit status is the job's, this one is ours (run, resume, mom-restart)


class InternalError(TorqueCkptError):
    message = "internal error: {what}; the traceback is in the system log and the journal"
    exit_code = 70


# The call -----------------------------------------------------------------------------------------


class BadArguments(TorqueCkptError):
    message = "{program}: {problem}; usage: {usage}"
    exit_code = 64


class InvalidJobId(TorqueCkptError):
    message = "{text!r} is not a job id: expected digits, [index] and .server, as in 12.node1"
    exit_code = 65


class InvalidSpec(TorqueCkptError):
    message = (
        "-c {spec}: {problem}; "
        "known forms: n s c c=MIN c=auto u enabled periodic interval=MIN depth=N"
    )
    exit_code = 66


class UnknownUser(TorqueCkptError):
    message = "user {name!r} is unknown on {host}"
    exit_code = 67


class BadFileRule(TorqueCkptError):
    message = "TORQUECKPT_FILES: {problem}"
    exit_code = 69


class OddBeginning(TorqueCkptError):
    message = "{program} does not begin: {what}; {remedy}"
    exit_code = 74


class StillRoot(TorqueCkptError):
    """Never raised: the program that tells it has ended."""

    message = "the change to uid {uid} did not take effect: {what}; the program ended there"
    exit_code = 75


class NeedsRoot(TorqueCkptError):
    message = "{what} needs root: {remedy}"
    exit_code = 77


class SettingsError(TorqueCkptError):
    message = "{file}: {problem}"
    exit_code = 78


# The job's processes ------------------------------------------------------------------------------


class SessionGone(TorqueCkptError):
    message = "session {sid}: no such process, the job has ended"
    exit_code = 10


class NoExecPid(TorqueCkptError):
    message = "session {sid}: nothing to dump, the job shell has no child"
    exit_code = 11


class SeveralExecPids(TorqueCkptError):
    message = "session {sid}: several candidates: {candidates}; set exec_match to choose one"
    exit_code = 12


class JobEnded(TorqueCkptError):
    message = "job {job}: process {pid} ended while it was being dumped"
    exit_code = 13


class ProcessReused(TorqueCkptError):
    message = "process {pid} is not the one that was looked up: it ended and its pid was taken"
    exit_code = 14


class ForeignProcess(TorqueCkptError):
    message = (
        "process {pid} ({name}) belongs to uid {uid}, not to the job's owner {owner}: not dumped; "
        "end what sudo or su has started before, and for sg submit with -W group_list=GROUP"
    )
    exit_code = 15


class OwnProgramInTree(TorqueCkptError):
    message = (
        "process {pid} ({name}) is one of torqueckpt's own: a restart that is not finished yet"
    )
    exit_code = 16


class SeveralTasks(TorqueCkptError):
    message = "job {job}: {what}; a job of several tasks or nodes cannot be checkpointed"
    exit_code = 17


class CannotBeDumped(TorqueCkptError):
    message = "{what} cannot be dumped: {reasons}; it runs on"
    exit_code = 19


class NothingToLookAt(TorqueCkptError):
    message = "{what}: no running job or process of that number that you may look at"
    exit_code = 18


# The image that is asked for ----------------------------------------------------------------------


class UnknownJob(TorqueCkptError):
    message = "job {job}: {owner} has no image of it in {store}{elsewhere}"
    exit_code = 20


class NoImage(TorqueCkptError):
    message = "job {job}: no whole image{which}; see `torqueckpt list --job {job}`"
    exit_code = 21


class JobStillRuns(TorqueCkptError):
    message = "job {job} still runs: {where}; {remedy}"
    exit_code = 22


class Busy(TorqueCkptError):
    message = "job {job}: another checkpoint or restart holds its lock for more than {seconds} s"
    exit_code = 23


class ResumedElsewhere(TorqueCkptError):
    message = "job {job} is being resumed already: by job {by} on {host}, since {since}; {remedy}"
    exit_code = 25


class NoArray(TorqueCkptError):
    message = "array {job}: no members to resume together: {problem}"
    exit_code = 26


class NotDrained(TorqueCkptError):
    message = "node {node}: {count} job(s) are as they were, listed above"
    exit_code = 27


class LastImageKept(TorqueCkptError):
    message = (
        "job {job}: generation {generation} is its newest whole image and it {why}: not deleted"
    )
    exit_code = 24


class ImagesNeeded(TorqueCkptError):
    message = "job {job}: its newest image is needed, nothing was deleted: {why}; or delete --force"
    exit_code = 29


class InvalidResource(TorqueCkptError):
    message = "-l {item}: {problem}"
    exit_code = 71


class InvalidOption(TorqueCkptError):
    message = "-{option} {value}: {problem}"
    exit_code = 118


class InteractiveJob(TorqueCkptError):
    message = "session {sid}: an interactive job (qsub -I) cannot be checkpointed: submit a script"
    exit_code = 119


class UnknownChain(TorqueCkptError):
    message = "no chain of {owner} is known as {job}{remedy}"
    exit_code = 72


class ChainStopped(TorqueCkptError):
    message = "chain {job}: {reason}"
    exit_code = 73


# The store ----------------------------------------------------------------------------------------


class StoreMissing(TorqueCkptError):
    message = "store {path} is missing: {remedy}"
    exit_code = 30


class StoreFull(TorqueCkptError):
    message = "store {path} is full: {problem}; the last image is kept"
    exit_code = 31


class StoreNotWritable(TorqueCkptError):
    message = "store {path}: {problem}"
    exit_code = 32


# The checkpointer ---------------------------------------------------------------------------------


class NamesSilent(TorqueCkptError):
    message = (
        "the name service does not say within {seconds} s who {name} is, and the store {path} "
        "has no directory of that name: see getent passwd {name}"
    )
    exit_code = 37


class NodeBusy(TorqueCkptError):
    message = (
        "job {job}: not its turn within {seconds} s: {count} other checkpoint(s) of this node come "
        "first; the job runs on"
    )
    exit_code = 38


class CheckpointerRefused(TorqueCkptError):
    message = "checkpointer {name} cannot be used on this node: {problem}"
    exit_code = 39


class CheckpointerMissing(TorqueCkptError):
    message = "checkpointer {name}: {program} is missing; install it, or set where it lies"
    exit_code = 40


class CheckpointerTooOld(TorqueCkptError):
    message = "{program} is version {found}, {needed} or later is needed"
    exit_code = 41


class KernelTooOld(TorqueCkptError):
    message = "kernel {found} is too old: CRIU as the job's owner needs {needed} or later"
    exit_code = 42


class DumpFailed(TorqueCkptError):
    message = "job {job}: dump failed: {reason}; the job runs on"
    exit_code = 43


class DumpTimeout(TorqueCkptError):
    message = "job {job}: the dump took more than {seconds} s and was stopped; the job runs on"
    exit_code = 44


class RestoreFailed(TorqueCkptError):
    message = "job {job}: restore of generation {generation} failed: {reason}; the image is kept"
    exit_code = 45


class RestoreTimeout(TorqueCkptError):
    message = "job {job}: the restore took more than {seconds} s and was stopped; the image is kept"
    exit_code = 46


class ProgramMissing(TorqueCkptError):
    message = "{program} is missing or cannot be executed: {problem}"
    exit_code = 47


class NodeDiffers(TorqueCkptError):
    message = (
        "job {job}: generation {generation} cannot go on on {host}, nothing was changed: {problems}"
    )
    exit_code = 48


class WouldNotRestart(TorqueCkptError):
    message = "job {job} would not restart on {host} now: {count} reason(s), listed above"
    exit_code = 49


# Trust in an image --------------------------------------------------------------------------------


class ManifestMissing(TorqueCkptError):
    message = "{path}: no manifest, this generation was never finished"
    exit_code = 50


class ManifestTorn(TorqueCkptError):
    message = "{path}: not a manifest of ours: {problem}"
    exit_code = 51


class SignatureWrong(TorqueCkptError):
    message = "{path}: wrong signature: changed since it was written, or made under another key"
    exit_code = 52


class ImageDamaged(TorqueCkptError):
    message = "job {job} generation {generation}: image damaged: {problem}"
    exit_code = 53


class ForeignImage(TorqueCkptError):
    message = "{path}: an image of {owner} (uid {uid}), not of {caller}"
    exit_code = 54


class GroupsChanged(TorqueCkptError):
    message = "{owner} is no longer in the group(s) {groups} that the image was made with"
    exit_code = 55


class KeyMissing(TorqueCkptError):
    message = "signature key {path}: {problem}; `make install` makes one"
    exit_code = 56


class RecordTorn(TorqueCkptError):
    message = "{path} is damaged: {problem}; remove it once no process of the job runs any more"
    exit_code = 57


# The job's files ----------------------------------------------------------------------------------


class FilesChanged(TorqueCkptError):
    message = (
        "job {job}: cannot restart generation {generation}, nothing was changed: {files}{remedy}"
    )
    exit_code = 60


class OutputNotAFile(TorqueCkptError):
    message = (
        "{stream} is not a regular file: send it to one, as in `torqueckpt resume {job} >out 2>err`"
    )
    exit_code = 61


class NotInAJob(TorqueCkptError):
    message = "not inside a batch job: submit the script of `torqueckpt resume-job {job}`"
    exit_code = 62


class PointerMissing(TorqueCkptError):
    message = (
        "job {job}: pointer {path} was missing, and MOM lets no restart run without it; it is back"
    )
    exit_code = 63


class NotReadBack(TorqueCkptError):
    message = (
        "job {job}: its new image could not be read back: {problem}; it is removed, the job runs on"
    )
    exit_code = 59


class DoubtfulImage(TorqueCkptError):
    message = (
        "job {job}: its new image (generation {generation}) would not come back: {problem}; the "
        "job runs on, older images stay"
    )
    exit_code = 28


class WouldNotComeBack(TorqueCkptError):
    message = (
        "job {job}: it is not ended, for its new image (generation {generation}) would not come "
        "back: {problem}; the job runs on, older images stay"
    )
    exit_code = 99


class NotAnImage(TorqueCkptError):
    message = "{path} names no image in {store}; `torqueckpt list` shows which there are"
    exit_code = 58


class NotSubmitted(TorqueCkptError):
    message = "job {job}: no resume job was submitted: {reason}"
    exit_code = 68


class PerhapsSubmitted(TorqueCkptError):
    message = "job {job}: its resume job may be there all the same, look at qstat first: {reason}"
    exit_code = 100


# The local batch system ---------------------------------------------------------------------------


class ScriptUnreadable(TorqueCkptError):
    message = "job script {path}: {problem}"
    exit_code = 80


class MomGone(TorqueCkptError):
    message = "job {job}: its `torqueckpt run` is not there any more; {remedy}"
    exit_code = 81


class WrongState(TorqueCkptError):
    message = "job {job}: {problem}"
    exit_code = 82


class CheckpointRefused(TorqueCkptError):
    message = "{reason}"
    exit_code = 83


# LSF ----------------------------------------------------------------------------------------------


class NoStarter(TorqueCkptError):
    message = "{job}: no lsf-jobstarter of it runs on this node; {done}"
    exit_code = 97


class OutputKept(TorqueCkptError):
    message = (
        "job {job}: its images are deleted; {directory} stays: LSF has not delivered its output"
    )
    exit_code = 109


class NotResumed(TorqueCkptError):
    message = "job {job} stays suspended, its image is kept: {reason}"
    exit_code = 98


# The batch system's configuration ----------------------------------------------------------------


class MomPrivMissing(TorqueCkptError):
    message = "{path}: {problem}; name {system}'s with --mom-priv DIR"
    exit_code = 84


class ConfigBlockDamaged(TorqueCkptError):
    message = "{file}:{line}: {problem}; mend the lines between the marks by hand, or take them out"
    exit_code = 85


class ConfigNotRight(TorqueCkptError):
    message = "{file}: {count}{which} problem(s), listed above{consequence}"
    exit_code = 86


class ConfigNotWritten(TorqueCkptError):
    message = "{file}: {problem}; nothing was changed"
    exit_code = 87


class QueuesNotRead(TorqueCkptError):
    message = "{file}: {problem}; {remedy}"
    exit_code = 76


class NoTermTrap(TorqueCkptError):
    message = "{file}: {problem}; nothing was changed"
    exit_code = 79


class NoLaunchHook(TorqueCkptError):
    message = (
        "{path}: the launch hook is not there, by which jobs go on from their images; on the "
        "server's host: torqueckpt configure openpbs --apply"
    )
    exit_code = 113


# Kernel modules of the Altix checkpointer ---------------------------------------------------------


class ModulesMissing(TorqueCkptError):
    message = "{path}: {problem}; set modules_dir to where the checkpointer's modules lie"
    exit_code = 88


class ModuleRefused(TorqueCkptError):
    message = "the kernel refuses to {verb} {module}: {reason}"
    exit_code = 89


# The node -----------------------------------------------------------------------------------------


class NodeNotFit(TorqueCkptError):
    message = "{nodes} not fit for checkpoints: {failures} failure(s), {warnings} warning(s)"
    exit_code = 111


class NodesSilent(TorqueCkptError):
    message = "{nodes}: no answer: {reason}"
    exit_code = 112
