/* SPDX-License-Identifier: MIT */
/* Preloaded into criu for a restore: processes get back what criu does not save and only they can set.
 *
 * These are the personality, the timer slack and the NUMA memory policy.  criu asks for the number of
 * each process that it makes, in that process and before it maps anything there: that is where they are
 * set, so that the memory is also placed by the policy again.  No right is needed for any of it.
 *
 * TORQUECKPT_ATTRIBUTES has ";PID:PERSONALITY:SLACK:POLICY:NODES" of each process that is to have other
 * than what criu has (torqueckpt/process/attributes.py writes it; NODES as in "0-3,8").
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NODES 1024
#define WORD (8 * sizeof(unsigned long))

struct attributes {
	unsigned long personality, slack, policy, nodes[NODES / WORD];
};

static const char *known;
static pid_t last;
static struct attributes mine; /* criu's own */

static void read_nodes(struct attributes *had, char *list)
{
	while (*list >= '0' && *list <= '9') {
		unsigned long node = strtoul(list, &list, 10), to = *list == '-' ? strtoul(list + 1, &list, 10) : node;

		for (; node <= to && node < NODES; node++)
			had->nodes[node / WORD] |= 1UL << node % WORD;
		if (*list == ',')
			list++;
	}
}

static void set(const struct attributes *had)
{
	int empty = 1;

	for (size_t at = 0; at < NODES / WORD; at++)
		empty &= !had->nodes[at];
	syscall(SYS_personality, had->personality);
	if (had->slack)
		prctl(PR_SET_TIMERSLACK, had->slack);
	/* of nodes that are not to be had here, criu's own policy stays */
	syscall(SYS_set_mempolicy, had->policy, empty ? NULL : had->nodes, empty ? 0 : NODES + 1);
}

static void be(pid_t pid)
{
	char begin[32], *at;
	struct attributes had = { 0 };

	snprintf(begin, sizeof(begin), ";%d:", pid);
	at = strstr(known, begin);
	if (!at) {
		set(&mine); /* its parent may have had others */
		return;
	}
	had.personality = strtoul(at + strlen(begin), &at, 10);
	had.slack = strtoul(at + 1, &at, 10);
	had.policy = strtoul(at + 1, &at, 10);
	read_nodes(&had, at + 1);
	set(&had);
}

pid_t getpid(void)
{
	pid_t pid = syscall(SYS_getpid);
	int before = errno;

	if (known && pid != last) {
		last = pid;
		be(pid);
		errno = before;
	}
	return pid;
}

__attribute__((constructor)) static void begin(void)
{
	int policy = 0;

	known = getenv("TORQUECKPT_ATTRIBUTES");
	last = syscall(SYS_getpid);
	mine.personality = syscall(SYS_personality, 0xffffffffUL);
	mine.slack = prctl(PR_GET_TIMERSLACK);
	syscall(SYS_get_mempolicy, &policy, mine.nodes, (unsigned long)NODES, NULL, 0UL);
	mine.policy = policy;
}
