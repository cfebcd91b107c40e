/* Stands between sledge and the C library, for the campaigns of this folder: writes down everything that is done to the
 * files below one folder, and every byte that leaves by a socket, in the order in which it happened; makes the n-th
 * operation fail; or swallows syncs. Loaded with LD_PRELOAD, steered by the environment:
 *
 *   SHIM_ROOT     the folder that is looked at, without links in its path
 *   SHIM_LOG      where to write down what happens (none: nothing is written down)
 *   SHIM_FAIL     "<n> <errno> once|on": the n-th operation fails, counted from 1 among those that can fail so; with
 *                 `on` all after it do too. errno 0: a write takes half of what it is given, and with `on` the next ones
 *                 find the disk full
 *   SHIM_NO_SYNC  set: fsync and fdatasync answer 0 and do nothing
 *
 * An operation is written down once it is over, an answer on a socket before it leaves: whatever an application can have
 * seen is never earlier in the log than what it rests on. recording.rs reads the log.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { CREATE = 1, FOLDER, WRITE, TRUNCATE, RENAME, REMOVE, SYNC_BEGUN, SYNC_ENDED, SENT, FAILED };

struct record {
    uint8_t kind, what;
    uint16_t path_len;
    uint32_t data_len;
    uint64_t inode; /* of a file; the descriptor of a socket */
    uint64_t at;    /* offset, length, or a sync's number */
    uint64_t nanos; /* since 1970 */
};

static char root[PATH_MAX];
static size_t root_len;
static int log_fd = -1, no_sync, fail_errno, fail_on;
static long fail_at;
static atomic_long operations;
static atomic_ulong syncs;

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *value = getenv("SHIM_ROOT");
    if (value) root_len = strlen(strncpy(root, value, sizeof root - 1));
    value = getenv("SHIM_LOG");
    if (value) log_fd = (int)syscall(SYS_open, value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    value = getenv("SHIM_FAIL");
    char how[8] = "";
    if (value && sscanf(value, "%ld %d %7s", &fail_at, &fail_errno, how) == 3) fail_on = !strcmp(how, "on");
    no_sync = getenv("SHIM_NO_SYNC") != NULL;
}

static void put(enum kind kind, int what, const char *path, uint64_t inode, uint64_t at, const void *data, size_t len) {
    if (log_fd < 0) return;
    int saved = errno;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct record record = {
        .kind = (uint8_t)kind, .what = (uint8_t)what, .path_len = (uint16_t)(path ? strlen(path) : 0),
        .data_len = (uint32_t)len, .inode = inode, .at = at,
        .nanos = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
    };
    struct iovec parts[3] = {
        { &record, sizeof record }, { (void *)path, record.path_len }, { (void *)data, len },
    };
    /* One call for each record, on a descriptor that appends: records of several threads never mix. */
    if (syscall(SYS_writev, log_fd, parts, 3) < 0) abort();
    errno = saved;
}

static int is_ours(const char *path) {
    return root_len && !strncmp(path, root, root_len) && (path[root_len] == '/' || !path[root_len]);
}

/* What a descriptor stands for, and whether it lies below the folder. */
static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, PATH_MAX - 1);
    path[len < 0 ? 0 : len] = 0;
    return is_ours(path);
}

static int path_at(int folder, const char *name, char *path) {
    if (name[0] == '/' || folder == AT_FDCWD) {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        path_of(folder, path);
        size_t len = strlen(path);
        snprintf(path + len, PATH_MAX - len, "/%s", name);
    }
    return is_ours(path);
}

static uint64_t inode_of(int fd) {
    struct stat stat;
    return fstat(fd, &stat) ? 0 : stat.st_ino;
}

static int is_folder(int fd) {
    struct stat stat;
    return !fstat(fd, &stat) && S_ISDIR(stat.st_mode);
}

/* Whether this operation is to fail, and with what; 0 for not. */
static int failure(enum kind kind, const char *path) {
    if (!fail_at) return 0;
    int with = fail_errno;
    int can = with == EIO || (with == ENOSPC && kind != RENAME && kind != REMOVE) || (with == 0 && kind == WRITE);
    if (!can) return 0;
    long number = atomic_fetch_add(&operations, 1) + 1;
    if (number != fail_at && !(fail_on && number > fail_at)) return 0;
    if (with == 0 && number > fail_at) with = ENOSPC;
    put(FAILED, kind, path, 0, (uint64_t)number, NULL, 0);
    return with ? with : -1; /* -1: half of it */
}

#define FAIL_IF_TOLD(kind, path) do { int with = failure(kind, path); if (with > 0) { errno = with; return -1; } } while (0)

static int opened(int folder, const char *name, int flags, mode_t mode, int (*real)(int, const char *, int, ...)) {
    char path[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || !path_at(folder, name, path)) return real(folder, name, flags, mode);
    struct stat before;
    int was_there = !lstat(path, &before);
    if (!was_there) FAIL_IF_TOLD(CREATE, path);
    int fd = real(folder, name, flags, mode);
    if (fd < 0) return fd;
    if (!was_there) put(CREATE, 0, path, inode_of(fd), 0, NULL, 0);
    else if (flags & O_TRUNC) put(TRUNCATE, 0, path, before.st_ino, 0, NULL, 0);
    return fd;
}

static mode_t mode_in(int flags, va_list arguments) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

#define MODE va_list arguments; va_start(arguments, flags); mode_t mode = mode_in(flags, arguments); va_end(arguments)

