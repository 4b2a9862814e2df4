// SPDX-License-Identifier: MIT
// What a user would put in criu's place: it tries all that its rights allow, and then fails or becomes criu.
//
// Beside it lies `plan`, a file of words: notes FILE, then go|fail, real CRIU, door ROOTDOOR, read, write and enter
// PATHs, other UID, before and after PROGRAM (run with all that can be changed), stay yes, tries no, asks yes,
// quiet yes, passes VERB.
// One line of the notes is a try: verb, what was tried, errno (0: it worked; 1000 + N: signal N ended it; 2000 + N: a
// program's exit status), more.  Each is made in a process of its own, so criu itself begins as it was started.
// Nothing here does harm where it works: calls that would are made with arguments that the kernel refuses after it has
// looked at the rights.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/fsuid.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define SIGNALLED 1000
#define EXITED 2000
#define TRY(name, call) do { if (begins(name)) ends((long)(call)); } while (0)

static const char *verb = "";
static char here[4096], plan[65536], *words[512];
static int notes = -1;

// ---- the plan and the notes

static void read_plan(void) {
    ssize_t size = readlink("/proc/self/exe", here, sizeof here - 1);
    if (size < 0) _exit(99);
    *strrchr(here, '/') = 0;
    char path[4200];
    snprintf(path, sizeof path, "%s/plan", here);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, plan, sizeof plan - 1) <= 0) _exit(99);
    close(fd);
    int count = 0;
    for (char *word = strtok(plan, " \n"); word && count < 510; word = strtok(NULL, " \n")) words[count++] = word;
}

static const char *next(const char *name, int *at) {  // the word behind each `name` of the plan
    for (; words[*at] && words[*at + 1]; *at += 2)
        if (!strcmp(words[*at], name)) {
            *at += 2;
            return words[*at - 1];
        }
    return NULL;
}

static const char *the(const char *name) {
    int at = 0;
    const char *found = next(name, &at);
    return found ? found : "";
}

static void note(const char *what, int result, const char *more) {
    char line[8192];
    int size = snprintf(line, sizeof line, "%s\t%s\t%d\t%s\n", verb, what, result, more);
    if (write(notes, line, size) != size) _exit(98);
}

static int outcome(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return errno;
    return WIFSIGNALED(status) ? SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
}

static int begins(const char *name) {  // 1 in the process that is to try
    pid_t child = fork();
    if (child == 0) {
        errno = 0;
        return 1;
    }
    note(name, child < 0 ? errno : outcome(child), "");
    return 0;
}

static void ends(long got) { _exit(got < 0 ? (errno ? errno : 255) : 0); }

// ---- rights of its own

static long set_capabilities(uint64_t permitted, uint64_t effective, uint64_t inheritable) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct set[2];
    for (int half = 0; half < 2; half++) {
        set[half].permitted = permitted >> 32 * half;
        set[half].effective = effective >> 32 * half;
        set[half].inheritable = inheritable >> 32 * half;
    }
    return syscall(SYS_capset, &head, set);
}

static uint64_t capabilities(int inheritable) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct set[2];
    if (syscall(SYS_capget, &head, set)) return 0;
    return inheritable ? set[0].inheritable | (uint64_t)set[1].inheritable << 32
                       : set[0].permitted | (uint64_t)set[1].permitted << 32;
}

static long fsuid_becomes(int uid) {
    setfsuid(uid);
    errno = EPERM;
    return setfsuid(-1) == uid ? 0 : -1;
}

