/* SPDX-License-Identifier: MIT */
/* A PBS library without a server, stricter than any: what a real one answers with a crash, a leak or
   a broken protocol ends the process here.  Compiled as TORQUE 6 (default), with -DTORQUE2 as
   TORQUE 2.5, with -DOPENPBS as libpbs, always with fake_mom.c.  fake_last() tells how it was called
   last. */

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct attrl { struct attrl *next; char *name, *resource, *value; int op; };
struct attropl { struct attropl *next; char *name, *resource, *value; int op; };
struct batch_status { struct batch_status *next; char *name; struct attrl *attribs; char *text; };

enum { UNKNOWN_JOB = 15001, REFUSED = 15007, NO_CONNECTION = 15035, HANDLES = 9, ALIVE = 0x5AFE };

struct reply { int magic; struct batch_status status; };

static char last[8192];
static char message[64];
static int open_handles[HANDLES + 1];
static int live_replies;
static int inside;

#ifdef OPENPBS
static __thread int thread_errno;
int *__pbs_errno_location(void) { return &thread_errno; }
#define SET_ERRNO(number) (thread_errno = (number))

/* libpbs keeps something in every thread that uses it, and clears it up when the thread ends */
static pthread_key_t kept;
static void thread_ends(void *block) { free(block); }
__attribute__((constructor)) static void load(void) { pthread_key_create(&kept, thread_ends); }
#define IN_THREAD() pthread_getspecific(kept) || pthread_setspecific(kept, malloc(1))
#else
#define IN_THREAD() 0
int pbs_errno = 15099; /* stale from the start: nobody resets it */
#define SET_ERRNO(number) (pbs_errno = (number))
#endif

static void fail(const char *why)
{
    fprintf(stderr, "fake_pbs: %s\n", why);
    abort();
}

static void add(const char *text)
{
    if (strlen(last) + (text ? strlen(text) : 0) + 16 > sizeof(last))
        fail("a call too long to remember");
    if (last[strlen(last) - 1] != '(')
        strcat(last, ", ");
    if (text)
        sprintf(last + strlen(last), "'%s'", text);
    else
        strcat(last, "NULL");
}

static void add_number(int number)
{
    char text[16];
    sprintf(text, "%d", number);
    add(text);
}

static void add_list(const struct attropl *link)
{
    char text[4096] = "";
    for (; link; link = link->next) {
        if (!link->name || !*link->name)
            fail("an attribute without a name was sent");
        if (link->resource && !*link->resource)
            fail("an empty resource was sent");
        if (!link->value)
            fail("a value that is NULL was sent");
        sprintf(text + strlen(text), "%s.%s=%s:%d;", link->name,
                link->resource ? link->resource : "", link->value, link->op);
    }
    add(text);
}

static void enter(const char *name, int handle)
{
    if (inside++)
        fail("two calls at once");
    if (handle < 1 || handle > HANDLES || !open_handles[handle])
        fail("a call on a handle that is not open");
    sprintf(last, "%s(", name);
    add_number(handle);
}

static int leave(int number)
{
    strcat(last, ")");
    if (number) {
        SET_ERRNO(number);
        sprintf(message, "the server says %d", number);
    }
    inside--;
    return number;
}

/* what a real library does with `extend` when the connection is gone */
static void lose(char *extend)
{
    if (extend && getenv("FAKE_SEND_FAILS"))
        strcpy(extend, "timeout");
}

static int on_job(const char *name, int c, char *id, char *second, char *extend)
{
    enter(name, c);
    add(id);
    if (second)
        add(second);
    add(extend);
    lose(extend);
    return leave(id && !strcmp(id, "unknown") ? UNKNOWN_JOB : 0);
}

static void append(struct batch_status *status, const char *name, const char *resource,
                   const char *value)
{
    struct attrl *link = calloc(1, sizeof(*link)), **end = &status->attribs;
    link->name = strdup(name);
    link->resource = resource ? strdup(resource) : NULL;
    link->value = value ? strdup(value) : NULL;
    while (*end)
        end = &(*end)->next;
    *end = link;
}

