/* SPDX-License-Identifier: MIT */
/* Each system call that waits, in a process of its own: what does it give when the process is dumped?
 *
 * waiting_calls SECONDS RESULTS [CALL…]: for each call one process whose first thread waits in it, and one whose
 * second thread does.  Those with a time limit have SECONDS; the others get what they wait for when there
 * is a RESULTS.go.  Each appends two lines to RESULTS, with tabs: "begun CALL leader|thread PID", and when
 * the call has returned "ended CALL leader|thread OUTCOME MICROSECONDS"; OUTCOME is limit (it had one that
 * has passed), ok, or an errno, as EINTR.  SIGUSR1 has a handler and reaches the thread that waits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sem.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static int seconds;
static const char *results;
static int pair[2];	/* a stream; the second end is the waker's */
static int pipe_ends[2];
static int epoll_fd, event_fd, timer_fd, signal_fd, listener, locked, set_id = -1;
static uint32_t word;
static sem_t semaphore;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, taken = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_t waiting;
static sigset_t usr2;
static aio_context_t aio;
static pid_t child;
static char fifo[300];
static volatile bool done;

static int64_t clock_now(clockid_t clock)
{
	struct timespec time;
	clock_gettime(clock, &time);
	return time.tv_sec * SECOND + time.tv_nsec;
}

static struct timespec until(clockid_t clock)
{
	struct timespec time;
	clock_gettime(clock, &time);
	time.tv_sec += seconds;
	return time;
}

static void check(bool good, const char *what)
{
	if (!good) {
		perror(what);
		_exit(1);
	}
}

static void say(const char *line)
{
	int to = open(results, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	check(to >= 0 && write(to, line, strlen(line)) == (ssize_t)strlen(line), results);
	close(to);
}

static void limit(int fd)
{
	struct timeval time = { seconds, 0 };
	check(!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)), "SO_RCVTIMEO");
}

