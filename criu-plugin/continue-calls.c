/* SPDX-License-Identifier: MIT */
/* Preloaded into criu: a job's system calls that wait go on after a dump as if there had been none.
 *
 * To stop a thread ends the call that it waits in.  What the call gave then, an error of the kernel's
 * own, decides on what happens when the thread runs again: after -516 the kernel goes on with the rest
 * of the time (its restart block has it), after the others it begins the call anew, unless a signal's
 * handler comes first.  criu makes EINTR of the first, decides the others at once, so that no signal
 * that comes meanwhile ends the call, and has the process's first thread return from a signal, which
 * empties its restart block.
 *
 * So ptrace() is ours here.  criu sees, and has in its image, a thread that is about to begin its call
 * anew.  Where it gives a thread its registers back, these are the ones that the thread had; and the
 * return from a signal is left out.  When it lets go of a thread, calls that the kernel itself ends
 * with EINTR begin anew with the rest of their time, and the time that select() and the like have left
 * in memory gets shorter by the time that the thread stood still.
 *
 * Each step leaves a thread that would run on rightly if criu were killed right after it.  In a restore
 * this has no place.  x86-64; tried on Linux 6.1, 6.12 and 6.18, 5.14 was read.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <time.h>
#include <unistd.h>

#ifndef __x86_64__
#error "the registers of x86-64 are meant"
#endif

/* include/linux/errno.h of the kernel: what no program sees */
enum { RESTART_SYS = -512, RESTART_NO_INTR = -513, RESTART_NO_HAND = -514, RESTART_BLOCK = -516 };
enum { SYSCALL_LENGTH = 2, RED_ZONE = 128, SHADOW_STACK = 0x204, NOT_DONE = -ENOSYS };
#define SECOND 1000000000LL
#define MILLISECOND 1000000LL

enum unit { FOR_EVER, MILLISECONDS, TIMESPEC, TIMEVAL };

struct timed {
	long number;
	enum unit unit;
	size_t where; /* the register that has the time, or points to it */
};

#define IN(register) offsetof(struct user_regs_struct, register)
/* These the kernel ends with EINTR; none has done anything then. */
static const struct timed interrupted[] = {
	{ SYS_epoll_wait, MILLISECONDS, IN(r10) },
	{ SYS_epoll_pwait, MILLISECONDS, IN(r10) },
	{ 441 /* epoll_pwait2 */, TIMESPEC, IN(r10) },
	{ SYS_rt_sigtimedwait, TIMESPEC, IN(rdx) },
	{ SYS_semtimedop, TIMESPEC, IN(r10) },
	{ SYS_io_getevents, TIMESPEC, IN(r8) },
	{ 333 /* io_pgetevents */, TIMESPEC, IN(r8) },
	{ SYS_semop, FOR_EVER, 0 },
	/* sockets with a time limit, which begins anew */
	{ SYS_read, FOR_EVER, 0 },
	{ SYS_write, FOR_EVER, 0 },
	{ SYS_readv, FOR_EVER, 0 },
	{ SYS_writev, FOR_EVER, 0 },
	{ SYS_recvfrom, FOR_EVER, 0 },
	{ SYS_recvmsg, FOR_EVER, 0 },
	{ SYS_recvmmsg, FOR_EVER, 0 },
	{ SYS_sendto, FOR_EVER, 0 },
	{ SYS_sendmsg, FOR_EVER, 0 },
	{ SYS_accept, FOR_EVER, 0 },
	{ SYS_accept4, FOR_EVER, 0 },
	{ SYS_connect, FOR_EVER, 0 },
	{ -1, FOR_EVER, 0 },
};
/* For these the kernel writes down what is left, and they begin anew with that. */
static const struct timed rest_in_memory[] = {
	{ SYS_select, TIMEVAL, IN(r8) },
	{ SYS_pselect6, TIMESPEC, IN(r8) },
	{ SYS_ppoll, TIMESPEC, IN(rdx) },
	{ -1, FOR_EVER, 0 },
};

/* When a thread went to sleep, by the clock of its processor, and how often it had till then. */
struct sleep {
	int64_t since; /* 0: not known */
	long switches;
};

struct thread {
	struct thread *next;
	pid_t tid;
	long called; /* the call that it was in before it was stopped, -1 for none */
	struct sleep asleep; /* before it was stopped */
	int processor;
	int64_t stopped; /* when it was seen to be */
	bool seen, waits;
	struct user_regs_struct registers; /* as it was stopped */
	uint64_t mask;
	void *state; /* of its floating point unit, NULL when it is not needed */
	size_t state_length;
	bool at_return; /* it is about to return from a signal that it never got */
};

static struct thread *threads[4096];

static long real_ptrace(long request, pid_t tid, void *address, void *data)
{
	return syscall(SYS_ptrace, request, tid, address, data);
}