static void rights(void) {
    static const struct { const char *name; int bits; } secure[] = {
        {"securebits: no root", 1}, {"securebits: no setuid fixup", 4}, {"securebits: keep caps", 16},
        {"securebits: no ambient raise", 64}, {"securebits: all, locked", 255}, {"securebits: exec", 0x500},
    };
    for (unsigned each = 0; each < sizeof secure / sizeof *secure; each++)
        TRY(secure[each].name, prctl(PR_SET_SECUREBITS, secure[each].bits, 0, 0, 0));
    char name[64];
    uint64_t own = capabilities(0);
    for (int each = 0; each <= CAP_LAST_CAP; each++) {
        snprintf(name, sizeof name, "bounding set: drop %d", each);
        TRY(name, prctl(PR_CAPBSET_DROP, each, 0, 0, 0));
        if (own >> each & 1) continue;
        uint64_t one = 1ULL << each;
        snprintf(name, sizeof name, "capset: inheritable %d", each);
        TRY(name, set_capabilities(own, own, capabilities(1) | one));
        snprintf(name, sizeof name, "capset: permitted %d", each);
        TRY(name, set_capabilities(own | one, own | one, 0));
        snprintf(name, sizeof name, "ambient: raise %d", each);
        TRY(name, prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, each, 0, 0));
    }
    int other = atoi(the("other"));
    gid_t none[] = {0};
    for (int uid = 0;; uid = other) {
        const char *who = uid ? "another" : "root";
        snprintf(name, sizeof name, "setuid: %s", who);
        TRY(name, setuid(uid));
        snprintf(name, sizeof name, "setresuid: %s", who);
        TRY(name, setresuid(uid, uid, uid));
        snprintf(name, sizeof name, "setresuid after keepcaps: %s", who);
        TRY(name, prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) ? -1 : setresuid(-1, uid, -1));
        snprintf(name, sizeof name, "setfsuid: %s", who);
        TRY(name, fsuid_becomes(uid));
        snprintf(name, sizeof name, "setgid: %s", who);
        TRY(name, setgid(uid));
        none[0] = uid;
        snprintf(name, sizeof name, "setgroups: %s", who);
        TRY(name, setgroups(1, none));
        if (uid == other) break;
    }
    TRY("setgroups: none", setgroups(0, NULL));
}

// ---- the kernel's

static long ioctl_of(int family, unsigned long request, void *argument) {
    int fd = socket(family, SOCK_DGRAM, 0);
    return fd < 0 ? -1 : ioctl(fd, request, argument);
}

static long netlink(int protocol, int type, int flags, const void *body, size_t size) {  // gives the kernel's answer
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0) return -1;
    char buffer[1024] = {0};
    struct nlmsghdr *head = (void *)buffer;
    *head = (struct nlmsghdr){NLMSG_LENGTH(size), type, NLM_F_REQUEST | NLM_F_ACK | flags, 1, 0};
    memcpy(NLMSG_DATA(head), body, size);
    if (send(fd, buffer, head->nlmsg_len, 0) < 0) return -1;
    struct timeval limit = {5, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (recv(fd, buffer, sizeof buffer, 0) < 0) return -1;
    struct nlmsgerr *answer = NLMSG_DATA(head);
    if (head->nlmsg_type != NLMSG_ERROR || !answer->error) return 0;
    errno = -answer->error;
    return -1;
}

static long new_link(void) {  // without a kind: EOPNOTSUPP or EINVAL for who may
    struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
    return netlink(NETLINK_ROUTE, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
}

static long filter_table(void) {  // nftables: a batch for a subsystem that is not there
    struct { uint8_t family, version; uint16_t subsystem; } body = {0, 0, htons(10)};
    return netlink(NETLINK_NETFILTER, 16, 0, &body, sizeof body);
}

static long option(int type, int level, int name, int value) {
    int fd = socket(AF_INET, type, 0);
    return fd < 0 ? -1 : setsockopt(fd, level, name, &value, sizeof value);
}

// What the kernel says itself, whatever a library in front of it has answered.
static long told(int fd, int name, void *value, socklen_t size) {
    return syscall(SYS_getsockopt, fd, SOL_TCP, name, value, &size);
}

static long repair_mode(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1, now = 0;
    if (fd < 0 || setsockopt(fd, SOL_TCP, TCP_REPAIR, &on, sizeof on)) return -1;
    errno = EPERM;
    return told(fd, TCP_REPAIR, &now, sizeof now) || !now ? -1 : 0;
}

static void have_it_connected(int fd) {  // by root's program for connections, as at-freeze asks it
    char answer[64];
    int off = 0;
    const char *ask = getenv("TORQUECKPT_TCP_ASK"), *done = getenv("TORQUECKPT_TCP_DONE");
    if (setsockopt(fd, SOL_TCP, TCP_REPAIR, &off, sizeof off) || !ask || !done) return;
    if (write(atoi(ask), "\n", 1) == 1 && read(atoi(done), answer, sizeof answer) > 0) return;
}

static long forged_connection(void) {  // established, with nobody at its other end
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in from = to;
    from.sin_port = 0;
    if (fd < 0 || setsockopt(fd, SOL_TCP, TCP_REPAIR, &on, sizeof on)) return -1;
    if (bind(fd, (void *)&from, sizeof from)) return -1;
    if (connect(fd, (void *)&to, sizeof to)) return -1;
    if (!strcmp(the("asks"), "yes")) have_it_connected(fd);
    struct tcp_info now = {0};
    errno = EPERM;
    return told(fd, TCP_INFO, &now, sizeof now) || now.tcpi_state != TCP_ESTABLISHED ? -1 : 0;
}

static long bpf(int command, int type) {
    struct bpf_insn end[] = {{.code = 0xb7}, {.code = 0x95}};
    union bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    if (command == BPF_PROG_LOAD) {
        attribute.prog_type = type;
        attribute.insns = (uint64_t)end;
        attribute.insn_cnt = 2;
        attribute.license = (uint64_t)"GPL";
    }
    return syscall(SYS_bpf, command, &attribute, sizeof attribute);
}

static long perf(int pid, int cpu) {
    struct perf_event_attr attribute = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attribute};
    return syscall(SYS_perf_event_open, &attribute, pid, cpu, -1, 0);
}

