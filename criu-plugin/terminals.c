/* SPDX-License-Identifier: MIT */
/* Preloaded into criu: what waits in a pseudo terminal is still there after a dump, and after a restore.
 *
 * It can only be read by taking it out.  criu does so, and writes it into the other end, where the
 * terminal treats it as new: NL becomes CR NL once more, input is echoed once more, an end of input
 * (Ctrl-D) is lost with all that waits behind it, lines go behind one that is not finished.
 *
 * So reading takes the data out here, and puts them back at once with the terminal's treatment off; what
 * criu writes then is left out.  An end of input is given to criu as the character that makes it.  In a
 * restore, where nothing was read, what criu writes is put in likewise.  A line that is not finished is
 * taken out only where whole ones wait before it: that takes an end of input, which should never be left
 * in the job's terminal.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* criu reads terminals in this size, and files in others; the kernel keeps less than half of MOST */
enum { ASKED = 16384, MOST = 65536, FULL = 4000, LITTLE = 2048, SLAVES = 136, TRIES = 10000, QUIET_TRIES = 200 };
#define TRY_EVERY (&(struct timespec){ 0, 100000 })

static bool dumping;
static int emptied = -1;

/* Its number and which end it is, when it is one of a pseudo terminal. */
static bool is_end(int fd, bool *master, unsigned int *number)
{
	struct stat found;

	if (fstat(fd, &found) || !S_ISCHR(found.st_mode))
		return false;
	*master = !ioctl(fd, TIOCGPTN, number);
	if (!*master)
		*number = minor(found.st_rdev);
	return *master || major(found.st_rdev) == SLAVES;
}

static int find_end(bool master, unsigned int number)
{
	DIR *mine = opendir("/proc/self/fd");
	struct dirent *each;
	unsigned int its_number;
	bool its_master;
	int end = -1;

	while (mine && end < 0 && (each = readdir(mine))) {
		int fd = atoi(each->d_name);

		if (is_end(fd, &its_master, &its_number) && its_master == master && its_number == number)
			end = fd;
	}
	if (mine)
		closedir(mine);
	return end;
}

/* Lines stay lines: leaving canonical mode would make one of all that waits. */
static bool switch_treatment_off(int fd, struct termios *had)
{
	struct termios off;

	if (tcgetattr(fd, had))
		return false;
	off = *had;
	off.c_oflag &= ~OPOST;
	off.c_iflag &= ~(ISTRIP | IUCLC | IGNCR | ICRNL | INLCR | PARMRK | INPCK | IXANY);
	off.c_lflag &= ~(ECHO | ECHONL | ISIG);
	off.c_cc[VERASE] = off.c_cc[VKILL] = off.c_cc[VWERASE] = off.c_cc[VLNEXT] = _POSIX_VDISABLE;
	off.c_cc[VREPRINT] = _POSIX_VDISABLE;
	return !tcsetattr(fd, TCSANOW, &off);
}

static bool has_lines(const struct termios *of)
{
	return of->c_lflag & ICANON && !(of->c_lflag & EXTPROC);
}

static bool ends_line(const struct termios *of, char last)
{
	unsigned char c = last;

	return c == '\n' || (c && (c == of->c_cc[VEOL] || c == of->c_cc[VEOL2]));
}

/* What is much fits in as it did before only without gaps: the kernel keeps pieces together. */
static void put(int fd, const char *data, size_t size)
{
	size_t piece = size < LITTLE ? size : 1;

	for (int tries = 0; size && tries < TRIES; tries++) {
		ssize_t count = syscall(SYS_write, fd, data, piece < size ? piece : size);

		if (count > 0) {
			data += count;
			size -= count;
			tries = 0;
		} else if (count < 0 && errno != EAGAIN && errno != EINTR) {
			return;
		} else {
			nanosleep(TRY_EVERY, NULL);
		}
	}
}

/* The kernel takes input in a little later; until then the treatment must stay off.
 *
 * More than 4095 bytes wait untreated, as they did before.
 */
static void await(int slave, const struct termios *had, const char *data, size_t size)
{
	struct pollfd all = { slave, POLLIN, 0 };
	int wanted = 0, line = 0, there = 0, before = -1;

	for (size_t at = 0; at < size; at++) {
		bool end = has_lines(had) && data[at] && data[at] == (char)had->c_cc[VEOF];

		line += !end;
		if (end || !has_lines(had) || ends_line(had, data[at])) {
			wanted += line;
			line = 0;
		}
	}
	poll(&all, 1, 0); /* where nothing can be read yet, this has the kernel take all of it in */
	for (int tries = 0; tries < QUIET_TRIES && !ioctl(slave, FIONREAD, &there) && there < wanted; tries++) {
		if (there != before)
			tries = 0;
		before = there;
		nanosleep(TRY_EVERY, NULL);
	}
	if (wanted && has_lines(had) && !ends_line(had, data[size - 1]))
		nanosleep(TRY_EVERY, NULL);
}