static struct batch_status *object(const char *name, const char *state, struct batch_status *next)
{
    struct reply *reply = calloc(1, sizeof(*reply));
    reply->magic = ALIVE;
    reply->status.name = strdup(name);
    reply->status.next = next;
    append(&reply->status, state, NULL, "Q");
    append(&reply->status, "plain", "", "no resource");
    append(&reply->status, "Resource_List", "walltime", "01:00:00");
    append(&reply->status, "bytes", NULL, "\xff\xfe");
    append(&reply->status, "nothing", NULL, NULL);
    live_replies++;
    return &reply->status;
}

static struct batch_status *answer(const char *name, int c, char *id, void *list, char *extend)
{
    struct batch_status *found = NULL;
    enter(name, c);
    if (id)
        add(id);
    add_list(list);
    add(extend);
    lose(extend);
    usleep(100);
    if (!id || strcmp(id, "none")) {
        if (id && !strcmp(id, "unknown"))
            leave(UNKNOWN_JOB);
        else {
            found = object("1.fake", "job_state", object("2.fake", "job_state", NULL));
            leave(0);
        }
        return found;
    }
    leave(0);
    return NULL;
}

void pbs_statfree(struct batch_status *status)
{
    while (status) {
        struct reply *reply = (struct reply *)((char *)status - offsetof(struct reply, status));
        struct batch_status *next = status->next;
        if (reply->magic != ALIVE)
            fail("a reply was freed twice");
        reply->magic = 0;
        live_replies--;
        while (status->attribs) {
            struct attrl *link = status->attribs;
            status->attribs = link->next;
            free(link->name);
            free(link->resource);
            free(link->value);
            free(link);
        }
        free(status->name);
        free(reply);
        status = next;
    }
}

const char *fake_last(void) { return last; }
int fake_live_replies(void) { return live_replies; }

char *pbs_default(void) { return "fake"; }
char *pbs_strerror(int number) { return number == UNKNOWN_JOB ? "Unknown Job" : NULL; }

char *pbs_geterrmsg(int c)
{
    if (c < 1 || c > HANDLES || !open_handles[c])
        fail("pbs_geterrmsg on a handle that is not open");
#ifdef TORQUE2
    return message;
#else
    return *message ? strdup(message) : NULL;
#endif
}

#ifdef OPENPBS
/* its own check of a request's attributes, before the server hears of it */
struct attr_error { struct attropl *attribute; int number; char *words; };
static struct attr_errors { int count; struct attr_error *first; } errors;
static struct attr_error wrong_value = { NULL, 15014, "Illegal value Resource_List.walltime " };
struct attr_errors *pbs_get_attributes_in_error(int c)
{
    return c && errors.count ? &errors : NULL;
}
#endif

int pbs_connect(char *server)
{
    int c = IN_THREAD();
    if (inside++)
        fail("two calls at once");
    if (server && !strcmp(server, "slow"))
        usleep(800000);
    inside--;
    if (server && !strcmp(server, "refused")) {
        SET_ERRNO(REFUSED);
#if defined(TORQUE2) || defined(OPENPBS)
        return -1;
#else
        SET_ERRNO(0);
        return -REFUSED;
#endif
    }
    for (c = 1; c <= HANDLES; c++)
        if (!open_handles[c]) {
            open_handles[c] = 1;
            *message = 0;
            return c;
        }
    SET_ERRNO(NO_CONNECTION);
    return -NO_CONNECTION;
}

int pbs_disconnect(int c)
{
    enter("pbs_disconnect", c);
    open_handles[c] = 0;
    return leave(0);
}

