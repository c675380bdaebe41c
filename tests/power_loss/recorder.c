/* Notes, in one order over all threads and processes, everything that is done to the files below a directory; and lies
 * about it when it is told to. For LD_PRELOAD: SQLite's calls and Python's are seen alike.
 *
 *  (1) What is done and its note are one step under a lock that all recorded processes share: the order of the notes
 *      is the order of the deeds. Only syncing is outside of it: its note, made when it has returned, says how many
 *      events there were when it began, because what was written meanwhile may not be on the disk.
 *  (2) What is not understood (writing through a shared mapping, O_SYNC) ends the process: a gap in the record would
 *      make every judgement that rests on it worthless.
 *      SQLite's `-shm` files are left out: they are shared memory, and nobody expects one to survive.
 *  (3) A sync whose path is like one of the patterns of POWER_FORGET is not done and not noted: as if the code did not
 *      have it. So it is seen whether its absence is found.
 *
 * POWER_ROOT, the directory; POWER_TRACE, where the notes go; POWER_FORGET, patterns separated by colons. The program
 * says things of its own by `power_mark`, and has faults by `power_fault` (see below); both are found by dlsym.
 * Patterns are those of the shell, and an asterisk stands for slashes too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, TRUNCATE, ALLOCATE, SYNC, RENAME, LINK, UNLINK, MKDIR, RMDIR, MARK };
enum { FAIL = 0, SHORT, ROT };

struct note {
    uint32_t magic, kind;
    uint64_t file, offset, length, pid;
    uint32_t path_bytes, data_bytes;
};

struct shared {
    pthread_mutex_t lock;
    uint64_t events;
};

struct open_file {
    ino_t inode; /* 0: not ours */
    int directory;
    char *path;
};

struct fault {
    char operation[16], pattern[200];
    int mode, error, skip, times;
};

#define FILES_MAX 65536
#define FAULTS_MAX 32

static struct shared *shared;
static struct open_file files[FILES_MAX];
static struct fault faults[FAULTS_MAX];
static pthread_mutex_t faults_lock = PTHREAD_MUTEX_INITIALIZER;
static int faults_happened;
static char root[PATH_MAX];
static size_t root_bytes;
static int trace = -1;

static void give_up(const char *why)
{
    static const char before[] = "recorder: ";

    syscall(SYS_write, 2, before, sizeof before - 1);
    syscall(SYS_write, 2, why, strlen(why));
    syscall(SYS_write, 2, "\n", 1);
    abort();
}

__attribute__((constructor)) static void begin(void)
{
    const char *where = getenv("POWER_ROOT"), *to = getenv("POWER_TRACE");
    char control[PATH_MAX];
    struct stat found;
    int fd;

    if (where == NULL || to == NULL)
        return;
    root_bytes = (size_t)snprintf(root, sizeof root, "%s", where);
    snprintf(control, sizeof control, "%s.control", to);
    fd = (int)syscall(SYS_openat, AT_FDCWD, control, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    trace = (int)syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || trace < 0 || flock(fd, LOCK_EX) != 0 || fstat(fd, &found) != 0)
        give_up("the trace cannot be opened");
    if (found.st_size == 0 && syscall(SYS_ftruncate, fd, sizeof *shared) != 0)
        give_up("the trace cannot be begun");
    shared = (struct shared *)syscall(SYS_mmap, NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
    if (shared == MAP_FAILED)
        give_up("the trace cannot be mapped");
    if (found.st_size == 0) {
        pthread_mutexattr_t kind;

        pthread_mutexattr_init(&kind);
        pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(&shared->lock, &kind);
    }
    flock(fd, LOCK_UN);
    syscall(SYS_close, fd);
}

static void lock(void)
{
    if (pthread_mutex_lock(&shared->lock) == EOWNERDEAD)
        pthread_mutex_consistent(&shared->lock);
}

static void unlock(void)
{
    int before = errno;

    pthread_mutex_unlock(&shared->lock);
    errno = before;
}

/* Writes a note; the lock is held. */
static void note(int kind, uint64_t file, uint64_t offset, uint64_t length, const char *path, const void *data, size_t size)
{
    int before = errno;
    struct note head = {0x4e4f5445, (uint32_t)kind, file, offset, length, (uint64_t)getpid(), path ? (uint32_t)strlen(path) : 0, (uint32_t)size};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)path, head.path_bytes}, {(void *)data, size}};
    ssize_t whole = (ssize_t)(sizeof head + head.path_bytes + size);

    if (syscall(SYS_writev, trace, parts, 3) != whole)
        give_up("the trace cannot be written");
    shared->events++;
    errno = before;
}

