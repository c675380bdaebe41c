// The log: what is appended is durable after the next make_durable, which is one write and one fdatasync.

#pragma once
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 256, LOG_BYTES = 64 << 20 };

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "bare: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

struct bytes { uint8_t *at; size_t used, room; };

static uint8_t *extend(struct bytes *b, size_t more) {
    if (b->used + more > b->room) {
        b->room = (b->used + more) * 2;
        if (!(b->at = realloc(b->at, b->room))) fail("out of memory");
    }
    b->used += more;
    return b->at + b->used - more;
}

static struct bytes batch; // the records of this pass
static uint64_t record_number;
static uint32_t crc_table[256];
static int log_fd;
static off_t log_end;

static void make_crc_table(void) {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? 0xEDB88320u ^ c >> 1 : c >> 1;
        crc_table[n] = c;
    }
}

static uint32_t crc32_of(const uint8_t *data, size_t size) {
    uint32_t c = ~0u;
    while (size--) c = crc_table[(c ^ *data++) & 255] ^ c >> 8;
    return ~c;
}

static void open_log(const char *path) {
    static uint8_t zeros[1 << 20];
    if ((log_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0) fail("%s: %s", path, strerror(errno));
    for (off_t at = 0; at < LOG_BYTES; at += (off_t)sizeof zeros)
        if (pwrite(log_fd, zeros, sizeof zeros, at) != sizeof zeros) fail("preallocating %s: %s", path, strerror(errno));
    if (fsync(log_fd)) fail("fsync of %s: %s", path, strerror(errno));
}

static void append(const char *room, const uint8_t *payload, size_t size) {
    uint16_t path = (uint16_t)strlen(room);
    uint32_t length = (uint32_t)size, crc;
    size_t begin = batch.used;
    record_number++;
    memcpy(extend(&batch, 8), &record_number, 8);
    memcpy(extend(&batch, 2), &path, 2);
    memcpy(extend(&batch, 4), &length, 4);
    memcpy(extend(&batch, path), room, path);
    memcpy(extend(&batch, size), payload, size);
    crc = crc32_of(batch.at + begin, batch.used - begin);
    memcpy(extend(&batch, 4), &crc, 4);
}

static void make_durable(void) {
    if (log_end + (off_t)batch.used > LOG_BYTES) log_end = 0;
    for (size_t done = 0; done < batch.used;) {
        ssize_t n = pwrite(log_fd, batch.at + done, batch.used - done, log_end);
        if (n <= 0) fail("writing the log: %s", strerror(errno));
        done += (size_t)n, log_end += n;
    }
    if (fdatasync(log_fd)) fail("fdatasync of the log: %s", strerror(errno));
    batch.used = 0;
}