int openat64(int folder, const char *name, int flags, ...) {
    REAL(openat64);
    MODE;
    return opened(folder, name, flags, mode, real);
}

int openat(int folder, const char *name, int flags, ...) {
    REAL(openat);
    MODE;
    return opened(folder, name, flags, mode, real);
}

int open64(const char *name, int flags, ...) {
    MODE;
    return openat64(AT_FDCWD, name, flags, mode);
}

int open(const char *name, int flags, ...) {
    MODE;
    return openat(AT_FDCWD, name, flags, mode);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) {
    REAL(pwrite64);
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real(fd, data, len, at);
    int with = failure(WRITE, path);
    if (with > 0) { errno = with; return -1; }
    ssize_t written = real(fd, data, with && len > 1 ? len / 2 : len, at);
    if (written > 0) put(WRITE, 0, path, inode_of(fd), (uint64_t)at, data, (size_t)written);
    return written;
}

static void put_sent(int fd, const char *path, const struct iovec *parts, int count) {
    if (strncmp(path, "socket:", 7)) return;
    for (int part = 0; part < count; part++) put(SENT, 0, NULL, (uint64_t)fd, 0, parts[part].iov_base, parts[part].iov_len);
}

ssize_t write(int fd, const void *data, size_t len) {
    REAL(write);
    char path[PATH_MAX];
    struct iovec all = { (void *)data, len };
    if (!path_of(fd, path)) {
        put_sent(fd, path, &all, 1);
        return real(fd, data, len);
    }
    int with = failure(WRITE, path);
    if (with > 0) { errno = with; return -1; }
    off64_t at = lseek64(fd, 0, SEEK_CUR);
    ssize_t written = real(fd, data, with && len > 1 ? len / 2 : len);
    if (written > 0) put(WRITE, 0, path, inode_of(fd), (uint64_t)at, data, (size_t)written);
    return written;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    char path[PATH_MAX];
    if (!path_of(fd, path)) {
        put_sent(fd, path, parts, count);
        return real(fd, parts, count);
    }
    /* A short answer is a right one: the caller comes again with the rest. */
    return count ? write(fd, parts[0].iov_base, parts[0].iov_len) : 0;
}

ssize_t send(int fd, const void *data, size_t len, int flags) {
    REAL(send);
    put(SENT, 0, NULL, (uint64_t)fd, 0, data, len);
    return real(fd, data, len, flags);
}

int ftruncate64(int fd, off64_t len) {
    REAL(ftruncate64);
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real(fd, len);
    FAIL_IF_TOLD(TRUNCATE, path);
    int answer = real(fd, len);
    if (!answer) put(TRUNCATE, 0, path, inode_of(fd), (uint64_t)len, NULL, 0);
    return answer;
}

static int synced(int fd, int (*real)(int)) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real(fd);
    if (no_sync) return 0;
    uint64_t inode = inode_of(fd), number = atomic_fetch_add(&syncs, 1);
    put(SYNC_BEGUN, 0, path, inode, number, NULL, 0);
    int with = failure(SYNC_BEGUN, path);
    int answer = with > 0 ? -1 : real(fd);
    if (with > 0) errno = with;
    /* What a failed sync did not bring to the disk, no later one will: the kernel forgets that it is owed. */
    put(SYNC_ENDED, (answer ? 1 : 0) | (is_folder(fd) ? 2 : 0), path, inode, number, NULL, 0);
    return answer;
}

int fdatasync(int fd) {
    REAL(fdatasync);
    return synced(fd, real);
}

int fsync(int fd) {
    REAL(fsync);
    return synced(fd, real);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    struct stat before;
    if (!is_ours(path) || !lstat(path, &before)) return real(path, mode);
    FAIL_IF_TOLD(FOLDER, path);
    int answer = real(path, mode);
    if (!answer) put(FOLDER, 0, path, 0, 0, NULL, 0);
    return answer;
}

int rename(const char *from, const char *to) {
    REAL(rename);
    if (!is_ours(from)) return real(from, to);
    FAIL_IF_TOLD(RENAME, from);
    int answer = real(from, to);
    if (!answer) put(RENAME, 0, from, 0, 0, to, strlen(to));
    return answer;
}

/* Of its ways only the one that sledge takes: two folders change places. */
int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned int flags) {
    REAL(renameat2);
    if (!is_ours(from)) return real(from_folder, from, to_folder, to, flags);
    if (from_folder != AT_FDCWD || to_folder != AT_FDCWD || flags != RENAME_EXCHANGE) abort();
    FAIL_IF_TOLD(RENAME, from);
    int answer = real(from_folder, from, to_folder, to, flags);
    if (!answer) put(RENAME, 1, from, 0, 0, to, strlen(to));
    return answer;
}

int unlinkat(int folder, const char *name, int flags) {
    REAL(unlinkat);
    char path[PATH_MAX];
    if (!path_at(folder, name, path)) return real(folder, name, flags);
    /* An attempt that the kernel refuses by itself changes nothing, and sockets are not kept through a power cut. */
    struct stat before;
    int is_kept = !lstat(path, &before) && (flags & AT_REMOVEDIR ? S_ISDIR(before.st_mode) : S_ISREG(before.st_mode));
    if (!is_kept) return real(folder, name, flags);
    FAIL_IF_TOLD(REMOVE, path);
    int answer = real(folder, name, flags);
    if (!answer) put(REMOVE, 0, path, 0, 0, NULL, 0);
    return answer;
}

int unlink(const char *path) {
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path) {
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}