/* What the waker does for the calls that have no time limit. */
static void give_byte(void) { check(write(pair[1], "x", 1) == 1, "give_byte"); }
static void give_pipe(void) { check(write(pipe_ends[1], "x", 1) == 1, "give_pipe"); }
static void empty_pipe(void)
{
	static char all[1 << 20];
	check(read(pipe_ends[0], all, sizeof(all)) > 0, "empty_pipe");
}
static void give_event(void)
{
	uint64_t one = 1;
	check(write(event_fd, &one, sizeof(one)) == sizeof(one), "give_event");
}
static void give_signal(void)
{
	kill(getpid(), SIGUSR2);
}
static void wake_word(void)
{
	__atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
static void post(void) { sem_post(&semaphore); }
static void unlock(void) { pthread_mutex_unlock(&taken); }
static void signal_condition(void)
{
	pthread_mutex_lock(&mutex);
	done = true;
	pthread_cond_signal(&condition);
	pthread_mutex_unlock(&mutex);
}
static void release_lock(void) { close(locked); }
static void end_child(void) { kill(child, SIGKILL); }
static void add_one(void)
{
	struct sembuf one = { 0, 1, 0 };
	check(!semop(set_id, &one, 1), "add_one");
}
static void open_other_end(void) { check(open(fifo, O_WRONLY) >= 0, fifo); }
static void connect_to_it(void)
{
	struct sockaddr_un name;
	socklen_t length = sizeof(name);
	int to = socket(AF_UNIX, SOCK_STREAM, 0);
	check(!getsockname(listener, (struct sockaddr *)&name, &length), "getsockname");
	check(!connect(to, (struct sockaddr *)&name, length), "connect_to_it");
}

/* The calls; each gives what the call gave, with errno, -2 for a time limit that was reached. */
static long limited(long got, int problem) { return got < 0 && errno == problem ? -2 : got; }
static long thread_call(int problem) /* of pthread_…() */
{
	errno = problem;
	return problem ? limited(-1, ETIMEDOUT) : 0;
}

static long do_poll(int time)
{
	struct pollfd one = { pair[0], POLLIN, 0 };
	return poll(&one, 1, time);
}
static long f_poll(void) { return do_poll(seconds * 1000) ?: -2; }
static long f_poll_for_ever(void) { return do_poll(-1); }
static long f_ppoll(void)
{
	struct pollfd one = { pair[0], POLLIN, 0 };
	struct timespec time = { seconds, 0 };
	return ppoll(&one, 1, &time, NULL) ?: -2;
}
static fd_set *readable(void)
{
	static __thread fd_set set;
	FD_ZERO(&set);
	FD_SET(pair[0], &set);
	return &set;
}
static long f_select(void)
{
	struct timeval time = { seconds, 0 };
	return select(pair[0] + 1, readable(), NULL, NULL, &time) ?: -2;
}
static long f_select_itself(void)
{
	struct timeval time = { seconds, 0 };
	return syscall(SYS_select, pair[0] + 1, readable(), NULL, NULL, &time) ?: -2;
}
static long f_select_for_ever(void) { return select(pair[0] + 1, readable(), NULL, NULL, NULL); }
static long f_pselect(void)
{
	struct timespec time = { seconds, 0 };
	sigset_t none;
	sigemptyset(&none);
	return pselect(pair[0] + 1, readable(), NULL, NULL, &time, &none) ?: -2;
}
static long f_epoll_wait(void)
{
	struct epoll_event event;
	return epoll_wait(epoll_fd, &event, 1, seconds * 1000) ?: -2;
}
static long f_epoll_wait_for_ever(void)
{
	struct epoll_event event;
	return epoll_wait(epoll_fd, &event, 1, -1);
}
static long f_epoll_pwait(void)
{
	struct epoll_event event;
	sigset_t none;
	sigemptyset(&none);
	return epoll_pwait(epoll_fd, &event, 1, seconds * 1000, &none) ?: -2;
}
static long f_epoll_pwait2(void)
{
	struct epoll_event event;
	struct timespec time = { seconds, 0 };
	return syscall(441, epoll_fd, &event, 1, &time, NULL, 0) ?: -2;
}
static long f_nanosleep(void)
{
	struct timespec time = { seconds, 0 };
	return nanosleep(&time, NULL) ?: -2;
}
static long f_nanosleep_itself(void)
{
	struct timespec time = { seconds, 0 }, rest;
	return syscall(SYS_nanosleep, &time, &rest) ?: -2;
}
static long sleep_by(clockid_t clock)
{
	struct timespec time = { seconds, 0 };
	errno = clock_nanosleep(clock, 0, &time, NULL);
	return errno ? -1 : -2;
}
static long f_clock_nanosleep(void) { return sleep_by(CLOCK_MONOTONIC); }
static long f_clock_nanosleep_real(void) { return sleep_by(CLOCK_REALTIME); }
static long f_clock_nanosleep_boot(void) { return sleep_by(CLOCK_BOOTTIME); }
static long f_clock_nanosleep_until(void)
{
	struct timespec time = until(CLOCK_MONOTONIC);
	errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
	return errno ? -1 : -2;
}
static long f_usleep(void) { return usleep(seconds * 1000000) ?: -2; }
static long f_sleep(void)
{
	errno = EINTR;
	return sleep(seconds) ? -1 : -2;
}
static long f_sem_timedwait(void)
{
	struct timespec time = until(CLOCK_REALTIME);
	return limited(sem_timedwait(&semaphore, &time), ETIMEDOUT);
}
static long f_sem_wait(void) { return sem_wait(&semaphore); }
static long f_cond_timedwait(void)
{
	struct timespec time = until(CLOCK_REALTIME);
	int problem = 0;
	pthread_mutex_lock(&mutex);
	while (!problem)
		problem = pthread_cond_timedwait(&condition, &mutex, &time);
	pthread_mutex_unlock(&mutex);
	return thread_call(problem);
}
static long f_cond_wait(void)
{
	pthread_mutex_lock(&mutex);
	while (!done)
		pthread_cond_wait(&condition, &mutex);
	pthread_mutex_unlock(&mutex);
	return 0;
}
static long f_mutex_timedlock(void)
{
	struct timespec time = until(CLOCK_REALTIME);
	return thread_call(pthread_mutex_timedlock(&taken, &time));
}
static long f_mutex_lock(void) { return thread_call(pthread_mutex_lock(&taken)); }
static long futex(int operation, struct timespec *time)
{
	return syscall(SYS_futex, &word, operation, 0, time, NULL, FUTEX_BITSET_MATCH_ANY);
}
static long f_futex(void)
{
	struct timespec time = { seconds, 0 };
	return limited(futex(FUTEX_WAIT_PRIVATE, &time), ETIMEDOUT);
}
static long f_futex_until(void)
{
	struct timespec time = until(CLOCK_MONOTONIC);
	return limited(futex(FUTEX_WAIT_BITSET_PRIVATE, &time), ETIMEDOUT);
}
static long f_futex_for_ever(void) { return futex(FUTEX_WAIT_PRIVATE, NULL); }
static long f_sigtimedwait(void)
{
	struct timespec time = { seconds, 0 };
	return limited(sigtimedwait(&usr2, NULL, &time), EAGAIN);
}
static long f_sigwaitinfo(void) { return sigwaitinfo(&usr2, NULL); }
static long f_pause(void)
{
	pthread_sigmask(SIG_UNBLOCK, &usr2, NULL);
	pause();
	return done ? 0 : -1; /* by the handler of SIGUSR2 */
}
static long f_sigsuspend(void)
{
	sigset_t none;
	sigemptyset(&none);
	sigsuspend(&none);
	return done ? 0 : -1;
}
static long f_recv(void)
{
	char byte;
	return recv(pair[0], &byte, 1, 0);
}
static long f_recv_limited(void)
{
	char byte;
	limit(pair[0]);
	return limited(recv(pair[0], &byte, 1, 0), EAGAIN);
}
static long f_accept(void) { return accept(listener, NULL, NULL); }
static long f_accept_limited(void)
{
	limit(listener);
	return limited(accept(listener, NULL, NULL), EAGAIN);
}
static long f_semtimedop(void)
{
	struct sembuf one = { 0, -1, 0 };
	struct timespec time = { seconds, 0 };
	return limited(semtimedop(set_id, &one, 1, &time), EAGAIN);
}
static long f_semop(void)
{
	struct sembuf one = { 0, -1, 0 };
	return semop(set_id, &one, 1);
}
static long f_io_getevents(void)
{
	struct io_event event;
	struct timespec time = { seconds, 0 };
	return syscall(SYS_io_getevents, aio, 1, 1, &event, &time) ?: -2;
}
static long f_read_pipe(void)
{
	char byte;
	return read(pipe_ends[0], &byte, 1);
}
static long f_write_pipe(void)
{
	static char block[4096];
	return write(pipe_ends[1], block, sizeof(block));
}
static long f_read_eventfd(void)
{
	uint64_t value;
	return read(event_fd, &value, sizeof(value));
}
static long f_read_timerfd(void)
{
	uint64_t value;
	struct itimerspec time = { .it_value = { seconds, 0 } };
	timerfd_settime(timer_fd, 0, &time, NULL);
	return read(timer_fd, &value, sizeof(value)) == sizeof(value) ? -2 : -1;
}
static long f_read_signalfd(void)
{
	struct signalfd_siginfo value;
	return read(signal_fd, &value, sizeof(value));
}
static long f_waitpid(void) { return waitpid(child, NULL, 0); }
static long f_waitid(void) { return waitid(P_PID, child, NULL, WEXITED); }
static long f_lock(void)
{
	struct flock all = { .l_type = F_WRLCK };
	return fcntl(open(fifo, O_RDWR | O_CLOEXEC), F_OFD_SETLKW, &all);
}
static long f_open_fifo(void) { return open(fifo, O_RDONLY); }

/* What some calls need, made in the process that makes them. */
static void with_aio(void) { check(!syscall(SYS_io_setup, 1, &aio), "io_setup"); }
static void with_set(void) { check((set_id = semget(IPC_PRIVATE, 1, 0600)) >= 0, "semget"); }
static void with_child(void)
{
	child = fork();
	while (!child)
		pause();
}
static void with_full_pipe(void)
{
	static char block[4096];
	fcntl(pipe_ends[1], F_SETFL, O_NONBLOCK);
	while (write(pipe_ends[1], block, sizeof(block)) > 0)
		;
	fcntl(pipe_ends[1], F_SETFL, 0);
}
static void with_word_taken(void) { pthread_mutex_lock(&taken); }
static void with_file(void)
{
	struct flock all = { .l_type = F_WRLCK };
	close(open(fifo, O_RDWR | O_CREAT, 0600));
	check(!fcntl(locked = open(fifo, O_RDWR | O_CLOEXEC), F_OFD_SETLK, &all), fifo);
}
static void with_fifo(void) { check(!mkfifo(fifo, 0600), fifo); }

static void note(int number)
{
	(void)number;
	done = true;
}

static void with_handler(void)
{
	struct sigaction action = { .sa_handler = note };
	sigaction(SIGUSR2, &action, NULL);
}
static void to_it(void)
{
	pthread_kill(waiting, SIGUSR2);
}

static const struct {
	const char *name;
	long (*call)(void);
	void (*waker)(void); /* NULL: it has a time limit */
	void (*before)(void);
} calls[] = {
	{ "poll", f_poll },
	{ "ppoll", f_ppoll },
	{ "select", f_select },
	{ "select itself", f_select_itself },
	{ "pselect", f_pselect },
	{ "epoll_wait", f_epoll_wait },
	{ "epoll_pwait", f_epoll_pwait },
	{ "epoll_pwait2", f_epoll_pwait2 },
	{ "nanosleep", f_nanosleep },
	{ "nanosleep itself", f_nanosleep_itself },
	{ "clock_nanosleep", f_clock_nanosleep },
	{ "clock_nanosleep, real time", f_clock_nanosleep_real },
	{ "clock_nanosleep, boot time", f_clock_nanosleep_boot },
	{ "clock_nanosleep until", f_clock_nanosleep_until },
	{ "usleep", f_usleep },
	{ "sleep", f_sleep },
	{ "sem_timedwait", f_sem_timedwait },
	{ "pthread_cond_timedwait", f_cond_timedwait },
	{ "pthread_mutex_timedlock", f_mutex_timedlock, NULL, with_word_taken },
	{ "futex", f_futex },
	{ "futex until", f_futex_until },
	{ "sigtimedwait", f_sigtimedwait },
	{ "semtimedop", f_semtimedop, NULL, with_set },
	{ "io_getevents", f_io_getevents, NULL, with_aio },
	{ "recv, limited", f_recv_limited },
	{ "accept, limited", f_accept_limited },
	{ "timerfd", f_read_timerfd },
	{ "poll for ever", f_poll_for_ever, give_byte },
	{ "select for ever", f_select_for_ever, give_byte },
	{ "epoll_wait for ever", f_epoll_wait_for_ever, give_byte },
	{ "recv", f_recv, give_byte },
	{ "accept", f_accept, connect_to_it },
	{ "read from a pipe", f_read_pipe, give_pipe },
	{ "write to a full pipe", f_write_pipe, empty_pipe, with_full_pipe },
	{ "eventfd", f_read_eventfd, give_event },
	{ "signalfd", f_read_signalfd, give_signal },
	{ "sigwaitinfo", f_sigwaitinfo, give_signal },
	{ "pause", f_pause, to_it, with_handler },
	{ "sigsuspend", f_sigsuspend, to_it, with_handler },
	{ "futex for ever", f_futex_for_ever, wake_word },
	{ "sem_wait", f_sem_wait, post },
	{ "pthread_cond_wait", f_cond_wait, signal_condition },
	{ "pthread_mutex_lock", f_mutex_lock, unlock, with_word_taken },
	{ "semop", f_semop, add_one, with_set },
	{ "waitpid", f_waitpid, end_child, with_child },
	{ "waitid", f_waitid, end_child, with_child },
	{ "fcntl for a lock", f_lock, release_lock, with_file },
	{ "open of a fifo", f_open_fifo, open_other_end, with_fifo },
};

static void *wake(void *does)
{
	char go[300];
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	snprintf(go, sizeof(go), "%s.go", results);
	while (access(go, F_OK))
		usleep(20000);
	((void (*)(void))does)();
	return NULL;
}

static void line(const char *which, int number, const char *role, const char *more)
{
	char text[256];
	snprintf(text, sizeof(text), "%s\t%s\t%s\t%s\n", which, calls[number].name, role, more);
	say(text);
}

static void *wait_in(void *which)
{
	int number = (intptr_t)which;
	bool leads = getpid() == gettid();
	const char *role = leads ? "leader" : "thread";
	char more[64];
	sigset_t usr1;
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	waiting = pthread_self();
	if (calls[number].before)
		calls[number].before();
	pthread_t other;
	if (calls[number].waker)
		check(!pthread_create(&other, NULL, wake, calls[number].waker), "pthread_create");
	pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
	snprintf(more, sizeof(more), "%d", getpid());
	line("begun", number, role, more);
	int64_t begun = clock_now(CLOCK_MONOTONIC);
	long got = calls[number].call();
	int problem = errno;
	int64_t took = clock_now(CLOCK_MONOTONIC) - begun;
	const char *outcome = got == -2 ? "limit" : got >= 0 ? "ok" : strerrorname_np(problem);
	snprintf(more, sizeof(more), "%s\t%lld", outcome, (long long)took / 1000);
	line("ended", number, role, more);
	if (set_id >= 0)
		semctl(set_id, 0, IPC_RMID);
	_exit(0);
}

static void one(int number, bool leads)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct epoll_event event = { .events = EPOLLIN };
	pthread_t thread;
	snprintf(fifo, sizeof(fifo), "%s.%d.%d", results, number, leads);
	check(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair) && !pipe(pipe_ends), "pipe");
	check((epoll_fd = epoll_create1(0)) >= 0, "epoll_create");
	check(!epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pair[0], &event), "epoll_ctl");
	check((event_fd = eventfd(0, 0)) >= 0, "eventfd");
	check((timer_fd = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0, "timerfd");
	check((signal_fd = signalfd(-1, &usr2, 0)) >= 0, "signalfd");
	check((listener = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0, "socket");
	snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "%d of %s", getpid(), results);
	check(!bind(listener, (struct sockaddr *)&name, sizeof(name)) && !listen(listener, 1), "listen");
	if (leads)
		wait_in((void *)(intptr_t)number);
	check(!pthread_create(&thread, NULL, wait_in, (void *)(intptr_t)number), "pthread_create");
	pthread_join(thread, NULL);
}

int main(int count, char **words)
{
	struct sigaction action = { .sa_handler = note };
	sigset_t usr1;
	if (count < 3)
		return 2;
	seconds = atoi(words[1]);
	results = words[2];
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	pthread_sigmask(SIG_BLOCK, &usr2, NULL);
	sigaction(SIGUSR1, &action, NULL);
	for (size_t number = 0; number < sizeof(calls) / sizeof(*calls); number++) {
		bool wanted = count == 3;
		for (int word = 3; word < count; word++)
			wanted |= !strcmp(words[word], calls[number].name);
		if (!wanted)
			continue;
		for (int leads = 0; leads < 2; leads++) {
			if (!fork())
				one(number, leads);
		}
	}
	while (wait(NULL) > 0 || errno == EINTR)
		;
	say("all\n");
	return 0;
}