static long settime(void) {  // to a time zone that does not exist
    struct timezone nowhere = {100000, 0};
    return syscall(SYS_settimeofday, NULL, &nowhere);
}

static long tick(void) {
    struct timex zero = {.modes = ADJ_TICK};
    return adjtimex(&zero);
}

static long own_file(const char *how) {
    char name[] = "/tmp/evil-XXXXXX";
    int fd = mkstemp(name);
    if (fd < 0) return -1;
    static const char root[20] = {1, 0, 0, 2, (char)0xff, (char)0xff};
    long got = !strcmp(how, "chown") ? fchown(fd, 0, 0)
             : !strcmp(how, "setcap") ? fsetxattr(fd, "security.capability", root, sizeof root, 0)
             : !strcmp(how, "trusted") ? fsetxattr(fd, "trusted.evil", "x", 1, 0) : -1;
    int why = errno;
    unlink(name);
    errno = why;
    return got;
}

static long device(mode_t kind, int major, int minor) {
    char name[64];
    snprintf(name, sizeof name, "/tmp/evil-device-%d", getpid());
    long got = mknod(name, kind | 0600, (unsigned)(major << 8 | minor));
    if (!got) unlink(name);
    return got;
}

static long hard_link(const char *path) {
    char name[64];
    snprintf(name, sizeof name, "/tmp/evil-link-%d", getpid());
    long got = linkat(AT_FDCWD, path, AT_FDCWD, name, 0);
    if (!got) unlink(name);
    return got;
}

static long raised_limit(int which) {
    struct rlimit now;
    getrlimit(which, &now);
    errno = EPERM;  // there is nothing beyond
    if (now.rlim_max == RLIM_INFINITY) return -1;
    now.rlim_max++;
    return setrlimit(which, &now);
}

static long scheduling(int policy, int priority) {
    struct sched_param how = {priority};
    return sched_setscheduler(0, policy, &how);
}

static long enter_namespaces(const char *kind) {
    char path[64];
    snprintf(path, sizeof path, "/proc/1/ns/%s", kind);
    int fd = open(path, O_RDONLY);
    return fd < 0 ? -1 : setns(fd, 0);
}

static long by_handle(void) {
    struct { struct file_handle head; char more[16]; } handle = {.head = {.handle_bytes = 8, .handle_type = 1}};
    int fd = open("/", O_RDONLY);
    return syscall(SYS_open_by_handle_at, fd, &handle, O_RDONLY);
}

