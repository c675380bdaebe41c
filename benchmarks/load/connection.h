// A connection: what is read of it and written to it, and the frames that a client writes (RFC 6455, section 5).

#pragma once
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "histogram.h"
#include "options.h"

enum state { UNUSED, DIALLING, ASKING, OPEN, GONE };

struct bytes { uint8_t *at; size_t used, room; };

struct connection {
    int fd, room;
    enum state state;
    bool dirty, watching_out;
    bool deaf;            // never reads; the server may close it, or keep what it sends within bounds
    struct bytes in, out; // what came of an unfinished frame; what could not be written yet
    uint32_t sent, echoed;
    uint32_t *next;       // broadcast: the next number of each sender of the room
    uint64_t sequence;    // broadcast: a hash over what came, in order
    uint64_t due;         // with --rate: when the next message is to be sent
    uint64_t since;       // when it was dialled; http: when the request was sent
    uint64_t counted;     // http: what the object answered last
    bool woke;            // wake: the last answer came from an object that had just been built
};

static struct {
    uint64_t sent, delivered;                            // in the measured time
    uint64_t expected, arrived;                          // in all
    uint64_t lost, doubled, disordered, altered, closed; // what must stay 0
    char first_trouble[160];
} count;

static struct connection *all;
static int poll_fd, opened, gone;
static struct connection **dirty;
static int dirty_count;
static uint64_t random_state = 0x9E3779B97F4A7C15u;

static void trouble(uint64_t *counter, const char *what) {
    ++*counter;
    if (!count.first_trouble[0]) snprintf(count.first_trouble, sizeof count.first_trouble, "%s", what);
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t draw(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static uint8_t *extend(struct bytes *b, size_t more) {
    if (b->used + more > b->room) {
        b->room = (b->used + more) * 2;
        if (!(b->at = realloc(b->at, b->room))) fail("out of memory");
    }
    b->used += more;
    return b->at + b->used - more;
}

static void drop(struct connection *c, const char *why) {
    if (c->state == GONE) return;
    close(c->fd);
    c->state = GONE;
    if (c->deaf) return; // the server's right
    trouble(&count.closed, why);
    gone++;
}

static void watch(struct connection *c, bool out) {
    bool listens = !c->deaf || c->state != OPEN;
    struct epoll_event e = {.events = (listens ? EPOLLIN : 0) | (out ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &e);
    c->watching_out = out;
}

static void write_out(struct connection *c) {
    if (c->state == GONE || !c->out.used) return;
    ssize_t n = send(c->fd, c->out.at, c->out.used, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) { drop(c, "a connection broke while it was written to"); return; }
    if (n > 0) memmove(c->out.at, c->out.at + n, c->out.used -= (size_t)n);
    if ((c->out.used > 0) != c->watching_out) watch(c, c->out.used > 0);
}

static void write_soon(struct connection *c) {
    if (!c->dirty) { c->dirty = true; dirty[dirty_count++] = c; }
}

static void write_all_dirty(void) {
    for (int i = 0; i < dirty_count; i++) {
        dirty[i]->dirty = false;
        write_out(dirty[i]);
    }
    dirty_count = 0;
}

static void put_frame(struct connection *c, uint8_t opcode, const uint8_t *payload, size_t size) {
    uint8_t *frame = extend(&c->out, size + (size < 126 ? 6 : 8));
    uint64_t mask = draw() & 0xFFFFFFFFu;
    *frame++ = 0x80 | opcode;
    if (size < 126) *frame++ = (uint8_t)(0x80 | size);
    else { *frame++ = 0x80 | 126; *frame++ = (uint8_t)(size >> 8); *frame++ = (uint8_t)size; }
    memcpy(frame, &mask, 4);
    frame += 4;
    mask |= mask << 32;
    size_t i = 0;
    for (uint64_t word; i + 8 <= size; i += 8) { memcpy(&word, payload + i, 8); word ^= mask; memcpy(frame + i, &word, 8); }
    for (; i < size; i++) frame[i] = payload[i] ^ ((uint8_t *)&mask)[i & 3];
    write_soon(c);
}