static int64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * SECOND + time.tv_nsec;
}

static struct thread **place_of(pid_t tid)
{
	struct thread **place = &threads[tid % 4096];
	while (*place && (*place)->tid != tid)
		place = &(*place)->next;
	return place;
}

static void forget(pid_t tid)
{
	struct thread **place = place_of(tid), *thread = *place;
	if (thread) {
		*place = thread->next;
		free(thread->state);
		free(thread);
	}
}

/* Of /proc/TID/NAME; "" when there is none. */
static const char *text(pid_t tid, const char *name)
{
	static char content[8192];
	char path[64];
	ssize_t length = 0;
	snprintf(path, sizeof(path), "/proc/%d/%s", tid, name);
	int from = open(path, O_RDONLY | O_CLOEXEC);
	if (from >= 0) {
		length = read(from, content, sizeof(content) - 1);
		close(from);
	}
	content[length > 0 ? length : 0] = 0;
	return content;
}

static struct sleep sleep_of(pid_t tid)
{
	struct sleep found = { 0 };
	long long milliseconds, rest;
	const char *sched = text(tid, "sched"), *since = strstr(sched, "se.exec_start"),
		   *switches = strstr(sched, "nr_voluntary_switches");
	if (since && sscanf(since, "se.exec_start : %lld.%6lld", &milliseconds, &rest) == 2 && switches &&
	    sscanf(switches, "nr_voluntary_switches : %ld", &found.switches) == 1)
		found.since = milliseconds * MILLISECOND + rest;
	return found;
}

static int processor_of(pid_t tid)
{
	const char *behind_name = strrchr(text(tid, "stat"), ')');
	for (int field = 2; behind_name && field < 39; field++)
		behind_name = strchr(behind_name + 1, ' ');
	return behind_name ? atoi(behind_name) : -1;
}

/* By how much the clock of a processor is behind ours; 0 when that cannot be known. */
static int64_t behind(int processor)
{
	static int64_t known[CPU_SETSIZE];
	cpu_set_t before, only;
	if (processor < 0 || processor >= CPU_SETSIZE)
		return 0;
	if (known[processor] || sched_getaffinity(0, sizeof(before), &before))
		return known[processor];
	CPU_ZERO(&only);
	CPU_SET(processor, &only);
	if (sched_setaffinity(0, sizeof(only), &only))
		return 0;
	int64_t begun_here = sleep_of(getpid()).since;
	if (begun_here && processor_of(getpid()) == processor)
		known[processor] = now() - begun_here;
	sched_setaffinity(0, sizeof(before), &before);
	return known[processor];
}

/* The number that is loaded right before the call, as libc mostly does it; -1 when it is not there. */
static long loaded(pid_t tid, unsigned long behind_call)
{
	struct __attribute__((packed)) {
		uint8_t load; /* mov NUMBER, %eax */
		uint32_t number;
		uint16_t call; /* syscall */
	} code;
	struct iovec into = { &code, sizeof(code) }, from = { (void *)(behind_call - sizeof(code)), sizeof(code) };
	if (process_vm_readv(tid, &into, 1, &from, 1, 0) != sizeof(code) || code.load != 0xb8 || code.call != 0x050f)
		return -1;
	return code.number;
}

/* Which call a thread goes on with that is in restart_syscall; its arguments are still the first ones'. */
static long restarted(pid_t tid, const unsigned long arguments[3], unsigned long behind_call)
{
	enum { SMALL = 65536 }; /* no address is: a clock, a count, a futex's operation */
	long number = loaded(tid, behind_call);
	if (number == SYS_poll || number == SYS_futex || number == SYS_clock_nanosleep || number == SYS_nanosleep)
		return number;
	/* Where in the kernel it sleeps.  Linux before 5.16 mostly has nothing there, or something else. */
	const char *where = text(tid, "wchan");
	if (!*where || !strcmp(where, "0"))
		return -1;
	if (strstr(where, "poll"))
		return SYS_poll;
	if (strstr(where, "futex"))
		return SYS_futex;
	if (arguments[0] < SMALL)
		return arguments[2] < SMALL ? -1 : SYS_clock_nanosleep;
	return arguments[1] && arguments[1] < SMALL ? -1 : SYS_nanosleep;
}

static const struct timed *find(const struct timed *in, long number)
{
	while (in->number >= 0 && in->number != number)
		in++;
	return in->number < 0 ? NULL : in;
}

/* Before it is stopped. */
static void expect(pid_t tid)
{
	struct thread *thread = calloc(1, sizeof(*thread));
	forget(tid);
	if (!thread)
		return;
	thread->tid = tid;
	thread->called = -1;
	*place_of(tid) = thread;

	unsigned long arguments[3], behind_call;
	long number;
	if (sscanf(text(tid, "syscall"), "%ld %lx %lx %lx %*x %*x %*x %*x %lx", &number, arguments, arguments + 1,
		   arguments + 2, &behind_call) != 5)
		return;
	const struct timed *call = find(interrupted, number);
	thread->called = number == SYS_restart_syscall ? restarted(tid, arguments, behind_call) : number;
	if (call && call->unit != FOR_EVER) {
		thread->asleep = sleep_of(tid);
		thread->processor = processor_of(tid);
	}
}