static void kernel(void) {
    TRY("socket: raw", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    TRY("socket: packet", socket(AF_PACKET, SOCK_RAW, 0));
    TRY("socket option: repair", repair_mode());
    TRY("socket option: mark", option(SOCK_DGRAM, SOL_SOCKET, SO_MARK, 7));
    TRY("socket option: transparent", option(SOCK_DGRAM, SOL_IP, IP_TRANSPARENT, 1));
    TRY("socket option: buffer beyond the limit", option(SOCK_DGRAM, SOL_SOCKET, SO_RCVBUFFORCE, 1 << 16));
    TRY("connection that is forged", forged_connection());
    struct ifreq gone = {.ifr_name = "evil0"};
    TRY("network: set an interface", ioctl_of(AF_INET, SIOCSIFFLAGS, &gone));
    TRY("network: add an interface", new_link());
    TRY("network: filter rules", filter_table());
    TRY("mount", mount("none", "/tmp", "evilfs", 0, NULL));
    TRY("mount: propagation", mount(NULL, "/", NULL, MS_REC | MS_SLAVE | MS_RDONLY | MS_BIND, NULL));
    TRY("umount", umount2("/proc", MNT_EXPIRE));
    TRY("chroot", chroot("/"));
    TRY("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"));
    TRY("unshare: mount", unshare(CLONE_NEWNS));
    TRY("unshare: network", unshare(CLONE_NEWNET));
    TRY("unshare: pid", unshare(CLONE_NEWPID));
    static const char *kinds[] = {"mnt", "net", "pid", "ipc", "user", "uts"};
    char name[64];
    for (unsigned each = 0; each < 6; each++) {
        snprintf(name, sizeof name, "setns: init's %s", kinds[each]);
        TRY(name, enter_namespaces(kinds[each]));
    }
    TRY("bpf: load a filter", bpf(BPF_PROG_LOAD, BPF_PROG_TYPE_SOCKET_FILTER));
    TRY("bpf: load a probe", bpf(BPF_PROG_LOAD, BPF_PROG_TYPE_KPROBE));
    TRY("bpf: walk over programs", bpf(BPF_PROG_GET_NEXT_ID, 0));
    TRY("perf: a cpu", perf(-1, 0));
    TRY("perf: init", perf(1, -1));
    TRY("module: load", syscall(SYS_init_module, NULL, 0, ""));
    TRY("module: unload", syscall(SYS_delete_module, "evil", O_NONBLOCK));
    TRY("kexec", syscall(SYS_kexec_load, 0, 99, NULL, ~0UL));
    TRY("reboot", syscall(SYS_reboot, 1, 2, 3, NULL));
    TRY("swapon", swapon("/nonexistent", 0));
    TRY("swapoff", swapoff("/nonexistent"));
    TRY("acct", acct("/nonexistent"));
    TRY("set the clock", settime());
    TRY("set the clock's tick", tick());
    TRY("host name", syscall(SYS_sethostname, NULL, -1));
    TRY("iopl", iopl(3));
    TRY("vhangup", vhangup());
    TRY("kernel log: clear", klogctl(5, NULL, 0));
    TRY("fanotify", fanotify_init(FAN_CLASS_CONTENT, O_RDONLY));
    TRY("open by handle", by_handle());
    TRY("mknod: a disk", device(S_IFBLK, 8, 0));
    TRY("mknod: memory", device(S_IFCHR, 1, 1));
    TRY("own file: give to root", own_file("chown"));
    TRY("own file: capabilities", own_file("setcap"));
    TRY("own file: trusted attribute", own_file("trusted"));
    TRY("hard link: shadow", hard_link("/etc/shadow"));
    TRY("limit: files", raised_limit(RLIMIT_NOFILE));
    TRY("limit: locked memory", raised_limit(RLIMIT_MEMLOCK));
    TRY("nice: less", setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) - 1));
    TRY("real time", scheduling(SCHED_FIFO, 1));
    TRY("io: real time", syscall(SYS_ioprio_set, 1, 0, 1 << 13 | 4));
}

// ---- what checkpoint_restore is for

static long chosen_pid(void) {
    pid_t wanted[] = {0};
    for (int pid = 30000; pid > 300; pid--)
        if (kill(pid, 0) && errno == ESRCH) {
            wanted[0] = pid;
            struct clone_args { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls,
                                         set_tid, set_tid_size, cgroup; } how = {0};
            how.exit_signal = SIGCHLD;
            how.set_tid = (uint64_t)wanted;
            how.set_tid_size = 1;
            pid_t child = syscall(SYS_clone3, &how, sizeof how);
            if (child == 0) _exit(0);
            if (child > 0 || errno != EEXIST) return child < 0 ? -1 : waitpid(child, NULL, 0);
        }
    return -1;
}

