# SPDX-License-Identifier: MIT
"""Names and values of pbs_ifl.h, pbs_error.h and log.h, as pbs_python's module `pbs` had them.

A value is that of the newest TORQUE that has the name (6.1, 5.1, 2.5); MAX_ENCODE_BFR and
PBSEVENT_MASK were smaller in 2.5.  OpenPBS shares what it has but for four attributes and nine
lengths.
"""

from __future__ import annotations


def _pairs(prefix: str, table: str) -> dict[str, str]:
    """{prefix + name: value} of a table of name=value words; a value may end in "="."""
    split = (word.partition("=") for word in table.split())
    return {prefix + name: value for name, _, value in split}


def _numbers(table: str) -> dict[str, int]:
    return {name: int(value) for name, value in _pairs("", table).items()}


ATTRIBUTES = _pairs(
    "ATTR_",
    """
A=Account_Name J=job_id LockfileCheckTime=lock_file_check_time
LockfileUpdateTime=lock_file_update_time M=Mail_Users N=Job_Name P=proxy_user S=Shell_Path_List
a=Execution_Time acctkeepdays=accounting_keep_days aclgren=acl_group_enable aclgroup=acl_groups
aclgrpslpy=acl_group_sloppy aclhost=acl_hosts aclhten=acl_host_enable acllogic=acl_logic_or
aclroot=acl_roots acluren=acl_user_enable acluser=acl_users allownodesubmit=allow_node_submit
allowproxyuser=allow_proxy_user altid=alt_id altrouter=alt_router args=job_arguments
array_id=job_array_id automaticrequeueexitcode=automatic_requeue_exit_code autonodenp=auto_node_np
c=Checkpoint checkpoint_defaults=checkpoint_defaults checkpoint_dir=checkpoint_dir
checkpoint_min=checkpoint_min checkpoint_name=checkpoint_name
checkpoint_restart_status=checkpoint_restart_status checkpoint_time=checkpoint_time
clonebatchdelay=clone_batch_delay clonebatchsize=clone_batch_size comment=comment
comp_time=comp_time cookie=cookie copy_on_rerun=copy_on_rerun count=state_count
crayenabled=cray_enabled credentiallifetime=credential_lifetime ctime=ctime defnode=default_node
depend=depend dfltque=default_queue disableserveridcheck=disable_server_id_check
disallowedtypes=disallowed_types dispsvrsuffix=display_job_server_suffix downonerror=down_on_error
e=Error_Path egroup=egroup enable=enabled etime=etime euser=euser exec_gpus=exec_gpus
exec_mics=exec_mics exechost=exec_host execport=exec_port exitstat=exit_status
external_nodes=external_nodes extraresc=extra_resc f=fault_tolerant featreqd=features_required
forwardx11=forward_x11 fromroute=from_route_only g=group_list gpu_flags=gpu_flags h=Hold_Types
hashname=hashname hopcount=hop_count hostlist=hostlist init_work_dir=init_work_dir
intcmd=inter_cmd inter=interactive interactivejobscanroam=interactive_jobs_can_roam
is_transit=is_transit j=Join_Path job_exclusive_on_use=job_exclusive_on_use job_radix=job_radix
jobforcecanceltime=job_force_cancel_time joblogfilemaxsize=job_log_file_max_size
joblogfilerolldepth=job_log_file_roll_depth joblogkeepdays=job_log_keep_days
jobmustreport=job_must_report jobnanny=job_nanny jobstarttimeout=job_start_timeout
jobstatrate=job_stat_rate jobsuffixalias=job_suffix_alias jobsynctimeout=job_sync_timeout
jobtype=jobtype k=Keep_Files keepcompleted=keep_completed killdelay=kill_delay l=Resource_List
lockfile=lock_file locsvrs=location_servers logevents=log_events logfile=log_file
logfilemaxsize=log_file_max_size logfilerolldepth=log_file_roll_depth login_node_id=login_node_id
login_node_key=login_node_key login_prop=login_property logkeepdays=log_keep_days
loglevel=log_level m=Mail_Points mailbodyfmt=mail_body_fmt maildomain=mail_domain
mailfrom=mail_from mailsubjectfmt=mail_subject_fmt managers=managers
maxarraysize=max_job_array_size maxgrprun=max_group_run maxque=max_queuable maxreport=max_report
maxrun=max_running maxslotlimit=max_slot_limit maxthreads=max_threads maxuserque=max_user_queuable
maxuserqueuable=max_user_queuable maxuserrun=max_user_run minthreads=min_threads
moabarraycompatible=moab_array_compatible momjobsync=mom_job_sync mtime=mtime
multi_req_alps=multi_req_alps name=Job_Name ndchkrate=node_check_rate netcounter=net_counter
nextjobnum=next_job_number node_exclusive=node_exclusive nodepack=node_pack nodesuffix=node_suffix
nomailforce=no_mail_force npdefault=np_default nppcu=nppcu number=number_jobs o=Output_Path
operators=operators owner=Job_Owner ownerpurge=owner_purge p=Priority pagg=pagg_id
pass_cpu_clock=pass_cpu_clock pbs_o_home=PBS_O_HOME pbs_o_host=PBS_O_HOST
pbs_o_initdir=PBS_O_INITDIR pbs_o_lang=PBS_O_LANG pbs_o_logname=PBS_O_LOGNAME
pbs_o_mail=PBS_O_MAIL pbs_o_path=PBS_O_PATH pbs_o_rootdir=PBS_O_ROOTDIR pbs_o_server=PBS_O_SERVER
pbs_o_shell=PBS_O_SHELL pbs_o_submit_filter=PBS_O_SUBMIT_FILTER pbs_o_tz=PBS_O_TZ
pbs_o_uid=PBS_O_UID pbs_o_workdir=PBS_O_WORKDIR pbsversion=pbs_version pingrate=node_ping_rate
polljobs=poll_jobs q=destination qcqlimits=queue_centric_limits qrank=queue_rank qtime=qtime
qtype=queue_type queryother=query_other_jobs queue=queue r=Rerunable recordjobinfo=record_job_info
recordjobscript=record_job_script reported=reported req_login_property=required_login_property
rerunnable=restartable rescassn=resources_assigned rescavail=resources_available
resccost=resources_cost rescdflt=resources_default rescmax=resources_max rescmin=resources_min
reservation_id=reservation_id restart_name=restart_name rndzretry=rendezvous_retry
routedest=route_destinations routeheld=route_held_jobs routelife=route_lifetime
routeretry=route_retry_time routewait=route_waiting_jobs rsvexpdt=reserved_expedite
rsvsync=reserved_sync sched_hint=sched_hint schedit=scheduler_iteration scheduling=scheduling
schedversion=sched_version security=security server=server servername=server_name
session=session_id sister_list=sister_list stagein=stagein stageout=stageout start=started
start_count=start_count start_time=start_time state=job_state status=server_state
submit_args=submit_args submit_host=submit_host submithosts=submit_hosts substate=substate
syscost=system_cost system_start_time=system_start_time t=job_array_request tcptimeout=tcp_timeout
threadidleseconds=thread_idle_seconds tokens=tokens total=total_jobs total_runtime=total_runtime
u=User_List umask=umask used=resources_used v=Variable_List
""",
)
NODE_ATTRIBUTES = _pairs(
    "ATTR_NODE_",
    """
gpus=gpus gpus_str=numa_gpu_node_str gpustatus=gpu_status jobs=jobs mics=mics micstatus=mic_status
mom_port=mom_service_port mom_rm_port=mom_manager_port note=note np=np ntype=ntype
num_node_boards=num_node_boards numa_str=numa_board_str power_state=power_state
properties=properties state=state status=status
""",
)
NODE_STATES = _pairs(
    "ND_",
    """
active=active all=all busy=busy cluster=cluster down=down free=free hibernate=Hibernate
job_exclusive=job-exclusive job_sharing=job-sharing offline=offline reserve=reserve
running=Running shutdown=Shutdown sleep=Sleep standby=Standby state_unknown=state-unknown
suspend=Suspend timeshared=time-shared up=up
""",
)
JOB_TYPES = _pairs(
    "Q_DT_",
    """
batch=batch fault_intolerant=fault_intolerant fault_tolerant=fault_tolerant
interactive=interactive job_array=job_array nonrerunable=nonrerunable rerunable=rerunable
""",
)
WORDS = _pairs(
    "",
    """
ARRAY_RANGE=array_range= CHECKPOINTCONT=checkpoint_cont CHECKPOINTHOLD=checkpoint_hold
CHECKPOINT_UNSPECIFIED=u DEFAULT_PRIORITY=0 DELASYNC=delasync DELDELAY=deldelay= DELPURGE=delpurge=
EXECQUEONLY=exec_queue_only MAIL_AT_ABORT=a MOM_DEFAULT_CHECKPOINT_DIR=$MOMDEFAULTCHECKPOINTDIR$
NO_HOLD=n NO_JOIN=n NO_KEEP=n OTHER_HOLD=o PBS_BATCH_SERVICE_NAME=pbs
PBS_BATCH_SERVICE_NAME_DIS=pbs_dis PBS_MANAGER_SERVICE_NAME=pbs_resmon
PBS_MOM_SERVICE_NAME=pbs_mom PBS_SCHEDULER_SERVICE_NAME=pbs_sched PURGECOMP=purgecomplete=
RERUNFORCE=force SIG_RESUME=resume SIG_SUSPEND=suspend SYSTEM_HOLD=s USER_HOLD=u
""",
)
OPERATORS = _numbers(
    """
SET=0 UNSET=1 INCR=2 DECR=3 EQ=4 NE=5 GE=6 GT=7 LE=8 LT=9 DFLT=10 MERGE=11 INCR_OLD=12
"""
)
REQUESTS = _numbers(
    """
MGR_CMD_ACTIVE=6 MGR_CMD_CREATE=0 MGR_CMD_DELETE=1 MGR_CMD_LIST=4 MGR_CMD_PRINT=5 MGR_CMD_SET=2
MGR_CMD_UNSET=3 MGR_OBJ_JOB=2 MGR_OBJ_NODE=3 MGR_OBJ_NONE=-1 MGR_OBJ_QUEUE=1 MGR_OBJ_SERVER=0
MSG_ERR=2 MSG_OUT=1 SHUT_DELAY=1 SHUT_IMMEDIATE=0 SHUT_QUICK=2 SHUT_SIG=-1
"""
)
LOGGING = _numbers(
    """
LOG_ALERT=2 LOG_BUF_SIZE=16384 LOG_CRIT=3 LOG_DEBUG=9 LOG_EMERG=1 LOG_ERR=4 LOG_INFO=8
LOG_NOTICE=7 LOG_WARNING=6 PBSEVENT_ADMIN=4 PBSEVENT_CLIENTAUTH=512 PBSEVENT_DEBUG=128
PBSEVENT_DEBUG2=256 PBSEVENT_ERROR=1 PBSEVENT_FORCE=32768 PBSEVENT_JOB=8 PBSEVENT_JOB_USAGE=16
PBSEVENT_MASK=2047 PBSEVENT_SCHED=64 PBSEVENT_SECURITY=32 PBSEVENT_SYSLOG=1024 PBSEVENT_SYSTEM=2
PBS_EVENTCLASS_ACCT=6 PBS_EVENTCLASS_FILE=5 PBS_EVENTCLASS_JOB=3 PBS_EVENTCLASS_NODE=7
PBS_EVENTCLASS_QUEUE=2 PBS_EVENTCLASS_REQUEST=4 PBS_EVENTCLASS_SERVER=1 PBS_EVENTCLASS_TRQAUTHD=8
"""
)
PORTS = _numbers(
    """
PBS_BATCH_SERVICE_PORT=15001 PBS_BATCH_SERVICE_PORT_DIS=15001 PBS_MANAGER_SERVICE_PORT=15003
PBS_MOM_SERVICE_PORT=15002 PBS_SCHEDULER_SERVICE_PORT=15004 TRQ_AUTHD_SERVICE_PORT=15005
"""
)
LIMITS = _numbers(
    """
FALSE=0 GETV=0 LOCAL_LOG_BUF_SIZE=5096 MAXLINE=1024 MAXNAMLEN=255
MAXPATHLEN=1024 MAXPORTLEN=5 MAX_ENCODE_BFR=150 MAX_NOTE=256 MAX_NOTE_STR=256 MAX_PATH_LEN=1024
NO_MOM_RELAY=1 NPPCU_ALPS_CHOOSES=0 NPPCU_NO_USE_HT=1 NPPCU_USE_HT=2 PBSE_=15000 PBSE_NONE=0
PBSE_TOTAL_CEILING=15208 PBS_INTERACTIVE=1 PBS_MAXCLTJOBID=2084 PBS_MAXCREDENTIAL_LEN=2048
PBS_MAXDEST=1024 PBS_MAXGPUID=16 PBS_MAXGRPN=16 PBS_MAXHOSTNAME=1024 PBS_MAXJOBARRAY=99999
PBS_MAXJOBARRAYLEN=7 PBS_MAXPORTNUM=5 PBS_MAXQUEUENAME=15 PBS_MAXROUTEDEST=1046 PBS_MAXSEQNUM=8
PBS_MAXSERVERNAME=1024 PBS_MAXSVRJOBID=1046 PBS_MAXUSER=32 PBS_QS_VERSION=131842
PBS_QS_VERSION_BASE=131840 PBS_QS_VERSION_INT=2 PBS_TERM_BUF_SZ=80 PBS_TERM_CCA=6 PBS_USE_IFF=1
SECS_PER_DAY=86400 SETV=1 TRUE=1
"""
)
# Where OpenPBS has the name with another value
_OPENPBS_ATTRIBUTES = _pairs(
    "ATTR_",
    """
J=array_indices_submitted array_id=array_id maxarraysize=max_array_size submit_host=Submit_Host
""",
)
_OPENPBS_LIMITS = _numbers(
    """
PBS_MAXCLTJOBID=537 PBS_MAXDEST=256 PBS_MAXGRPN=256 PBS_MAXHOSTNAME=255 PBS_MAXROUTEDEST=277
PBS_MAXSEQNUM=12 PBS_MAXSERVERNAME=255 PBS_MAXSVRJOBID=275 PBS_MAXUSER=256
"""
)


def constants(openpbs: bool = False) -> dict[str, str | int]:
    """Every name with its value."""
    table: dict[str, str | int] = {}
    for group in (ATTRIBUTES, NODE_ATTRIBUTES, NODE_STATES, JOB_TYPES, WORDS):
        table.update(group)
    for numbers in (OPERATORS, REQUESTS, LOGGING, PORTS, LIMITS):
        table.update(numbers)
    if openpbs:
        table.update(_OPENPBS_ATTRIBUTES)
        table.update(_OPENPBS_LIMITS)
    return table
