/* SPDX-License-Identifier: MIT */
/* Preloaded into criu for a restore: a job may end processes of its own while criu lets them go.
 *
 * criu detaches from the restored processes one after the other, and each runs from then on.  One that
 * runs already may kill another, or end with all its threads, before criu has come to those.  Nothing is
 * wrong with that, but criu finds "No such process" and kills the whole job, which has run by then.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

long ptrace(enum __ptrace_request request, ...)
{
	int peeks = request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER;
	long result, peeked;
	void *address, *data;
	va_list rest;
	pid_t pid;

	va_start(rest, request);
	pid = va_arg(rest, pid_t);
	address = va_arg(rest, void *);
	data = va_arg(rest, void *);
	va_end(rest);
	result = syscall(SYS_ptrace, request, pid, address, peeks ? (void *)&peeked : data);
	if (result == -1 && errno == ESRCH && request == PTRACE_DETACH)
		return 0; /* of a process that lives the kernel lets go when criu ends */
	if (result != -1 && peeks) {
		errno = 0;
		return peeked;
	}
	return result;
}