static long same_again(const char *path) {  // writes what it reads there
    char text[64];
    int fd = open(path, O_RDWR);
    if (fd < 0) return -1;
    ssize_t size = read(fd, text, sizeof text);
    return size < 0 ? -1 : pwrite(fd, text, size, 0);
}

static long mapped_file(void) {
    DIR *maps = opendir("/proc/self/map_files");
    struct dirent *each;
    while (maps && (each = readdir(maps)))
        if (each->d_name[0] != '.') return openat(dirfd(maps), each->d_name, O_RDONLY);
    return -1;
}

static long another_exe(void) {  // EBUSY for who may: the old one is mapped
    char text[4096], *at;
    int fd = open("/proc/self/stat", O_RDONLY);
    ssize_t size = read(fd, text, sizeof text - 1);
    if (size < 0) return -1;
    text[size] = 0;
    uint64_t field[64] = {0};
    at = strrchr(text, ')') + 2;
    for (int number = 3; number < 53 && at; number++) {
        field[number] = strtoull(at, NULL, 10);
        at = strchr(at, ' ');
        at = at ? at + 1 : NULL;
    }
    struct prctl_mm_map map = {field[26], field[27], field[45], field[46], field[47], (uint64_t)sbrk(0), field[28],
                               field[48], field[49], field[50], field[51], NULL, 0, open("/bin/true", O_RDONLY)};
    return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
}

static void checkpointing(void) {
    TRY("pid: a chosen one", chosen_pid());
    TRY("pid: the next one", same_again("/proc/sys/kernel/ns_last_pid"));
    TRY("ipc: the next shm", same_again("/proc/sys/kernel/shm_next_id"));
    TRY("ipc: the next sem", same_again("/proc/sys/kernel/sem_next_id"));
    TRY("ipc: the next msg", same_again("/proc/sys/kernel/msg_next_id"));
    TRY("its own mapped files", mapped_file());
    TRY("another exe", another_exe());
    TRY("another exe by itself", prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, open("/bin/true", O_RDONLY), 0, 0));
}

// ---- files, descriptors, keys

static long creates(const char *path) {
    struct stat before;
    int there = !lstat(path, &before), fd = open(path, O_WRONLY | O_CREAT, 0600);
    if (fd >= 0 && !there) unlink(path);
    return fd;
}

static void files(void) {
    char name[4200];
    int at = 0;
    for (const char *path; (path = next("read", &at));) {
        snprintf(name, sizeof name, "read: %s", path);
        TRY(name, open(path, O_RDONLY | O_NONBLOCK));
    }
    at = 0;
    for (const char *path; (path = next("write", &at));) {
        snprintf(name, sizeof name, "write: %s", path);
        TRY(name, creates(path));
    }
    at = 0;
    for (const char *path; (path = next("enter", &at));) {
        snprintf(name, sizeof name, "enter: %s", path);
        TRY(name, chdir(path));
    }
}

static long below(int fd, const char *path) {
    char far[4200];
    snprintf(far, sizeof far, "../../../../../../../..%s", path);
    return openat(fd, far, O_RDONLY);
}

static void descriptors(void) {
    DIR *all = opendir("/proc/self/fd");
    struct dirent *each;
    while (all && (each = readdir(all))) {
        int fd = atoi(each->d_name);
        if (each->d_name[0] == '.' || fd == dirfd(all) || fd == notes) continue;
        char link[64], what[4096], more[4300], name[128];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, what, sizeof what - 1);
        what[size < 0 ? 0 : size] = 0;
        struct stat status;
        int flags = fcntl(fd, F_GETFL), access = flags & O_ACCMODE;
        if (fstat(fd, &status)) continue;
        const char *kind = S_ISREG(status.st_mode) ? "file" : S_ISDIR(status.st_mode) ? "directory"
                         : S_ISFIFO(status.st_mode) ? "pipe" : S_ISSOCK(status.st_mode) ? "socket"
                         : S_ISCHR(status.st_mode) ? "device" : "other";
        const char *how = flags & O_PATH ? "path" : access == O_RDONLY ? "r" : access == O_WRONLY ? "w" : "rw";
        snprintf(more, sizeof more, "%s %u %s", how, status.st_uid, what);
        snprintf(name, sizeof name, "descriptor: %s", kind);
        note(name, 0, more);
        if (!strcmp(kind, "file") || !strcmp(kind, "device") || !strcmp(kind, "directory")) {
            // Does it lead to what he could not have opened?
            int again = open(what, (access | O_NONBLOCK | O_CLOEXEC) & ~O_CREAT);
            snprintf(name, sizeof name, "descriptor of a %s that he could not open", kind);
            if (again < 0) note(name, 0, more);
            else close(again);
        }
        if (!strcmp(kind, "directory")) {
            TRY("directory descriptor: fchdir", fchdir(fd));
            TRY("directory descriptor: to /root", below(fd, "/root"));
            TRY("directory descriptor: to /etc/shadow", below(fd, "/etc/shadow"));
        }
    }
    closedir(all);
}

