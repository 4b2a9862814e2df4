/* SPDX-License-Identifier: MIT */
/* Preloaded into a restoring criu: orphans come back as children of the tree's root.
 *
 * A process of the tree that has lost its parent, a daemon for instance, belongs to the root, which has
 * asked for such (PR_SET_CHILD_SUBREAPER; torqueckpt/hooks/mom_run.py).  Where its session is not the
 * root's, criu has it born by a passing process of that session.  That ends before criu gives the root
 * its attribute back, so the orphan would be process 1's: outside of the job, and of its next image.
 * So the root gets it here, before it starts any other; criu asks each process for its session then.
 */
#define _GNU_SOURCE
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static pid_t criu, supervisor;

__attribute__((constructor)) static void begin(void)
{
	criu = getpid();
	supervisor = getppid();
}

pid_t getsid(pid_t pid)
{
	/* The root is made as the supervisor's child, criu's sibling. */
	if (getpid() != criu && getppid() == supervisor)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	return syscall(SYS_getsid, pid);
}
