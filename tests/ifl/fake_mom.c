/* SPDX-License-Identifier: MIT */
/* The resource monitor's part of the library in fake_pbs.c, compiled with it. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* a MOM that answers each question with itself */
static char asked[64];
static int announced;

int openrm(char *host, unsigned int port) { return strcmp(host, "down") ? 4 : -1; }
int closerm(int c) { return 0; }
int activereq(void) { return *asked ? 4 : -2; }
int flushreq(void) { return *asked != 0; }
void fullresp(int on) {}

int addreq(int c, char *line)
{
#if !defined(TORQUE2) && !defined(OPENPBS)
    if (!announced)
        return -1;
#endif
    announced = 0;
    snprintf(asked, sizeof(asked), "%s=yes", line);
    return 0;
}

char *getreq(int c)
{
    char *copy = *asked ? strdup(asked) : NULL;
    *asked = 0;
    return copy;
}

#if defined(TORQUE2) || defined(OPENPBS)
int downrm(int c) { return c == 4 ? 0 : -1; }
int configrm(int c, char *file) { return strcmp(file, "/c"); }
#else
int begin_rm_req(int c, int *number, int lines) { return announced = lines, *number = 0; }
int downrm(int *number, int c) { return *number = 0, c == 4 ? 0 : -1; }
int configrm(int c, int *number, char *file) { return *number = 0, strcmp(file, "/c"); }
#endif