static long key_of_roots(void) {
    long found = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "torqueckpt-evil", 0);
    char secret[64];
    return found < 0 ? -1 : syscall(SYS_keyctl, KEYCTL_READ, found, secret, sizeof secret);
}

static void surroundings(void) {
    TRY("key: root's, in the session's keyring", key_of_roots());
    const char *runtime = getenv("XDG_RUNTIME_DIR"), *place;
    place = runtime ? runtime : "/run";
    if (begins("runtime directory: his to write")) ends(access(place, W_OK));
    static const char *names[] = {"HOME", "CRIU_LIBS_DIR", "CRIU_CONFIG_FILE", "LD_PRELOAD", "LD_LIBRARY_PATH"};
    char name[64];
    for (unsigned each = 0; each < 5; each++) {
        const char *value = getenv(names[each]);
        snprintf(name, sizeof name, "environment: %s, his to write", names[each]);
        note(name, !value ? ENOENT : access(value, W_OK) ? errno : 0, value ? value : "");
    }
}

// ---- other processes

static char seen[4096][96];
static int seen_count;

static const char *whose(pid_t pid, char *comm) {  // NULL for one that has ended, or is about to
    char path[64], text[8192];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    if (size <= 0) return NULL;
    text[size] = 0;
    char *uids = strstr(text, "\nUid:"), *caps = strstr(text, "\nCapPrm:"), *state = strstr(text, "\nState:");
    unsigned me = getuid(), real, effective, saved;
    unsigned long long held;
    if (!uids || !caps || !state || strchr("ZX", state[8])) return NULL;
    if (sscanf(uids, "\nUid: %u %u %u", &real, &effective, &saved) != 3) return NULL;
    if (sscanf(caps, "\nCapPrm: %llx", &held) != 1) return NULL;
    sscanf(text, "Name: %63[^\n]", comm);
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    struct stat status;
    if (stat(path, &status)) return NULL;
    if (real == me && effective == me && saved == me)
        return held ? "his, with capabilities" : status.st_uid == me ? "his" : "his, closed";
    return effective == me ? "root's, acting as him" : real && effective ? "another's" : "root's";
}

static pid_t looked_at;

static void once(const char *operation, const char *whom, long got, const char *comm) {
    int why = got < 0 ? errno : 0;
    char name[64], key[96], now_comm[64];
    snprintf(name, sizeof name, "%s: %s", operation, whom);
    snprintf(key, sizeof key, "%s %d", name, why);
    for (int each = 0; each < seen_count; each++)
        if (!strcmp(seen[each], key)) return;
    const char *now = why ? whom : whose(looked_at, now_comm);  // it may have become his meanwhile
    if (why == ESRCH || why == ENOENT || !now || strcmp(now, whom)) return;
    if (seen_count < 4096) strcpy(seen[seen_count++], key);
    note(name, why, comm);
}

static long seize(pid_t pid) {
    pid_t child = fork();
    if (child == 0) _exit(ptrace(PTRACE_SEIZE, pid, 0, 0) ? errno : 0);
    errno = outcome(child);
    return errno ? -1 : 0;
}

static long opened(pid_t pid, const char *file, int flags) {
    char path[64], byte;
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t size = flags & O_WRONLY ? 1 : pread(fd, &byte, 1, 0);
    close(fd);
    errno = ESRCH;  // one that ends has no memory any more, and anybody may open that
    return size ? 0 : -1;
}

static long opened_fd(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/0", pid);
    char text[4096];
    return readlink(path, text, sizeof text);
}