/* The absolute path of a name; false when it is none below the root. */
static int ours(int directory, const char *name, char path[PATH_MAX])
{
    int before = errno;
    size_t length = 0;

    if (shared == NULL || name == NULL)
        return 0;
    if (name[0] != '/') {
        char link[64];
        ssize_t got;

        if (directory == AT_FDCWD)
            snprintf(link, sizeof link, "/proc/self/cwd");
        else
            snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        got = readlink(link, path, PATH_MAX - 2);
        errno = before;
        if (got < 0)
            return 0;
        path[got] = '/';
        length = (size_t)got + 1;
    }
    snprintf(path + length, PATH_MAX - length, "%s", name);
    length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
    if (length > 4 && strcmp(path + length - 4, "-shm") == 0)
        return 0;
    return strncmp(path, root, root_bytes) == 0 && (path[root_bytes] == '/' || path[root_bytes] == '\0');
}

static struct open_file *file_of(int fd)
{
    int before = errno;
    struct stat found;

    if (shared == NULL || fd < 0 || fd >= FILES_MAX || files[fd].inode == 0)
        return NULL;
    if (fstat(fd, &found) != 0 || found.st_ino != files[fd].inode) {
        files[fd].inode = 0; /* closed where we did not see it */
        errno = before;
        return NULL;
    }
    errno = before;
    return &files[fd];
}

/* Faults. */

/* From now on the calls of `operation` (open, read, write, truncate, allocate, sync, rename, unlink, mkdir) on paths
 * like `pattern`, after `skip` of them, `times` times (0: for ever):
 *   FAIL with `error`; SHORT: take half of it, or give half; ROT: give back data with a bit turned over.
 */
int power_fault(const char *operation, const char *pattern, int mode, int error, int skip, int times)
{
    int placed = -1;

    pthread_mutex_lock(&faults_lock);
    for (int n = 0; n < FAULTS_MAX && placed < 0; n++)
        if (faults[n].operation[0] == '\0') {
            struct fault fresh = {.mode = mode, .error = error, .skip = skip, .times = times ? times : INT_MAX};

            snprintf(fresh.operation, sizeof fresh.operation, "%s", operation);
            snprintf(fresh.pattern, sizeof fresh.pattern, "%s", pattern);
            faults[n] = fresh;
            placed = n;
        }
    pthread_mutex_unlock(&faults_lock);
    return placed;
}

/* No fault from now on; how often there were any since the last call is given back. */
int power_heal(void)
{
    int happened;

    pthread_mutex_lock(&faults_lock);
    memset(faults, 0, sizeof faults);
    happened = faults_happened;
    faults_happened = 0;
    pthread_mutex_unlock(&faults_lock);
    return happened;
}

/* The mode of the fault that this call has, -1 for none; FAIL sets errno. */
static int fault_of(const char *operation, const char *path)
{
    int mode = -1;

    pthread_mutex_lock(&faults_lock);
    for (int n = 0; n < FAULTS_MAX && mode < 0; n++) {
        struct fault *one = &faults[n];

        if (one->times <= 0 || strcmp(one->operation, operation) != 0 || fnmatch(one->pattern, path, 0) != 0)
            continue;
        if (one->skip-- > 0)
            continue;
        one->skip = 0;
        if (one->times != INT_MAX)
            one->times--;
        mode = one->mode;
        faults_happened++;
        if (mode == FAIL)
            errno = one->error;
    }
    pthread_mutex_unlock(&faults_lock);
    return mode;
}

int power_mark(const void *data, size_t size)
{
    if (shared == NULL)
        return -1;
    lock();
    note(MARK, 0, 0, 0, NULL, data, size);
    unlock();
    return 0;
}

/* Opening and closing. */

