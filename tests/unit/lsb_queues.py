# SPDX-License-Identifier: MIT
"""lsb.queues as sites have it, by name; in each the queue `night` is there, or is not (NONE)."""

from __future__ import annotations

_NIGHT = b"Begin Queue\nQUEUE_NAME = night\nPRIORITY = 20\nEnd Queue\n"

FILES: dict[str, bytes] = {
    "one queue": _NIGHT,
    "as installed": (
        b"# $Revision$\n# The default queue is defined in lsb.params.\n\n"
        b"Begin Queue\nQUEUE_NAME   = normal\nPRIORITY     = 30\nNICE         = 20\n"
        b"#RUN_WINDOW  = 5:19:00-1:8:30 20:00-8:30\n#r1m         = 0.7/2.0   # loadSched/loadStop\n"
        b"DESCRIPTION  = For normal low priority jobs, running only if hosts are lightly loaded.\n"
        b"End Queue\n\n"
        b"Begin Queue\nQUEUE_NAME   = night\nPRIORITY     = 40\nRUN_WINDOW   = 20:00-8:00\n"
        b"r1m          = 0.8/2.5\nDESCRIPTION  = For large heavy duty jobs\nEnd Queue\n"
    ),
    "infn trieste": (
        b"Begin Queue\nQUEUE_NAME = grid\nPRIORITY = 35\nEnd Queue\n\n"
        b"Begin Queue\nQUEUE_NAME  = night\nUSERS = esterni/\nHOSTS = wn01 wn02 \\\n   wn03 wn04\n"
        b"RES_REQ     = select[type==any] rusage[mem=500]\nEnd Queue\n"
    ),
    "capitals": b"BEGIN QUEUE\nqueue_name = night\nPriority=3\nEND queue\n",
    "no blanks": b"Begin Queue\nQUEUE_NAME=night\nPRIORITY=3\nEnd Queue",
    "tabs": b"\tBegin\tQueue\t\n\tQUEUE_NAME\t=\tnight\t\nEnd \tQueue \t\n",
    "crlf": b"Begin Queue\r\nQUEUE_NAME = night\r\nPRIORITY = 3\r\nEnd Queue\r\n",
    "no newline at the end": b"# one\nBegin Queue\nQUEUE_NAME = night\nEnd Queue",
    "latin-1": (
        b"# M\xfcnchen\nBegin Queue\nQUEUE_NAME = night\nDESCRIPTION = Geb\xe4ude\xa03\nEnd Queue\n"
    ),
    "utf-8": "Begin Queue\nQUEUE_NAME = night\nDESCRIPTION = coda non più\nEnd Queue\n".encode(),
    "a NUL byte": b"Begin Queue\nQUEUE_NAME = night\nDESCRIPTION = a\0b\nEnd Queue\n",
    "comments behind": b"Begin Queue # first\nQUEUE_NAME = night # the dark\nEnd Queue # of it\n",
    "a comment ends a continuation": (
        b"Begin Queue\nQUEUE_NAME = night\nHOSTS = a \\\n b # c \\\nPRIORITY = 3\nEnd Queue\n"
    ),
    "continued to its last line": (
        b"Begin Queue\nQUEUE_NAME = \\\nnight\nHOSTS = a \\\n\nEnd Queue\n"
    ),
    "a branch inside": (
        b"Begin Queue\nQUEUE_NAME = night\n#if time(8:30-18:30 EDT)\nINTERACTIVE = ONLY\n#else\n"
        b"INTERACTIVE = NO\n#endif\nEnd Queue\n"
    ),
    "a branch around": (
        b"#if user(root)\nBegin Queue\nQUEUE_NAME = other\nEnd Queue\n#endif\n" + _NIGHT
    ),
    "two branches": (
        b"#if time(20:00-8:00)\n" + _NIGHT + b"#else\n" + _NIGHT.replace(b"20", b"2") + b"#endif\n"
    ),
    "nested branches": (
        b"#if time(1-2)\n#if time(1-3)\n" + _NIGHT + b"#elif time(3-4)\n#endif\n#ELSE\n#endif\n"
    ),
    "other sections": b"Begin Limits\nNAME = night\nEnd Limits\n" + _NIGHT,
    "included": b'#INCLUDE "/etc/lsf/more.queues"\n' + _NIGHT,
    "form feeds": b"\x0cBegin Queue\x0b\nQUEUE_NAME = night\nEnd Queue\n\x0c\n",
    "words like the marks": _NIGHT.replace(b"PRIORITY", b"# BEGIN torqueckptx\nPRIORITY"),
    "begin and end as keywords": (
        b"Begin Queue\nQUEUE_NAME = night\nEND = 3\nBegin = 4\nEnd Queue\n"
    ),
    "of the seed": (
        b"Begin Queue\nQUEUE_NAME = blcr\nJOB_STARTER = /usr/bin/cr_run \\\n"
        b"              /lsf/scripts/jobstarter_ckpt_lsf_lcg.sh '%USRCMD'\n"
        b"CHKPNT = /gpfs/common/lsf-ckpt\nPOST_EXEC = /bin/rm -Rf $LSB_CHKPNT_DIR\n"
        b"JOB_CONTROLS = SUSPEND[$LSF_SERVERDIR/echkpnt.blcr -k] \\\n"
        b"               RESUME[$LSF_SERVERDIR/erestart.blcr]\nEnd Queue\n" + _NIGHT
    ),
}

NONE: dict[str, bytes] = {
    "empty": b"",
    "one newline": b"\n",
    "a comment": b"# QUEUE_NAME = night\n",
    "a comment without its newline": b"# Begin Queue",
    "another queue": b"Begin Queue\nQUEUE_NAME = night2\nEnd Queue\n",
    "another without a newline": b"Begin Queue\nQUEUE_NAME = Night\nEnd Queue",
    "commented out": b"#Begin Queue\n#QUEUE_NAME = night\n#End Queue\n",
    "without a name": b"Begin Queue\nPRIORITY = 3\nEnd Queue\n",
    "renamed later": b"Begin Queue\nQUEUE_NAME = night\nQUEUE_NAME = day\nEnd Queue\n",
}