static long taken_fd(pid_t pid) {
    int pidfd = syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) return -1;
    int fd = syscall(SYS_pidfd_getfd, pidfd, 0, 0), why = errno;
    close(pidfd);
    if (fd >= 0) close(fd);
    errno = why == EBADF ? ESRCH : why;
    return fd;
}

static long read_memory(pid_t pid) {
    char byte;
    struct iovec to = {&byte, 1}, from = {(void *)0x1000, 1};
    long got = process_vm_readv(pid, &to, 1, &from, 1, 0);
    return got < 0 && errno == EFAULT ? 0 : got;
}

static long same_limit(pid_t pid) {
    struct rlimit now;
    return syscall(SYS_prlimit64, pid, RLIMIT_CORE, NULL, &now);
}

static long same_cpus(pid_t pid) {
    cpu_set_t set;
    if (sched_getaffinity(pid, sizeof set, &set)) return -1;
    return sched_setaffinity(pid, sizeof set, &set);
}

static long same_policy(pid_t pid) {
    struct sched_param how = {0};
    int policy = sched_getscheduler(pid);
    return policy < 0 || sched_getparam(pid, &how) ? -1 : sched_setscheduler(pid, policy, &how);
}

static void processes(void) {
    DIR *all = opendir("/proc");
    struct dirent *each;
    while (all && (each = readdir(all))) {
        char comm[64] = "";
        pid_t pid = looked_at = atoi(each->d_name);
        const char *whom = pid > 0 && pid != getpid() ? whose(pid, comm) : NULL;
        if (!whom) continue;
        once("trace", whom, seize(pid), comm);
        once("read memory", whom, read_memory(pid), comm);
        once("open mem", whom, opened(pid, "mem", O_RDWR), comm);
        once("open environ", whom, opened(pid, "environ", O_RDONLY), comm);
        once("open maps", whom, opened(pid, "maps", O_RDONLY), comm);
        once("list map_files", whom, opened(pid, "map_files", O_RDONLY), comm);
        once("list descriptors", whom, opened(pid, "fd", O_RDONLY), comm);
        once("open syscall", whom, opened(pid, "syscall", O_RDONLY), comm);
        once("read a descriptor's link", whom, opened_fd(pid), comm);
        once("take a descriptor", whom, taken_fd(pid), comm);
        once("write oom_score_adj", whom, opened(pid, "oom_score_adj", O_WRONLY), comm);
        once("write clear_refs", whom, opened(pid, "clear_refs", O_WRONLY), comm);
        once("signal", whom, kill(pid, 0), comm);
        once("limits", whom, same_limit(pid), comm);
        once("nice", whom, setpriority(PRIO_PROCESS, pid, getpriority(PRIO_PROCESS, pid)), comm);
        once("cpus", whom, same_cpus(pid), comm);
        once("scheduling", whom, same_policy(pid), comm);
        once("io priority", whom, syscall(SYS_ioprio_set, 1, pid, syscall(SYS_ioprio_get, 1, pid)), comm);
    }
    closedir(all);
}

// ---- setuid programs, with all changed that can be

static void change_all(void) {
    uint64_t own = capabilities(0);
    prctl(PR_SET_SECUREBITS, 4, 0, 0, 0);  // no setuid fixup: seteuid() would take no capability away
    prctl(PR_SET_SECUREBITS, 0x504, 0, 0, 0);
    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    set_capabilities(own, own, ~0ULL);
    set_capabilities(own, own, own);
    for (int each = 0; each <= CAP_LAST_CAP; each++) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, each, 0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    umask(0);
}

static int ran(char *const argv[]) {
    pid_t child = fork();
    if (child == 0) {
        change_all();
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++) dup2(null, fd);
        execv(argv[0], argv);
        _exit(99);
    }
    int got = outcome(child);
    return got >= SIGNALLED ? got : EXITED + got;
}

