/* SPDX-License-Identifier: MIT */
/* What this package calls in libtorque or libpbs.  A name that the library at hand lacks is missed
   only when it is used, so one list serves TORQUE 2.5 to 6.1 and OpenPBS. */

struct attrl        { struct attrl *next;   char *name; char *resource; char *value; int op; };
struct attropl      { struct attropl *next; char *name; char *resource; char *value; int op; };
struct batch_status { struct batch_status *next; char *name; struct attrl *attribs; char *text; };
struct ecl_attrerr  { struct attropl *ecl_attribute; int ecl_errcode; char *ecl_errmsg; };
struct ecl_attribute_errors { int ecl_numerrors; struct ecl_attrerr *ecl_attrerr; };

/* errors: TORQUE has the variable, OpenPBS the function */
extern int pbs_errno;
int  *__pbs_errno_location(void);
char *pbs_strerror(int number);
char *pbse_to_txt(int number);
char *pbs_geterrmsg(int c);
struct ecl_attribute_errors *pbs_get_attributes_in_error(int c);  /* OpenPBS */

/* connections */
char *pbs_default(void);
char *pbs_fbserver(void);
char *pbs_get_server_list(void);
int   pbs_query_max_connections(void);
int   pbs_connect(char *server);
int   pbs_disconnect(int c);

/* questions */
struct batch_status *pbs_statjob(int c, char *id, struct attrl *wanted, char *extend);
struct batch_status *pbs_statque(int c, char *id, struct attrl *wanted, char *extend);
struct batch_status *pbs_statnode(int c, char *id, struct attrl *wanted, char *extend);
struct batch_status *pbs_statserver(int c, struct attrl *wanted, char *extend);
struct batch_status *pbs_selstat(int c, struct attropl *criteria, char *extend);
char **pbs_selectjob(int c, struct attropl *criteria, char *extend);
void  pbs_statfree(struct batch_status *list);
char *pbs_locjob(int c, char *id, char *extend);

/* jobs */
char *pbs_submit(int c, struct attropl *what, char *script, char *destination, char *extend);
int pbs_alterjob(int c, char *id, struct attrl *what, char *extend);
int pbs_alterjob_async(int c, char *id, struct attrl *what, char *extend);
int pbs_holdjob(int c, char *id, char *hold_type, char *extend);
int pbs_rlsjob(int c, char *id, char *hold_type, char *extend);
int pbs_deljob(int c, char *id, char *extend);
int pbs_rerunjob(int c, char *id, char *extend);
int pbs_checkpointjob(int c, char *id, char *extend);
int pbs_sigjob(int c, char *id, char *signal, char *extend);
int pbs_sigjobasync(int c, char *id, char *signal, char *extend);
int pbs_runjob(int c, char *id, char *location, char *extend);
int pbs_asyrunjob(int c, char *id, char *location, char *extend);
int pbs_movejob(int c, char *id, char *destination, char *extend);
int pbs_orderjob(int c, char *first, char *second, char *extend);
int pbs_msgjob(int c, char *id, int file, char *text, char *extend);
int pbs_stagein(int c, char *id, char *location, char *extend);

/* the server, its queues and nodes */
int pbs_manager(int c, int command, int type, char *name, struct attropl *what, char *extend);
int pbs_terminate(int c, int manner, char *extend);
int pbs_gpumode(int c, char *node, char *gpu, int mode);

/* resource monitor, as in TORQUE 2 */
int   openrm(char *host, unsigned int port);
int   closerm(int c);
int   downrm(int c);
int   configrm(int c, char *file);
int   addreq(int c, char *line);
int   allreq(char *line);
char *getreq(int c);
int   flushreq(void);
int   activereq(void);
void  fullresp(int on);
int   begin_rm_req(int c, int *number, int lines);  /* TORQUE 4 and later, before addreq */

/* the same name, another shape: OpenPBS's pbs_selstat, TORQUE 4's downrm and configrm */
typedef struct batch_status *(*selstat_with_wanted)(
    int c, struct attropl *criteria, struct attrl *wanted, char *extend);
typedef int (*downrm_with_number)(int *number, int c);
typedef int (*configrm_with_number)(int c, int *number, char *file);

/* libc's */
void  free(void *block);
char *strdup(char *text);