static bool registers_of(pid_t tid, struct user_regs_struct *found)
{
	struct iovec into = { found, sizeof(*found) };
	return !real_ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &into) && into.iov_len == sizeof(*found);
}

static long set_registers(pid_t tid, struct user_regs_struct *wanted)
{
	struct iovec from = { wanted, sizeof(*wanted) };
	return real_ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &from);
}

static bool is(const struct user_regs_struct *one, const struct user_regs_struct *other)
{
	return !memcmp(one, other, sizeof(*one));
}

/* What its return from a signal would bring back, as criu has read it. */
static void keep_state(struct thread *thread, const struct iovec *read)
{
	thread->state = malloc(read->iov_len);
	if (thread->state)
		memcpy(thread->state, read->iov_base, read->iov_len);
	thread->state_length = read->iov_len;
}

/* Once it is stopped, and before criu runs anything in it. */
static void see(struct thread *thread)
{
	struct user_regs_struct *registers = &thread->registers;
	if (thread->seen || !registers_of(thread->tid, registers))
		return;
	thread->seen = true;
	long result = registers->rax, number = registers->orig_rax;
	if (number < 0)
		return;
	thread->waits = result == RESTART_SYS || result == RESTART_NO_INTR || result == RESTART_NO_HAND ||
			result == RESTART_BLOCK || (result == -EINTR && find(interrupted, number));
	/* To be stopped was the only other thing it did. */
	if (thread->asleep.since &&
	    (thread->called != number || sleep_of(thread->tid).switches != thread->asleep.switches + 1))
		thread->asleep.since = 0;
}

/* What criu gets to see: a thread that begins its call anew, a sleep with what is left of it. */
static void show(const struct thread *thread, struct user_regs_struct *registers)
{
	long result = registers->rax;
	if (result == RESTART_BLOCK && (long)registers->orig_rax == SYS_restart_syscall) {
		if (thread->called < 0)
			return;
		registers->orig_rax = thread->called;
	}
	if (result != RESTART_BLOCK && result != -EINTR)
		return;
	registers->rax = RESTART_NO_HAND;
	/* The kernel has written that down, where the program wants to have it. */
	if (registers->orig_rax == SYS_nanosleep && registers->rsi)
		registers->rdi = registers->rsi;
	if (registers->orig_rax == SYS_clock_nanosleep && registers->r10)
		registers->rdx = registers->r10;
}

/* Whether these are a thread's own registers, as criu has them. */
static bool gives_back(const struct thread *thread, const struct user_regs_struct *wanted)
{
	struct user_regs_struct own = *wanted, shown = thread->registers;
	show(thread, &shown);
	own.rax = shown.rax;
	own.orig_rax = shown.orig_rax;
	if (own.rip == shown.rip - SYSCALL_LENGTH)
		own.rip += SYSCALL_LENGTH;
	return is(&own, &shown);
}

/* At the entry of a return from a signal: the call is left out, what it would do is done. */
static void leave_out_return(struct thread *thread)
{
	struct user_regs_struct again = thread->registers;
	uint64_t shadow_stack;
	struct iovec state = { thread->state, thread->state_length }, shadow = { &shadow_stack, sizeof(shadow_stack) };
	if (!real_ptrace(PTRACE_GETREGSET, thread->tid, (void *)SHADOW_STACK, &shadow))
		return; /* it gets its shadow stack back so */
	again.rip -= SYSCALL_LENGTH;
	again.rax = (long)again.rax == RESTART_BLOCK ? SYS_restart_syscall : again.orig_rax;
	again.orig_rax = -1;
	if (real_ptrace(PTRACE_SETREGSET, thread->tid, (void *)NT_X86_XSTATE, &state))
		return;
	if (real_ptrace(PTRACE_SETSIGMASK, thread->tid, (void *)sizeof(thread->mask), &thread->mask))
		return;
	set_registers(thread->tid, &again);
}

static bool peek(pid_t tid, uint64_t address, long *value)
{
	return !real_ptrace(PTRACE_PEEKDATA, tid, (void *)address, value);
}

static bool poke(pid_t tid, uint64_t address, long value)
{
	return !real_ptrace(PTRACE_POKEDATA, tid, (void *)address, (void *)value);
}