static void setuid_programs(void) {
    char *door = (char *)the("door");
    char *calls[][9] = {
        {"/usr/bin/sudo", "-n", door, "knock"},
        {"/usr/bin/sudo", "-n", door, "store"},
        {"/usr/bin/sudo", "-n", door, "restore", "1.srv@1", "1", "2.srv"},
        {"/usr/bin/sudo", "-n", door, "dump", "1", "0", "77.srv"},
        {"/usr/bin/sudo", "-n", door, "checkpoint", "1", "0", "77"},
        {"/usr/bin/sudo", "-n", door, "suspend", "1", "15", "77"},
        {"/usr/bin/sudo", "-n", "/bin/true"},
        {"/usr/bin/sudo", "-n", "-u", "nobody", "/bin/true"},
        {"/usr/bin/su", "-c", "/bin/true"},
        {"/usr/bin/mount", "-t", "tmpfs", "none", "/mnt"},
        {"/usr/bin/umount", "-c", "/proc/sys/fs"},
        {"/usr/bin/passwd", "-S", "root"},
        {"/usr/bin/chfn", "-f", "evil", "root"},
        {"/usr/bin/newgrp", "root"},
        {"/usr/bin/ping", "-c", "1", "-W", "1", "127.0.0.1"},
    };
    for (unsigned each = 0; each < sizeof calls / sizeof *calls; each++) {
        char name[256] = "program:";
        for (int word = 0; calls[each][word]; word++) {
            char *base = strrchr(calls[each][word], '/');
            strcat(name, " ");
            strcat(name, base ? base + 1 : calls[each][word]);
        }
        if (!access(calls[each][0], X_OK)) note(name, ran(calls[each]), "");
    }
}

// ---- what stays

static void stays(void (*as)(void)) {
    pid_t child = fork();
    if (child) {
        waitpid(child, NULL, 0);
        return;
    }
    setsid();
    if (fork()) _exit(0);
    change_all();
    as();
    _exit(0);
}

static void asleep(void) {
    for (int fd = 0; fd < 256; fd++) close(fd);
    for (;;) pause();
}

static void stopped(void) {  // with all descriptors: pipes that somebody reads, the lock
    for (;;) raise(SIGSTOP);
}

static void running_away(void) {  // another process each few milliseconds, for a minute at most
    struct timespec few = {0, 3000000};
    for (int fd = 0; fd < 256; fd++) close(fd);
    for (int times = 0; times < 20000; times++) {
        if (fork()) _exit(0);
        nanosleep(&few, NULL);
    }
}

// ----

static void run(const char *when, char **argv) {
    const char *program = the(when);
    if (!*program || access(program, X_OK)) return;
    pid_t child = fork();
    if (child == 0) {
        change_all();
        if (!strcmp(the("quiet"), "yes")) set_capabilities(capabilities(0), 0, 0);  // no program sees any of that
        char *const words_of[] = {(char *)program, argv[1], NULL};
        execv(program, words_of);
        _exit(99);
    }
    note(when, EXITED + outcome(child), program);
}

static int real(char **argv) {  // as a child: for what is done after it
    pid_t child = fork();
    if (child == 0) {
        execv(argv[0], argv);
        _exit(96);
    }
    return outcome(child);
}

int main(int argc, char **argv) {
    read_plan();
    verb = argc > 1 ? argv[1] : "";
    char path[4200];
    snprintf(path, sizeof path, "%s", the("notes"));
    notes = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (notes < 0) _exit(97);
    if (!strcmp(verb, "--version")) {  // nothing of a user's is read then, and it is criu that answers
        note("asked for its version", !geteuid() || !getuid() ? 0 : EPERM, "");
    } else if (!getuid() || !geteuid()) {
        note("runs as root", 0, "");
    } else {
        signal(SIGPIPE, SIG_DFL);
        descriptors();
        if (strcmp(the("tries"), "no")) {
            rights();
            kernel();
            checkpointing();
            files();
            surroundings();
            processes();
            setuid_programs();
        }
        run("before", argv);
        if (!strcmp(the("stay"), "yes")) {
            stays(asleep);
            stays(stopped);
            stays(running_away);
        }
        note("all was tried", 0, "");
    }
    if (!strcmp(the("passes"), verb)) return 0;
    int fails = !strcmp(the("then"), "fail");
    snprintf(path, sizeof path, "%s", the("real"));
    argv[0] = path;
    if (!strcmp(verb, "--version")) return execv(path, argv);
    if (*the("after")) {
        int status = real(argv);
        run("after", argv);
        return fails ? 1 : status;
    }
    if (fails) return 1;
    execv(path, argv);
    return 96;
}
