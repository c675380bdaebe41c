// The peer: rooms over WebSockets in C, with nothing around them. One process, one thread, epoll.
//
//     bare LOG
//
//  (1) The path of the request is the room, and how it begins says what the room does with a message: /echo sends it
//      back, /broadcast sends it to all other members; /noting and /storing do the same once it is durable, which it
//      is in LOG, that all rooms share. A GET of /count without an upgrade is answered with how often it was asked.
//  (2) One pass of the loop: read every socket that has something, write what came to the log in one piece, wait for one
//      fdatasync, write to each socket in one piece. What comes meanwhile is the next pass: that is the group commit.
//  (3) LOG is preallocated with zeros, so that fdatasync writes no metadata, and starts over when it is full.
//  (4) A record carries its number, its room, its length and a checksum, so that what a crash left could be read back.
//  (5) A client that has more than QUEUE_BYTES waiting for it is put out.
//  (6) It listens on 127.0.0.1 only and prints its address. SIGTERM ends it.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "log.h"
#include "sha1.h"

enum { READ_BYTES = 1 << 18, EVENTS = 512, ROOMS_MAX = 1 << 17, QUEUE_BYTES = 4 << 20 };
enum work { ECHO, BROADCAST, NOTING, STORING, COUNT, WORKS };
static const char *const WORK_NAMES[WORKS] = {"/echo", "/broadcast", "/noting", "/storing", "/count"};

struct client {
    int fd;
    struct room *room;           // NULL until the handshake
    struct client *next, **here; // in the room
    struct bytes in, out;        // an unfinished frame or request; what is to be written
    bool dirty, watching_out, gone;
    struct client *next_dirty;
};

struct room { char path[PATH_BYTES]; enum work work; struct client *members; uint64_t count; };

struct said { struct client *by; struct room *room; size_t at, size; }; // where its frame stands in `frames`

static struct room *rooms[ROOMS_MAX]; // hashed by path, probed linearly
static struct client *dirty, *leaving;
static struct said *all_said;
static size_t said_count, said_room;
static struct bytes frames; // what was said in this pass
static int poll_fd;

// ---- rooms and clients ----

static enum work work_of(const char *path) {
    int work = 0;
    while (work < WORKS && strncmp(path, WORK_NAMES[work], strlen(WORK_NAMES[work]))) work++;
    return (enum work)work;
}

static struct room *room_of(const char *path) {
    uint32_t slot = crc32_of((const uint8_t *)path, strlen(path));
    for (int tries = 0; tries < ROOMS_MAX; tries++) {
        struct room **place = &rooms[(slot + (uint32_t)tries) % ROOMS_MAX];
        if (*place && strcmp((*place)->path, path)) continue;
        if (!*place) {
            if (!(*place = calloc(1, sizeof **place))) fail("out of memory");
            strcpy((*place)->path, path);
            (*place)->work = work_of(path);
        }
        return *place;
    }
    fail("more than %d rooms", ROOMS_MAX);
    return NULL;
}

static void enter(struct client *c, struct room *room) {
    c->room = room;
    c->here = &room->members;
    if ((c->next = room->members)) c->next->here = &c->next;
    room->members = c;
}

static void leave(struct client *c) { // freed at the end of the pass, since what it said may still be under way
    if (c->gone) return;
    c->gone = true;
    close(c->fd);
    if (c->room && (*c->here = c->next)) c->next->here = c->here;
    if (!c->dirty) c->next_dirty = leaving, leaving = c;
}

static uint8_t *write_soon(struct client *c, size_t size) {
    if (!c->dirty) c->dirty = true, c->next_dirty = dirty, dirty = c;
    return extend(&c->out, size);
}

static void write_out(struct client *c) {
    if (c->gone || !c->out.used) return;
    ssize_t n = send(c->fd, c->out.at, c->out.used, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) { leave(c); return; }
    if (n > 0) memmove(c->out.at, c->out.at + n, c->out.used -= (size_t)n);
    bool left = c->out.used > 0;
    if (left != c->watching_out) {
        struct epoll_event e = {.events = EPOLLIN | (left ? EPOLLOUT : 0), .data.ptr = c};
        epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &e);
        c->watching_out = left;
    }
}

static void write_all_dirty(void) {
    while (dirty) {
        struct client *c = dirty;
        dirty = c->next_dirty;
        write_out(c);
        c->dirty = false;
        if (c->gone) c->next_dirty = leaving, leaving = c;
    }
    while (leaving) {
        struct client *c = leaving;
        leaving = c->next_dirty;
        free(c->in.at);
        free(c->out.at);
        free(c);
    }
}

// ---- WebSocket ----

static void say(struct client *c, uint8_t opcode, const uint8_t *payload, size_t size) {
    if (said_count == said_room) {
        said_room = said_room ? said_room * 2 : 1024;
        if (!(all_said = realloc(all_said, said_room * sizeof *all_said))) fail("out of memory");
    }
    if (c->room->work == NOTING || c->room->work == STORING) append(c->room->path, payload, size);
    size_t head = size < 126 ? 2 : 4;
    all_said[said_count++] = (struct said){c, c->room, frames.used, head + size};
    uint8_t *frame = extend(&frames, head + size);
    frame[0] = 0x80 | opcode;
    if (size < 126) frame[1] = (uint8_t)size;
    else frame[1] = 126, frame[2] = (uint8_t)(size >> 8), frame[3] = (uint8_t)size;
    memcpy(frame + head, payload, size);
}