/* A time in nanoseconds at an address; -1 for none. */
static int64_t read_time(pid_t tid, uint64_t address, enum unit unit)
{
	int64_t part = unit == TIMEVAL ? 1000 : 1;
	long seconds, rest;
	if (!address || !peek(tid, address, &seconds) || !peek(tid, address + sizeof(long), &rest))
		return -1;
	if (seconds < 0 || seconds > INT32_MAX || rest < 0 || rest * part >= SECOND)
		return -1; /* for ever, as good as */
	return seconds * SECOND + rest * part;
}

static bool write_time(pid_t tid, uint64_t address, enum unit unit, int64_t time)
{
	return poke(tid, address, time / SECOND) &&
	       poke(tid, address + sizeof(long), time % SECOND / (unit == TIMEVAL ? 1000 : 1));
}

static int64_t less(int64_t time, int64_t passed)
{
	return time > passed ? time - passed : 0;
}

/* Put the rest of its time into a call that begins anew; false when that cannot be done. */
static bool shorten(struct thread *thread, struct user_regs_struct *registers)
{
	const struct timed *call = find(interrupted, registers->orig_rax);
	int64_t clock = thread->asleep.since ? behind(thread->processor) : 0, time;
	int64_t passed = now() - (clock ? thread->asleep.since + clock : thread->stopped);
	unsigned long long *argument = (void *)((char *)registers + call->where);
	if (call->unit == MILLISECONDS && (int32_t)*argument > 0)
		*argument = (less((int32_t)*argument * MILLISECOND, passed) + MILLISECOND - 1) / MILLISECOND;
	if (call->unit != TIMESPEC)
		return true;
	time = read_time(thread->tid, *argument, TIMESPEC);
	if (time <= 0)
		return true;
	/* The program's own may be its for other calls. */
	*argument = (registers->rsp - RED_ZONE - sizeof(struct timespec)) & ~15ULL;
	return write_time(thread->tid, *argument, TIMESPEC, less(time, passed));
}

/* Before criu lets go of it. */
static void put_right(struct thread *thread)
{
	struct user_regs_struct registers;
	see(thread);
	if (!thread->waits || !registers_of(thread->tid, &registers) || !is(&registers, &thread->registers))
		return;
	if ((long)registers.rax == -EINTR) {
		registers.rax = RESTART_NO_HAND;
		if (shorten(thread, &registers))
			set_registers(thread->tid, &registers);
	} else if ((long)registers.rax == RESTART_NO_HAND) {
		const struct timed *call = find(rest_in_memory, registers.orig_rax);
		uint64_t address = call ? *(unsigned long long *)((char *)&registers + call->where) : 0;
		int64_t time = call ? read_time(thread->tid, address, call->unit) : 0;
		if (time > 0)
			write_time(thread->tid, address, call->unit, less(time, now() - thread->stopped));
	}
}

/* Give criu the registers as it is to see them, and note what it is about to do. */
static void look(struct thread *thread, struct user_regs_struct *registers)
{
	thread->at_return = registers->orig_rax == SYS_rt_sigreturn && (long)registers->rax == NOT_DONE;
	if (is(registers, &thread->registers))
		show(thread, registers);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	pid_t tid = va_arg(arguments, pid_t);
	void *address = va_arg(arguments, void *);
	void *data = va_arg(arguments, void *);
	va_end(arguments);

	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
		long value;
		if (real_ptrace(request, tid, address, &value))
			return -1;
		errno = 0;
		return value;
	}
	if (request == PTRACE_SEIZE)
		expect(tid);
	struct thread *thread = *place_of(tid);
	if (!thread)
		return real_ptrace(request, tid, address, data);

	struct iovec *vector = data;
	long done;
	switch ((int)request) {
	case PTRACE_GETREGSET:
		if (address == (void *)NT_PRSTATUS)
			see(thread);
		break;
	case PTRACE_SETREGSET:
		if (address == (void *)NT_PRSTATUS && thread->waits && gives_back(thread, vector->iov_base))
			return set_registers(tid, &thread->registers);
		break;
	case PTRACE_SYSCALL:
		if (thread->at_return && thread->state)
			leave_out_return(thread);
		thread->at_return = false;
		break;
	case PTRACE_DETACH:
		put_right(thread);
		forget(tid);
		return real_ptrace(request, tid, address, data);
	}
	done = real_ptrace(request, tid, address, data);
	if (done)
		return done;
	switch ((int)request) {
	case PTRACE_GETSIGINFO: /* asked for each time that it was waited for */
		if (!thread->seen)
			thread->stopped = now();
		break;
	case PTRACE_GETSIGMASK:
		if (!thread->seen)
			memcpy(&thread->mask, data, sizeof(thread->mask));
		break;
	case PTRACE_GETREGSET:
		if (thread->waits && address == (void *)NT_PRSTATUS)
			look(thread, vector->iov_base);
		if (thread->waits && address == (void *)NT_X86_XSTATE && !thread->state)
			keep_state(thread, vector);
		break;
	}
	return done;
}
