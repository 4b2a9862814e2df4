/* SPDX-License-Identifier: MIT */
/* Preloaded into a job's program by its user: it finds no io_uring, as on an older kernel.
 *
 * libuv, which torchrun and Node have in them, makes rings whatever its environment says, and does
 * without where there are none.  It calls syscall(), as all do that do not bring liburing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>

#define ARGUMENTS 6

long syscall(long number, ...)
{
	static long (*next)(long, ...);
	long given[ARGUMENTS];
	va_list list;

	if (number == SYS_io_uring_setup) {
		errno = ENOSYS;
		return -1;
	}
	va_start(list, number);
	for (int at = 0; at < ARGUMENTS; at++)
		given[at] = va_arg(list, long);
	va_end(list);
	if (!next)
		next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return next(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
