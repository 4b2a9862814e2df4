/* SPDX-License-Identifier: MIT */
/* Preloaded into criu: TCP connections are saved and restored without CAP_NET_ADMIN.
 *
 * The kernel tells the state of a connection, and takes one, only in repair mode, which is a right over
 * every connection of the node.  So criu does not get it.  Where it switches the mode on and may not,
 * it goes on as if it had, and root's program (torqueckpt/rights/tcp_repair.py), which waits at the
 * socket that TORQUECKPT_TCP_REPAIR names, does the rest:
 *
 *   a dump      sends the connection's descriptor and gets its state, as it was at the same moment as
 *               its other end's; from that criu's questions are answered;
 *   a restore   notes down what criu does to a new socket, sends that, and gets another socket, bound
 *               already, in its place; root does the rest to it when the whole tree is there (at-freeze
 *               asks for that).
 *
 * criu does one connection after the other, each in one thread.  No descriptor stays open.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define VARIABLE "TORQUECKPT_TCP_REPAIR"

/* What a request or a step of a restore is; others are the names of options (tcp_repair.py has the same). */
enum { SAVE = 1, RESTORE = 2, BIND = 1001, CONNECT = 1002, DATA = 1003 };

/* The head of a request, of its answer (kind: an errno, 0 for none) and of each step. */
struct head {
	uint32_t kind, length;
};

/* The answer to SAVE; what waits in the queues comes behind it, received first. */
struct state {
	uint32_t sequence[2]; /* of the receive and the send queue */
	struct tcp_repair_window window;
	uint32_t queued[2], unsent;
};

/* The socket that criu has at hand; fd is -1 for none. */
static struct {
	int fd, queue;
	char *saved; /* a struct state and the queues, in a dump */
	size_t saved_length;
	char *steps; /* in a restore */
	size_t length, room;
} now = { .fd = -1 };

static int refused(int problem)
{
	errno = problem;
	return -1;
}

static int send_all(int to, const char *data, size_t length)
{
	while (length) {
		ssize_t sent = syscall(SYS_sendto, to, data, length, MSG_NOSIGNAL, NULL, 0);
		if (sent < 0)
			return -1;
		data += sent;
		length -= sent;
	}
	return 0;
}

static int read_all(int from, char *data, size_t length)
{
	while (length) {
		ssize_t count = read(from, data, length);
		if (count <= 0)
			return -1;
		data += count;
		length -= count;
	}
	return 0;
}

/* Read an answer's head; gives the descriptor that came with it, -1 for none, -2 on failure. */
static int read_head(int from, struct head *head)
{
	union {
		struct cmsghdr first;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec data = { head, sizeof(*head) };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	int fd = -1;

	if (recvmsg(from, &message, MSG_WAITALL | MSG_CMSG_CLOEXEC) != sizeof(*head))
		return -2;
	if (CMSG_FIRSTHDR(&message))
		memcpy(&fd, CMSG_DATA(&control.first), sizeof(int));
	return fd;
}

static int send_with_descriptor(int to, const struct head *head, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { (void *)head, sizeof(*head) };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *first = CMSG_FIRSTHDR(&message);

	first->cmsg_level = SOL_SOCKET;
	first->cmsg_type = SCM_RIGHTS;
	first->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(first), &fd, sizeof(int));
	return sendmsg(to, &message, MSG_NOSIGNAL) == sizeof(*head) ? 0 : -1;
}

/* Ask root's program about fd: 0, with the answer in now.saved or another socket at fd; or -1 with errno. */
static int ask(int kind, int fd, const char *body, size_t length)
{
	struct head head = { kind, length };
	struct sockaddr_un place = { .sun_family = AF_UNIX };
	const char *path = getenv(VARIABLE);
	int to, other = -1, problem = EIO;

	if (!path || strlen(path) >= sizeof(place.sun_path))
		return refused(EPERM);
	strcpy(place.sun_path, path);
	to = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (to < 0)
		return -1;
	free(now.saved);
	now.saved = NULL;
	if (syscall(SYS_connect, to, &place, sizeof(place)) || send_with_descriptor(to, &head, fd) || send_all(to, body, length))
		goto end;
	other = read_head(to, &head);
	if (other == -2)
		goto end;
	problem = head.kind;
	if (problem)
		goto end;
	if (kind == RESTORE) {
		problem = other < 0 || dup2(other, fd) < 0 ? EIO : 0;
		goto end;
	}
	now.saved_length = head.length;
	now.saved = malloc(head.length + 1);
	if (!now.saved || read_all(to, now.saved, head.length))
		problem = EIO;
end:
	if (other >= 0)
		close(other);
	close(to);
	return problem ? refused(problem) : 0;
}