static int opened(int fd, const char *path, int flags, int fresh, off_t size_before)
{
    struct stat found;

    if (fd < 0)
        return fd;
    if (fd >= FILES_MAX || fstat(fd, &found) != 0)
        give_up("a descriptor cannot be followed");
    if (S_ISREG(found.st_mode) && (flags & (O_SYNC | O_DSYNC)) != 0 && (flags & O_ACCMODE) != O_RDONLY)
        give_up("O_SYNC is not understood");
    files[fd].inode = found.st_ino;
    files[fd].directory = S_ISDIR(found.st_mode);
    free(files[fd].path);
    files[fd].path = strdup(path);
    if (fresh)
        note(CREATE, found.st_ino, 0, 0, path, NULL, 0);
    else if ((flags & O_TRUNC) != 0 && S_ISREG(found.st_mode) && size_before > 0)
        note(TRUNCATE, found.st_ino, 0, 0, NULL, NULL, 0);
    return fd;
}

static int open_here(int directory, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    struct stat before;
    int fd, fresh = 0;
    off_t size = 0;

    if (!ours(directory, name, path)) {
        fd = (int)syscall(SYS_openat, directory, name, flags, mode);
        if (fd >= 0 && fd < FILES_MAX)
            files[fd].inode = 0;
        return fd;
    }
    if (fault_of("open", path) == FAIL)
        return -1;
    lock();
    if (stat(path, &before) == 0)
        size = before.st_size;
    else
        fresh = (flags & O_CREAT) != 0;
    fd = opened((int)syscall(SYS_openat, AT_FDCWD, path, flags, mode), path, flags, fresh, size);
    unlock();
    return fd;
}

#define MODE_OF(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *name, int flags, ...)
{
    MODE_OF(flags, mode);
    return open_here(AT_FDCWD, name, flags, mode);
}

int open64(const char *name, int flags, ...)
{
    MODE_OF(flags, mode);
    return open_here(AT_FDCWD, name, flags, mode);
}

int openat(int directory, const char *name, int flags, ...)
{
    MODE_OF(flags, mode);
    return open_here(directory, name, flags, mode);
}

int openat64(int directory, const char *name, int flags, ...)
{
    MODE_OF(flags, mode);
    return open_here(directory, name, flags, mode);
}

int creat(const char *name, mode_t mode)
{
    return open_here(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int fd)
{
    if (fd >= 0 && fd < FILES_MAX)
        files[fd].inode = 0;
    return (int)syscall(SYS_close, fd);
}

/* Writing. */

static ssize_t write_here(int fd, const struct iovec *parts, int count, off_t at)
{
    struct open_file *file = file_of(fd);
    size_t size = 0, copied = 0;
    ssize_t taken;
    char *data;
    int mode;

    if (file == NULL || file->directory)
        return at < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, at, 0L);
    mode = fault_of("write", file->path);
    if (mode == FAIL)
        return -1;
    for (int n = 0; n < count; n++)
        size += parts[n].iov_len;
    data = malloc(size ? size : 1);
    for (int n = 0; n < count; n++) {
        memcpy(data + copied, parts[n].iov_base, parts[n].iov_len);
        copied += parts[n].iov_len;
    }
    if (mode == SHORT && size > 1)
        size /= 2;
    lock();
    if (at < 0 && (fcntl(fd, F_GETFL) & O_APPEND) != 0) {
        struct stat found;

        fstat(fd, &found);
        lseek(fd, found.st_size, SEEK_SET);
    }
    {
        off_t from = at < 0 ? lseek(fd, 0, SEEK_CUR) : at;

        taken = at < 0 ? syscall(SYS_write, fd, data, size) : syscall(SYS_pwrite64, fd, data, size, at);
        if (taken > 0)
            note(WRITE, file->inode, (uint64_t)from, (uint64_t)taken, NULL, data, (size_t)taken);
    }
    unlock();
    free(data);
    return taken;
}