#define STAT(name) \
    struct batch_status *name(int c, char *id, struct attrl *wanted, char *extend) \
    { return answer(#name, c, id, wanted, extend); }
STAT(pbs_statjob)
STAT(pbs_statque)
STAT(pbs_statnode)

struct batch_status *pbs_statserver(int c, struct attrl *wanted, char *extend)
{
    return answer("pbs_statserver", c, NULL, wanted, extend);
}

#ifdef OPENPBS
struct batch_status *pbs_selstat(int c, struct attropl *criteria, struct attrl *wanted, char *extend)
{
    if (wanted)
        fail("pbs_selstat with three arguments");
#else
struct batch_status *pbs_selstat(int c, struct attropl *criteria, char *extend)
{
#endif
    return answer("pbs_selstat", c, NULL, criteria, extend);
}

char **pbs_selectjob(int c, struct attropl *criteria, char *extend)
{
    char **block = malloc(3 * sizeof(char *) + 32), *text = (char *)(block + 3);
    enter("pbs_selectjob", c);
    add_list(criteria);
    add(extend);
    block[0] = strcpy(text, "1.fake");
    block[1] = strcpy(text + 16, "2.fake");
    block[2] = NULL;
    leave(0);
    return block;
}

char *pbs_submit(int c, struct attropl *what, char *script, char *destination, char *extend)
{
#ifdef OPENPBS
    /* its check of a path frees the text and puts a longer one in its place */
    for (struct attropl *link = what; link; link = link->next)
        if (!strcmp(link->name, "Output_Path")) {
            char *path = malloc(64 + strlen(link->value));
            sprintf(path, "host:%s", link->value);
            free(link->value);
            link->value = path;
        }
    errors.count = 0;
    for (struct attropl *link = what; link; link = link->next)
        if (!strcmp(link->value, "no time")) {
            errors.count = 1;
            errors.first = &wrong_value;
            SET_ERRNO(15010);
            return NULL;
        }
#endif
    enter("pbs_submit", c);
    add_list(what);
    add(script);
    add(destination);
    add(extend);
    lose(extend);
    return leave(destination && !strcmp(destination, "closed") ? REFUSED : 0) ? NULL : strdup("7.fake");
}

char *pbs_locjob(int c, char *id, char *extend)
{
    return on_job("pbs_locjob", c, id, NULL, extend) ? NULL : strdup("fake");
}

int pbs_alterjob(int c, char *id, struct attrl *what, char *extend)
{
    enter("pbs_alterjob", c);
    add(id);
    add_list((struct attropl *)what);
    add(extend);
    lose(extend);
#ifdef OPENPBS
    /* it puts a longer path into a copy of the list, and frees the text of both */
    for (; what; what = what->next)
        if (!strcmp(what->name, "Output_Path"))
            free(what->value);
#endif
    return leave(0);
}

int pbs_manager(int c, int command, int type, char *name, struct attropl *what, char *extend)
{
    enter("pbs_manager", c);
    add_number(command);
    add_number(type);
    add(name);
    add_list(what);
    add(extend);
    return leave(0);
}

int pbs_holdjob(int c, char *id, char *type, char *extend)
{
    return on_job("pbs_holdjob", c, id, type, extend);
}

int pbs_rlsjob(int c, char *id, char *type, char *extend)
{
    return on_job("pbs_rlsjob", c, id, type, extend);
}

int pbs_sigjob(int c, char *id, char *signal, char *extend)
{
    return on_job("pbs_sigjob", c, id, signal, extend);
}

int pbs_runjob(int c, char *id, char *location, char *extend)
{
    return on_job("pbs_runjob", c, id, location, extend);
}

int pbs_deljob(int c, char *id, char *extend) { return on_job("pbs_deljob", c, id, NULL, extend); }
int pbs_rerunjob(int c, char *id, char *extend) { return on_job("pbs_rerunjob", c, id, NULL, extend); }

#ifndef OPENPBS
int pbs_checkpointjob(int c, char *id, char *extend)
{
    return on_job("pbs_checkpointjob", c, id, NULL, extend);
}
#endif
