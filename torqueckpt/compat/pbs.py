# SPDX-License-Identifier: MIT
"""Module pbs as pbs_python had it: calls, constants, resource monitor and log functions.

Nothing here raises for what a server refuses; see error().  ImportError where there is no library.
"""

# ruff: noqa: F401 - the imports are what this module is for

from __future__ import annotations

from torqueckpt.compat.binding import error, get_error, library, pbs_strerror
from torqueckpt.compat.logfile import (
    _Log,
    log_available,
    log_close,
    log_err,
    log_event,
    log_ext,
    log_init,
    log_open,
    log_record,
    log_remove_old,
    log_roll,
    log_size,
)
from torqueckpt.compat.questions import (
    attrl,
    attropl,
    batch_status,
    new_attrl,
    new_attropl,
    new_batch_status,
    pbs_connect,
    pbs_default,
    pbs_disconnect,
    pbs_fbserver,
    pbs_get_server_list,
    pbs_geterrmsg,
    pbs_locjob,
    pbs_query_max_connections,
    pbs_selectjob,
    pbs_selstat,
    pbs_statfree,
    pbs_statjob,
    pbs_statnode,
    pbs_statque,
    pbs_statserver,
)
from torqueckpt.compat.requests import (
    pbs_alterjob,
    pbs_alterjob_async,
    pbs_asyrunjob,
    pbs_checkpointjob,
    pbs_deljob,
    pbs_gpumode,
    pbs_holdjob,
    pbs_manager,
    pbs_movejob,
    pbs_msgjob,
    pbs_orderjob,
    pbs_rerunjob,
    pbs_rlsjob,
    pbs_runjob,
    pbs_sigjob,
    pbs_sigjobasync,
    pbs_stagein,
    pbs_submit,
    pbs_terminate,
)
from torqueckpt.compat.resmom import (
    activereq,
    addreq,
    allreq,
    check_resp,
    closerm,
    configrm,
    default_irix6_res,
    default_linux_res,
    default_mom_res,
    downrm,
    flushreq,
    fullresp,
    get_mom_values,
    getreq,
    openrm,
    use_default_keywords,
    use_user_keywords,
)
from torqueckpt.ifl.constants import LIMITS, constants

# Programs read the version out of this text: nothing may follow it.
version = "torqueckpt pbs_python version 4.6.6"
version_info = (4, 6, 6)

pbse_to_txt = pbs_strerror
errors_txt = {
    number: text
    for number in range(LIMITS["PBSE_"], LIMITS["PBSE_TOTAL_CEILING"])
    if (text := pbs_strerror(number)) is not None
}


class _Variables:
    """The C variables that programs reached as pbs.cvar.…"""

    @property
    def pbs_errno(self) -> int:
        return get_error()

    @property
    def pbs_server(self) -> str:
        return pbs_default()

    @property
    def msg_daemonname(self) -> str:
        return _Log.daemon

    @msg_daemonname.setter
    def msg_daemonname(self, name: str) -> None:
        _Log.daemon = name

    @property
    def log_event_mask(self) -> int:
        return _Log.event_mask

    @log_event_mask.setter
    def log_event_mask(self, mask: int) -> None:
        _Log.event_mask = mask


cvar = _Variables()

globals().update(constants(library.is_openpbs))
