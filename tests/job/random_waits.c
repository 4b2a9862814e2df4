/* SPDX-License-Identifier: MIT */
/* Wait again and again, in calls and for times taken at random, until a file is there; count what is odd.
 *
 * random_waits SEED STOP-FILE: prints as JSON how many waits there were, and how many of them ended with
 * EINTR, with another error, or early, and by how many ms the latest was late; how many signals a process
 * was sent that waits for them, how many it got, and in how many cases its wait did not end at once.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND 1000000LL
enum { THREADS = 8, LONGEST_MS = 4000, CALLS = 14, TICK_MS = 2000, AT_ONCE_MS = 1000 };

static struct counts {
	long waits, interrupted, failed, early, latest_ms, sent, got, hung;
	volatile bool over;
} *counts;

static int epoll_fd, pipe_ends[2], set_id;
static uint32_t word;
static sem_t semaphore;
static volatile int64_t signalled;
static const char *stop;

static int64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 * MILLISECOND + time.tv_nsec;
}

static int outcome(long got, int limit) /* 0 when the time was over */
{
	return got == 0 || (got < 0 && errno == limit) ? 0 : got < 0 ? errno : -1;
}

static int wait_once(int call, long ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * MILLISECOND }, rest, until;
	struct timeval limit = { ms / 1000, ms % 1000 * 1000 };
	struct pollfd one = { pipe_ends[0], POLLIN, 0 };
	struct epoll_event event;
	struct sembuf less = { 0, -1, 0 };
	fd_set set;
	sigset_t usr2;
	FD_ZERO(&set);
	FD_SET(pipe_ends[0], &set);
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += time.tv_nsec;
	until.tv_sec += time.tv_sec + until.tv_nsec / (1000 * MILLISECOND);
	until.tv_nsec %= 1000 * MILLISECOND;
	switch (call) {
	case 0: return outcome(poll(&one, 1, ms), 0);
	case 1: return outcome(ppoll(&one, 1, &time, NULL), 0);
	case 2: return outcome(select(pipe_ends[0] + 1, &set, NULL, NULL, &limit), 0);
	case 3: return outcome(pselect(pipe_ends[0] + 1, &set, NULL, NULL, &time, NULL), 0);
	case 4: return outcome(epoll_wait(epoll_fd, &event, 1, ms), 0);
	case 5: return outcome(syscall(441, epoll_fd, &event, 1, &time, NULL, 0), 0);
	case 6: return outcome(nanosleep(&time, NULL), 0);
	case 7: return outcome(nanosleep(&time, &rest), 0);
	case 8: return clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
	case 9: return outcome(usleep(ms * 1000), 0);
	case 10: return outcome(sem_timedwait(&semaphore, &until), ETIMEDOUT);
	case 11: return outcome(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0), ETIMEDOUT);
	case 12: return outcome(sigtimedwait(&usr2, NULL, &time), EAGAIN);
	default: return outcome(semtimedop(set_id, &less, 1, &time), EAGAIN);
	}
}

static void *wait_on(void *seed)
{
	unsigned random = (intptr_t)seed;
	while (!counts->over) {
		int call = rand_r(&random) % CALLS;
		long ms = 1 + rand_r(&random) % LONGEST_MS;
		int64_t begun = now();
		int problem = wait_once(call, ms);
		int64_t took = now() - begun;
		long late = (took - ms * MILLISECOND) / MILLISECOND;
		__atomic_add_fetch(&counts->waits, 1, __ATOMIC_SEQ_CST);
		if (problem == EINTR)
			__atomic_add_fetch(&counts->interrupted, 1, __ATOMIC_SEQ_CST);
		else if (problem)
			__atomic_add_fetch(&counts->failed, 1, __ATOMIC_SEQ_CST);
		else if (took < ms * MILLISECOND && call != 10) /* that goes by another clock */
			__atomic_add_fetch(&counts->early, 1, __ATOMIC_SEQ_CST);
		if (problem || took < ms * MILLISECOND || late > 300)
			fprintf(stderr, "call %d of %ld ms: %d after %ld us\n", call, ms, problem, (long)took / 1000);
		if (late > counts->latest_ms)
			counts->latest_ms = late;
	}
	return NULL;
}

static void note(int number)
{
	(void)number;
	signalled = now();
	counts->got += !counts->over;
}

/* Wait for signals in the ways that let none through in between. */
static void wait_for_signals(void)
{
	struct sigaction action = { .sa_handler = note };
	sigset_t none;
	sigemptyset(&none);
	sigaction(SIGRTMIN, &action, NULL);
	for (int way = 0; !counts->over; way = (way + 1) % 3) {
		if (way == 0)
			sigsuspend(&none);
		else if (way == 1)
			ppoll(NULL, 0, NULL, &none);
		else
			pselect(0, NULL, NULL, NULL, NULL, &none);
		if (now() - signalled > AT_ONCE_MS * MILLISECOND)
			counts->hung++;
	}
}

int main(int count, char **words)
{
	pthread_t threads[THREADS];
	sigset_t blocked;
	union sigval none = { 0 };
	struct timespec tick = { TICK_MS / 1000, 0 };
	struct epoll_event event = { .events = EPOLLIN };
	if (count != 3)
		return 2;
	stop = words[2];
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR2);
	sigaddset(&blocked, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	if (pipe(pipe_ends) || (epoll_fd = epoll_create1(0)) < 0 || (set_id = semget(IPC_PRIVATE, 1, 0600)) < 0)
		return 1;
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pipe_ends[0], &event);
	pid_t waiter = fork();
	if (!waiter) {
		wait_for_signals();
		_exit(0);
	}
	for (intptr_t each = 0; each < THREADS; each++) {
		intptr_t seed = atoi(words[1]) * THREADS + each;
		if (each % 2) { /* as the first thread of a process, and as another */
			pthread_create(&threads[each], NULL, wait_on, (void *)seed);
		} else if (!fork()) {
			wait_on((void *)seed);
			_exit(0);
		}
	}
	while (access(stop, F_OK)) {
		nanosleep(&tick, NULL);
		sigqueue(waiter, SIGRTMIN, none);
		counts->sent++;
	}
	for (int times = 0; counts->got < counts->sent && times < 10; times++)
		nanosleep(&tick, NULL); /* one that is lost never comes */
	counts->over = true;
	sigqueue(waiter, SIGRTMIN, none); /* it may not see this one any more */
	for (int each = 1; each < THREADS; each += 2)
		pthread_join(threads[each], NULL); /* or it finds its semaphore gone */
	while (wait(NULL) > 0)
		;
	semctl(set_id, 0, IPC_RMID);
	printf("{\"waits\": %ld, \"interrupted\": %ld, \"failed\": %ld, \"early\": %ld, \"latest_ms\": %ld, "
	       "\"sent\": %ld, \"got\": %ld, \"hung\": %ld}\n",
	       counts->waits, counts->interrupted, counts->failed, counts->early, counts->latest_ms, counts->sent,
	       counts->got, counts->hung);
	return 0;
}