static size_t take_lines(int slave, int master, const struct termios *had, char *data)
{
	char end = had->c_cc[VEOF];
	bool all = false;
	size_t size = 0;

	while (size < MOST - 1) {
		ssize_t count = syscall(SYS_read, slave, data + size, MOST - 1 - size);

		if (count < 0) {
			if (all || !size || !end || syscall(SYS_write, master, &end, 1) != 1)
				break;
			all = true; /* the next is a line that is not finished, or nothing */
			continue;
		}
		size += count;
		if (all)
			break;
		if (end && (!count || !ends_line(had, data[size - 1])))
			data[size++] = end;
	}
	return size;
}

static size_t take_bytes(int fd, char *data)
{
	size_t size = 0;
	ssize_t count;

	while (size < MOST && (count = syscall(SYS_read, fd, data + size, MOST - size)) > 0)
		size += count;
	return size;
}

static bool anything_in(int fd)
{
	struct pollfd input = { fd, POLLIN, 0 };
	int there = 0;

	return (poll(&input, 1, 0) == 1 && input.revents & POLLIN) || (!ioctl(fd, FIONREAD, &there) && there);
}

static bool can_write(int fd)
{
	struct pollfd output = { fd, POLLOUT, 0 };

	return poll(&output, 1, 0) == 1 && output.revents & POLLOUT;
}

/* What its programs write is held back (Ctrl-S): that holds for what is put back, too. */
static void put_into_stopped(int slave, int master, const struct termios *had, const char *data, size_t size)
{
	struct termios off;
	bool by_call;

	tcflow(slave, TCOON);
	by_call = can_write(slave);
	if (!by_call && !tcgetattr(slave, &off)) {
		off.c_iflag &= ~IXON;
		tcsetattr(slave, TCSANOW, &off);
	}
	put(slave, data, size);
	tcsetattr(slave, TCSANOW, had);
	if (by_call)
		tcflow(slave, TCOOFF);
	else
		put(master, (const char *)&had->c_cc[VSTOP], 1);
}

static size_t take_out_and_put_back(int fd, bool is_master, int other, const struct termios *had, char *data)
{
	size_t size;

	if (!is_master) {
		size = has_lines(had) ? take_lines(fd, other, had, data) : take_bytes(fd, data);
		put(other, data, size);
		await(fd, had, data, size);
		return size;
	}
	size = take_bytes(fd, data);
	if (can_write(other))
		put(other, data, size);
	else
		put_into_stopped(other, fd, had, data, size);
	return size;
}

static size_t look_into(int fd, bool is_master, int other, char *data)
{
	int slave = is_master ? other : fd, master = is_master ? fd : other;
	int flags = fcntl(fd, F_GETFL), others = fcntl(other, F_GETFL), packets = 0, none = 0;
	struct termios had;
	size_t size = 0;

	if (flags < 0 || others < 0 || !switch_treatment_off(slave, &had))
		return 0;
	if (!ioctl(master, TIOCGPKT, &packets) && packets)
		ioctl(master, TIOCPKT, &none);
	if (!fcntl(fd, F_SETFL, flags | O_NONBLOCK) && !fcntl(other, F_SETFL, others | O_NONBLOCK))
		size = take_out_and_put_back(fd, is_master, other, &had, data);
	fcntl(other, F_SETFL, others);
	fcntl(fd, F_SETFL, flags);
	tcsetattr(slave, TCSANOW, &had);
	if (packets)
		ioctl(master, TIOCPKT, &packets);
	return size;
}

/* Behind so much the kernel may keep as much again, which need not fit in when it is put back. */
static bool is_full(int fd)
{
	int there = 0;

	return !ioctl(fd, FIONREAD, &there) && there >= FULL;
}

static ssize_t look(int fd, bool is_master, unsigned int number, void *data, size_t size)
{
	static char found[MOST];
	int other = anything_in(fd) ? find_end(!is_master, number) : -1;
	bool full = other >= 0 && is_full(fd);
	size_t length = other < 0 || full ? 0 : look_into(fd, is_master, other, found);

	dumping = true;
	emptied = -1;
	errno = full || length >= size ? ENOBUFS : EAGAIN;
	if (!length || length >= size)
		return -1;
	emptied = fd;
	memcpy(data, found, length);
	return length;
}

ssize_t read(int fd, void *data, size_t size)
{
	unsigned int number;
	bool is_master;

	if (fd == emptied) {
		emptied = -1;
		errno = EAGAIN;
		return -1;
	}
	if (size == ASKED && is_end(fd, &is_master, &number))
		return look(fd, is_master, number, data, size);
	return syscall(SYS_read, fd, data, size);
}

static void restore(int fd, bool master, const char *data, size_t size)
{
	int flags = fcntl(fd, F_GETFL), slave = master ? ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY) : fd;
	struct termios had;
	bool off = slave >= 0 && switch_treatment_off(slave, &had);

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	put(fd, data, size);
	if (off && master)
		await(slave, &had, data, size);
	fcntl(fd, F_SETFL, flags);
	if (off)
		tcsetattr(slave, TCSANOW, &had);
	if (master && slave >= 0)
		close(slave);
}

ssize_t write(int fd, const void *data, size_t size)
{
	unsigned int number;
	bool master;

	if (is_end(fd, &master, &number)) {
		if (!dumping)
			restore(fd, master, data, size);
		return size; /* in a dump it is there already */
	}
	return syscall(SYS_write, fd, data, size);
}