static void hand_on(struct client *to, const struct said *s) {
    if (to->gone) return;
    if (to->out.used > QUEUE_BYTES) leave(to);
    else memcpy(write_soon(to, s->size), frames.at + s->at, s->size);
}

static void deliver(void) {
    for (size_t i = 0; i < said_count; i++) {
        struct said *s = &all_said[i];
        if (s->room->work == ECHO || s->room->work == NOTING) hand_on(s->by, s);
        else
            for (struct client *m = s->room->members, *next; m; m = next) {
                next = m->next;
                if (m != s->by) hand_on(m, s);
            }
    }
    said_count = frames.used = 0;
}

static size_t take_frame(struct client *c, uint8_t *at, size_t size) {
    if (size < 2) return 0;
    size_t head = 6, length = at[1] & 127;
    if (!(at[1] & 128) || length == 127 || !(at[0] & 128)) { leave(c); return 0; } // unmasked, huge or in fragments
    if (length == 126) {
        if (size < 4) return 0;
        head = 8, length = (size_t)at[2] << 8 | at[3];
    }
    if (size < head + length) return 0;
    uint8_t *mask = at + head - 4, *payload = at + head, opcode = at[0] & 15;
    uint64_t mask8, word;
    memcpy(&mask8, mask, 4);
    memcpy((uint8_t *)&mask8 + 4, mask, 4);
    size_t i = 0;
    for (; i + 8 <= length; i += 8) { memcpy(&word, payload + i, 8); word ^= mask8; memcpy(payload + i, &word, 8); }
    for (; i < length; i++) payload[i] ^= mask[i & 3];
    if (opcode == 1 || opcode == 2) say(c, opcode, payload, length);
    else if (opcode == 8) leave(c);
    return head + length;
}

static void answer_count(struct client *c, const char *path) {
    char answer[128], body[24];
    int bytes = snprintf(body, sizeof body, "%llu", (unsigned long long)++room_of(path)->count);
    int length = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", bytes, body);
    memcpy(write_soon(c, (size_t)length), answer, (size_t)length);
}

static void answer_upgrade(struct client *c, const char *path, const char *given) {
    char accepted[29], key[128], answer[256];
    uint8_t digest[20];
    snprintf(key, sizeof key, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", given);
    sha1((uint8_t *)key, strlen(key), digest);
    base64_of_digest(digest, accepted);
    int length = snprintf(answer, sizeof answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accepted);
    memcpy(write_soon(c, (size_t)length), answer, (size_t)length);
    enter(c, room_of(path));
}

static size_t take_request(struct client *c, uint8_t *at, size_t size) {
    char path[PATH_BYTES], key[64];
    uint8_t *end = memmem(at, size, "\r\n\r\n", 4);
    if (!end) return 0;
    *end = 0;
    char *found = strcasestr((char *)at, "\r\nSec-WebSocket-Key:");
    bool whole = sscanf((char *)at, "GET %255s HTTP/1.1", path) == 1;
    if (whole && !found && work_of(path) == COUNT) answer_count(c, path);
    else if (whole && found && work_of(path) < COUNT && sscanf(found + 20, " %60s", key) == 1) answer_upgrade(c, path, key);
    else leave(c);
    return c->gone ? 0 : (size_t)(end - at) + 4;
}

static void read_in(struct client *c) {
    static uint8_t buffer[2 * READ_BYTES];
    size_t kept = c->in.used;
    if (kept > READ_BYTES) { leave(c); return; }
    if (kept) memcpy(buffer, c->in.at, kept);
    ssize_t n = recv(c->fd, buffer + kept, READ_BYTES, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) { leave(c); return; }
    size_t size = kept + (size_t)n, done = 0, step;
    while (!c->gone && (step = c->room ? take_frame(c, buffer + done, size - done) : take_request(c, buffer + done, size - done)))
        done += step;
    c->in.used = 0;
    if (!c->gone && done < size) memcpy(extend(&c->in, size - done), buffer + done, size - done);
}

// ---- the loop ----

static void accept_all(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        int one = 1;
        struct client *c = calloc(1, sizeof *c);
        if (!c) fail("out of memory");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->fd = fd;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &e);
    }
}

static int start_listening(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024) ||
        getsockname(fd, (struct sockaddr *)&address, &length))
        fail("listening: %s", strerror(errno));
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &e);
    printf("http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    static struct epoll_event events[EVENTS];
    if (argc != 2) fail("expected the path of the log");
    make_crc_table();
    open_log(argv[1]);
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    signal(SIGTERM, _exit);
    int listener = start_listening();
    for (;;) {
        int n = epoll_wait(poll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (!c) accept_all(listener);
            else if (!c->gone && events[i].events & ~(unsigned)EPOLLOUT) read_in(c);
            else if (!c->gone) write_out(c);
        }
        if (batch.used) make_durable();
        deliver();
        write_all_dirty();
    }
}