static int step(int kind, const void *value, size_t length)
{
	struct head head = { kind, length };
	size_t whole = now.length + sizeof(head) + length;

	if (whole > now.room) {
		char *larger = realloc(now.steps, 2 * whole);
		if (!larger)
			return refused(ENOMEM);
		now.steps = larger;
		now.room = 2 * whole;
	}
	memcpy(now.steps + now.length, &head, sizeof(head));
	memcpy(now.steps + now.length + sizeof(head), value, length);
	now.length = whole;
	return 0;
}

static int state_of(int fd)
{
	unsigned char state;
	socklen_t length = sizeof(state);

	return syscall(SYS_getsockopt, fd, SOL_TCP, TCP_INFO, &state, &length) ? -1 : state;
}

static int dumping(int fd)
{
	return fd >= 0 && fd == now.fd && now.saved;
}

static int restoring(int fd)
{
	return fd >= 0 && fd == now.fd && !now.saved;
}

static size_t whole(void)
{
	const struct state *state = (const struct state *)now.saved;

	return sizeof(*state) + state->queued[0] + state->queued[1];
}

static int switched(int fd, int on)
{
	int state = state_of(fd);

	if (restoring(fd)) /* off for data that was never sent, and on again */
		return step(TCP_REPAIR, &on, sizeof(on));
	if (!on && now.fd == fd)
		now.fd = -1;
	if (!on) /* of a dump: root's program has switched it off long since */
		return 0;
	now.fd = -1;
	now.queue = now.length = 0;
	if (state == TCP_ESTABLISHED) {
		if (ask(SAVE, fd, NULL, 0))
			return -1;
		if (now.saved_length < sizeof(struct state) || now.saved_length != whole())
			return refused(EIO);
	} else if (state == TCP_CLOSE) {
		free(now.saved);
		now.saved = NULL;
	} else {
		return refused(EPERM);
	}
	now.fd = fd;
	return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	if (level == SOL_TCP && name == TCP_REPAIR) {
		int result = syscall(SYS_setsockopt, fd, level, name, value, length);
		return result && errno == EPERM ? switched(fd, *(const int *)value) : result;
	}
	if (level == SOL_TCP && dumping(fd) && name == TCP_REPAIR_QUEUE) {
		now.queue = *(const int *)value;
		return 0;
	}
	if (level == SOL_TCP && restoring(fd)) {
		if (step(name, value, length))
			return -1;
		if (name != TCP_REPAIR_WINDOW) /* which criu sets last */
			return 0;
		now.fd = -1;
		return ask(RESTORE, fd, now.steps, now.length);
	}
	return syscall(SYS_setsockopt, fd, level, name, value, length);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	const struct state *state = (const struct state *)now.saved;

	if (level == SOL_TCP && dumping(fd) && name == TCP_QUEUE_SEQ && *length >= sizeof(uint32_t)) {
		memcpy(value, &state->sequence[now.queue == TCP_SEND_QUEUE], *length = sizeof(uint32_t));
		return 0;
	}
	if (level == SOL_TCP && dumping(fd) && name == TCP_REPAIR_WINDOW && *length >= sizeof(state->window)) {
		memcpy(value, &state->window, *length = sizeof(state->window));
		return 0;
	}
	return syscall(SYS_getsockopt, fd, level, name, value, length);
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	return restoring(fd) ? step(BIND, address, length) : syscall(SYS_bind, fd, address, length);
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	return restoring(fd) ? step(CONNECT, address, length) : syscall(SYS_connect, fd, address, length);
}

ssize_t send(int fd, const void *data, size_t length, int flags)
{
	if (restoring(fd))
		return step(DATA, data, length) ? -1 : (ssize_t)length;
	return syscall(SYS_sendto, fd, data, length, flags, NULL, 0);
}

ssize_t recv(int fd, void *data, size_t length, int flags)
{
	const struct state *state = (const struct state *)now.saved;
	int queue = now.queue == TCP_SEND_QUEUE;

	if (!dumping(fd))
		return syscall(SYS_recvfrom, fd, data, length, flags, NULL, NULL);
	if (state->queued[queue] < length)
		length = state->queued[queue];
	memcpy(data, now.saved + sizeof(*state) + (queue ? state->queued[0] : 0), length);
	return length;
}

int ioctl(int fd, unsigned long request, ...)
{
	const struct state *state = (const struct state *)now.saved;
	va_list rest;
	void *value;

	va_start(rest, request);
	value = va_arg(rest, void *);
	va_end(rest);
	if (dumping(fd) && request == SIOCINQ)
		*(uint32_t *)value = state->queued[0];
	else if (dumping(fd) && request == SIOCOUTQ)
		*(uint32_t *)value = state->queued[1];
	else if (dumping(fd) && request == SIOCOUTQNSD)
		*(uint32_t *)value = state->unsent;
	else
		return syscall(SYS_ioctl, fd, request, value);
	return 0;
}
