/* A disk that is full whenever somebody says so: for LD_PRELOAD, so that it needs no privileges and no disk of its own.
 *
 * While the file FULL_DISK_FLAG exists, what would make a regular file below FULL_DISK_DIRECTORY longer fails with
 * ENOSPC, unless it stays as short as that file is. What lies within its present length can be written, as on a real
 * disk whose blocks are given already.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuses(int fd, off_t end)
{
    const char *flag = getenv("FULL_DISK_FLAG"), *directory = getenv("FULL_DISK_DIRECTORY");
    char link[64], path[4096];
    struct stat found, spare;
    ssize_t length;

    if (flag == NULL || directory == NULL || fstat(fd, &found) != 0 || !S_ISREG(found.st_mode) || end <= found.st_size)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = '\0';
    return strncmp(path, directory, strlen(directory)) == 0 && stat(flag, &spare) == 0 && end > spare.st_size;
}

static int unless_full(int fd, off_t end)
{
    int before = errno;
    int full = refuses(fd, end);

    errno = full ? ENOSPC : before;
    return full;
}

ssize_t write(int fd, const void *data, size_t size)
{
    static ssize_t (*real)(int, const void *, size_t);
    off_t at = lseek(fd, 0, SEEK_CUR);

    if (real == NULL)
        real = dlsym(RTLD_NEXT, "write");
    return at >= 0 && unless_full(fd, at + (off_t)size) ? -1 : real(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    static ssize_t (*real)(int, const void *, size_t, off_t);

    if (real == NULL)
        real = dlsym(RTLD_NEXT, "pwrite");
    return unless_full(fd, at + (off_t)size) ? -1 : real(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at)
{
    return pwrite(fd, data, size, at);
}

int posix_fallocate(int fd, off_t at, off_t size)
{
    static int (*real)(int, off_t, off_t);

    if (real == NULL)
        real = dlsym(RTLD_NEXT, "posix_fallocate");
    return refuses(fd, at + size) ? ENOSPC : real(fd, at, size);
}

int posix_fallocate64(int fd, off_t at, off_t size)
{
    return posix_fallocate(fd, at, size);
}
