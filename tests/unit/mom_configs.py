# SPDX-License-Identifier: MIT
"""Config files as pbs_mom of real sites has them, by name; for tests of merging and reading."""

from __future__ import annotations

TORQUE: dict[str, bytes] = {
    "empty": b"",
    "one newline": b"\n",
    "the seed's": b"$checkpoint_script    /usr/local/sbin/mom-checkpoint.sh\n",
    "one server": b"$pbsserver headnode\n",
    "no newline at the end": b"$pbsserver headnode\n$logevent 255",
    "sgi origin 1999": (
        b"# MOM config for o2k, modified by hgw 11/99\n"
        b"$logevent 0x1ff\n"
        b"$clienthost fs1.bnl.example\n"
        b"$clienthost fs2.bnl.example\n"
        b"$restricted *.bnl.example\n"
        b"$ideal_load 62.0\n$max_load 64.0\n"
        b"$cputmult 1.25\n"
        b"tape8mm 1\nibms 2\n"
    ),
    "sgi altix 2005": (
        b"$pbsserver\taltix\n$logevent\t\t255\n$usecp\t\taltix:/home\t/home\n"
        b"$checkpoint_interval 30\n$use_smt false\n$memory_pressure_threshold 0\n"
        b"$memory_pressure_duration 0\n"
    ),
    "cray": (
        b"$pbsserver sdb\n$login_node true\n$reporter_mom true\n"
        b"$apbasil_path /opt/cray/alps/default/bin/apbasil\n$apbasil_protocol 1.3\n"
        b"$usecp *:/lus/ /lus/\n$usecp *:/ufs/ /ufs/\n$cray_check_rur false\n"
    ),
    "crlf": b"$pbsserver headnode\r\n$usecp *:/home /home\r\n\r\n# Ende\r\n",
    "crlf without the last one": b"$pbsserver headnode\r\n$logevent 255",
    "old mac": b"$pbsserver headnode\r$logevent 255\r",
    "mixed ends": b"$pbsserver a\r\n$logevent 255\n$loglevel 3\r\n",
    "tabs and blanks at the ends": b"$pbsserver\t \theadnode  \t\n\t$loglevel 7\t\n   \n\t\n",
    "comments behind": b"$pbsserver headnode # the only one\n$loglevel 2# quiet\n#$loglevel 7\n",
    "latin-1": b"# M\xfcnchen, Geb\xe4ude 3\n$pbsserver headnode\n",
    "utf-8": "# Kraków – węzeł\n$pbsserver headnode\n".encode(),
    "utf-8 with a mark": b"\xef\xbb\xbf$pbsserver headnode\n",
    "a NUL byte": b"$pbsserver head\0node\n$logevent 255\n",
    "static resources": (
        b"$pbsserver headnode\nsize[fs=/tmp]\nlicenses 12\nscratch !/usr/local/bin/free_scratch\n"
        b"gpu_mem 40gb\n"
    ),
    "duplicates": b"$loglevel 1\n$loglevel 1\n$loglevel 4\n$usecp *:/a /a\n$usecp *:/b /b\n",
    "misspelt": b"$pbserver headnode\n$loglevle 3\n$usecp *:/home /home\n",
    "capitals": b"$PBSServer headnode\n$LogLevel 3\n$LOGLEVEL 3\n",
    "health check": (
        b"$pbsserver headnode\n$node_check_script /usr/sbin/nhc\n"
        b"$node_check_interval 5,jobstart,jobend\n$down_on_error 1\n"
    ),
    "many servers": b"".join(b"$pbsserver node%d\n" % n for n in range(40)),
    "blcr's": (
        b"$checkpoint_script /var/spool/torque/mom_priv/blcr_checkpoint_script\n"
        b"$restart_script /var/spool/torque/mom_priv/blcr_restart_script\n"
        b"$checkpoint_run_exe /usr/local/bin/cr_run\n$remote_checkpoint_dirs /scratch/ck\n"
    ),
    "job starter": (
        b"$job_starter /usr/local/sbin/starter\n$job_starter_run_privileged true\n$tmpdir /t\n"
    ),
    "a line of 200": b"# " + b"-" * 198 + b"\n$pbsserver headnode\n",
    "written by puppet": (
        b"# This file is managed by Puppet. DO NOT EDIT.\n\n$pbsserver headnode\n"
        b"$mom_host node17\n$log_keep_days 14\n$source_login_batch false\n\n\n"
    ),
    "somebody else's marks": (
        b"# BEGIN ANSIBLE MANAGED BLOCK\n$pbsserver headnode\n# END ANSIBLE MANAGED BLOCK\n"
    ),
    "the name in a comment": b"# torqueckpt: to be configured, see ticket\n$pbsserver headnode\n",
    "nothing but comments": b"# $pbsserver headnode\n# $usecp *:/home /home\n#\n",
    "blank lines at the end": b"$pbsserver headnode\n\n\n\n",
    "numa": (
        b"$pbsserver headnode\n$varattr 60 /usr/local/bin/attrs\n$nospool_dir_list /home,$HOME\n"
    ),
}

OPENPBS: dict[str, bytes] = {
    "as installed": b"$clienthost pbs\n$restrict_user_maxsysid 999\n",
    "large site": (
        b"$clienthost pbs\n$logevent 0x1ff\n$usecp *:/home /home\n"
        b"$enforce mem\n$enforce cpuaverage\n$enforce average_trialperiod 120\n"
        b"$jobdir_root /scratch\n$prologalarm 300\n"
        b"$action terminate 120 !/usr/local/sbin/kill_gently %jobid\n$tmpdir /tmp\n"
    ),
    "checkpoint of another kind": (
        b"$clienthost pbs\n$action checkpoint 60 !/usr/local/sbin/ckpt %sid %path\n"
        b"$restart_background true\n"
    ),
    "crlf": b"$clienthost pbs\r\n$logevent 255\r\n",
    "torque's directives": b"$pbsserver head\n$loglevel 7\n",
}