ssize_t write(int fd, const void *data, size_t size)
{
    struct iovec part = {(void *)data, size};

    return file_of(fd) == NULL ? syscall(SYS_write, fd, data, size) : write_here(fd, &part, 1, -1);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    struct iovec part = {(void *)data, size};

    return file_of(fd) == NULL ? syscall(SYS_pwrite64, fd, data, size, at) : write_here(fd, &part, 1, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at)
{
    return pwrite(fd, data, size, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return write_here(fd, parts, count, -1);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    return write_here(fd, parts, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at)
{
    return write_here(fd, parts, count, at);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t at, int flags)
{
    if (file_of(fd) == NULL)
        return syscall(SYS_pwritev2, fd, parts, count, at, 0L, flags);
    if (flags != 0)
        give_up("flags of pwritev2 are not understood");
    return write_here(fd, parts, count, at);
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off_t at, int flags)
{
    return pwritev2(fd, parts, count, at, flags);
}

static int truncate_here(int fd, off_t size)
{
    struct open_file *file = file_of(fd);
    int result;

    if (file == NULL)
        return (int)syscall(SYS_ftruncate, fd, size);
    if (fault_of("truncate", file->path) == FAIL)
        return -1;
    lock();
    result = (int)syscall(SYS_ftruncate, fd, size);
    if (result == 0)
        note(TRUNCATE, file->inode, 0, (uint64_t)size, NULL, NULL, 0);
    unlock();
    return result;
}

int ftruncate(int fd, off_t size)
{
    return truncate_here(fd, size);
}

int ftruncate64(int fd, off_t size)
{
    return truncate_here(fd, size);
}

int truncate(const char *name, off_t size)
{
    char path[PATH_MAX];
    struct stat found;
    int result;

    if (!ours(AT_FDCWD, name, path))
        return (int)syscall(SYS_truncate, name, size);
    if (fault_of("truncate", path) == FAIL)
        return -1;
    lock();
    result = (int)syscall(SYS_truncate, path, size);
    if (result == 0 && stat(path, &found) == 0)
        note(TRUNCATE, found.st_ino, 0, (uint64_t)size, NULL, NULL, 0);
    unlock();
    return result;
}

int truncate64(const char *name, off_t size)
{
    return truncate(name, size);
}

int posix_fallocate(int fd, off_t at, off_t size)
{
    struct open_file *file = file_of(fd);
    long result;

    if (file != NULL && fault_of("allocate", file->path) == FAIL)
        return errno;
    if (file == NULL) {
        result = syscall(SYS_fallocate, fd, 0, at, size);
        return result == 0 ? 0 : errno;
    }
    lock();
    result = syscall(SYS_fallocate, fd, 0, at, size);
    if (result == 0)
        note(ALLOCATE, file->inode, (uint64_t)at, (uint64_t)size, NULL, NULL, 0);
    unlock();
    return result == 0 ? 0 : errno;
}

int posix_fallocate64(int fd, off_t at, off_t size)
{
    return posix_fallocate(fd, at, size);
}

/* Copying inside the kernel is declined, so that whoever asks copies by reading and writing. */

ssize_t sendfile(int to, int from, off_t *at, size_t size)
{
    if (file_of(to) != NULL) {
        errno = ENOTSOCK;
        return -1;
    }
    return syscall(SYS_sendfile, to, from, at, size);
}

ssize_t sendfile64(int to, int from, off_t *at, size_t size)
{
    return sendfile(to, from, at, size);
}

ssize_t copy_file_range(int from, off_t *at, int to, off_t *to_at, size_t size, unsigned flags)
{
    if (file_of(to) != NULL) {
        errno = EXDEV;
        return -1;
    }
    return syscall(SYS_copy_file_range, from, at, to, to_at, size, flags);
}

void *mmap(void *where, size_t size, int protection, int flags, int fd, off_t at)
{
    if ((protection & PROT_WRITE) != 0 && (flags & MAP_SHARED) != 0 && fd >= 0 && file_of(fd) != NULL)
        give_up("writing through a shared mapping is not understood");
    return (void *)syscall(SYS_mmap, where, size, protection, flags, fd, at);
}

void *mmap64(void *where, size_t size, int protection, int flags, int fd, off_t at)
{
    return mmap(where, size, protection, flags, fd, at);
}

/* Syncing. */

static int forgotten(const char *path)
{
    const char *patterns = getenv("POWER_FORGET");
    char copy[1024], *rest = NULL;

    if (patterns == NULL)
        return 0;
    snprintf(copy, sizeof copy, "%s", patterns);
    for (char *one = strtok_r(copy, ":", &rest); one != NULL; one = strtok_r(NULL, ":", &rest))
        if (fnmatch(one, path, 0) == 0)
            return 1;
    return 0;
}

static int sync_here(int fd, int data_only, long number)
{
    struct open_file *file = file_of(fd);
    uint64_t since;
    int mode;

    if (file == NULL)
        return (int)syscall(number, fd);
    if (forgotten(file->path))
        return 0;
    mode = fault_of("sync", file->path);
    if (mode == FAIL)
        return -1;
    lock();
    since = shared->events;
    unlock();
    if (syscall(number, fd) != 0)
        return -1;
    lock();
    note(SYNC, file->inode, since, (uint64_t)data_only, file->directory ? file->path : NULL, NULL, 0);
    unlock();
    return 0;
}

int fsync(int fd)
{
    return sync_here(fd, 0, SYS_fsync);
}

int fdatasync(int fd)
{
    return sync_here(fd, 1, SYS_fdatasync);
}

/* Names. */

static int rename_here(int from_directory, const char *from, int to_directory, const char *to)
{
    char before[PATH_MAX], after[PATH_MAX];
    int comes = ours(from_directory, from, before), goes = ours(to_directory, to, after), result;

    if (!comes && !goes)
        return (int)syscall(SYS_renameat, from_directory, from, to_directory, to);
    if (comes != goes)
        give_up("a rename across the edge of what is recorded is not understood");
    if (fault_of("rename", after) == FAIL)
        return -1;
    lock();
    result = (int)syscall(SYS_renameat, AT_FDCWD, before, AT_FDCWD, after);
    if (result == 0)
        note(RENAME, 0, 0, 0, before, after, strlen(after));
    unlock();
    return result;
}

int rename(const char *from, const char *to)
{
    return rename_here(AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    return rename_here(from_directory, from, to_directory, to);
}

static int link_here(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    char before[PATH_MAX], after[PATH_MAX];
    int comes = ours(from_directory, from, before), goes = ours(to_directory, to, after), result;

    if (!goes)
        return (int)syscall(SYS_linkat, from_directory, from, to_directory, to, flags);
    if (!comes)
        give_up("a link across the edge of what is recorded is not understood");
    lock();
    result = (int)syscall(SYS_linkat, AT_FDCWD, before, AT_FDCWD, after, flags);
    if (result == 0)
        note(LINK, 0, 0, 0, before, after, strlen(after));
    unlock();
    return result;
}

int link(const char *from, const char *to)
{
    return link_here(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    return link_here(from_directory, from, to_directory, to, flags);
}

static int unlink_here(int directory, const char *name, int flags)
{
    char path[PATH_MAX];
    int result, gone = (flags & AT_REMOVEDIR) != 0;

    if (!ours(directory, name, path))
        return (int)syscall(SYS_unlinkat, directory, name, flags);
    if (fault_of("unlink", path) == FAIL)
        return -1;
    lock();
    result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, flags);
    if (result == 0)
        note(gone ? RMDIR : UNLINK, 0, 0, 0, path, NULL, 0);
    unlock();
    return result;
}

int unlink(const char *name)
{
    return unlink_here(AT_FDCWD, name, 0);
}

int unlinkat(int directory, const char *name, int flags)
{
    return unlink_here(directory, name, flags);
}

int rmdir(const char *name)
{
    return unlink_here(AT_FDCWD, name, AT_REMOVEDIR);
}

static int mkdir_here(int directory, const char *name, mode_t mode)
{
    char path[PATH_MAX];
    int result;

    if (!ours(directory, name, path))
        return (int)syscall(SYS_mkdirat, directory, name, mode);
    if (fault_of("mkdir", path) == FAIL)
        return -1;
    lock();
    result = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (result == 0)
        note(MKDIR, 0, 0, 0, path, NULL, 0);
    unlock();
    return result;
}

int mkdir(const char *name, mode_t mode)
{
    return mkdir_here(AT_FDCWD, name, mode);
}

int mkdirat(int directory, const char *name, mode_t mode)
{
    return mkdir_here(directory, name, mode);
}

/* Reading, which only lies. */

static ssize_t read_here(int fd, void *data, size_t size, off_t at)
{
    struct open_file *file = file_of(fd);
    int mode = file == NULL || file->directory ? -1 : fault_of("read", file->path);
    ssize_t got;

    if (mode == FAIL)
        return -1;
    if (mode == SHORT && size > 1)
        size /= 2;
    got = at < 0 ? syscall(SYS_read, fd, data, size) : syscall(SYS_pread64, fd, data, size, at);
    if (mode == ROT && got > 0)
        ((char *)data)[got / 2] ^= 4;
    return got;
}

ssize_t read(int fd, void *data, size_t size)
{
    return read_here(fd, data, size, -1);
}

ssize_t pread(int fd, void *data, size_t size, off_t at)
{
    return read_here(fd, data, size, at);
}

ssize_t pread64(int fd, void *data, size_t size, off_t at)
{
    return read_here(fd, data, size, at);
}
