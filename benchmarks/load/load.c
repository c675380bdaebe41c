// A load generator for WebSocket servers on this machine: one process, one thread, epoll.
//
//  (1) Every message carries its sender, its number and the time it was sent; nothing that arrives goes unchecked.
//  (2) `echo`: a connection gets back its own messages, each once, in order.
//  (3) `broadcast`: a member of a room gets the messages of every other sender of the room, each once, in the order
//      sent, and all members that send nothing get the same sequence.
//  (4) After the measured time nothing new is sent; what is still missing `--drain` seconds later is lost.
//  (5) It connects to 127.0.0.0/8 only.
//
// One line of JSON on stdout. Status 0: every check held; 2: one failed; 1: it could not run at all.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "histogram.h"
#include "options.h"

enum { READ_BYTES = 1 << 18, EVENTS = 512, CONNECTING_MAX = 64, SOURCES = 8 };
enum state { UNUSED, DIALLING, ASKING, OPEN, GONE };

// ---- what is counted ----

static struct {
    uint64_t sent, delivered;                            // in the measured time
    uint64_t expected, arrived;                          // in all
    uint64_t lost, doubled, disordered, altered, closed; // what must stay 0
    char first_trouble[160];
} count;

static void trouble(uint64_t *counter, const char *what) {
    ++*counter;
    if (!count.first_trouble[0]) snprintf(count.first_trouble, sizeof count.first_trouble, "%s", what);
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// ---- connections ----

struct bytes { uint8_t *at; size_t used, room; };

struct connection {
    int fd, room;
    enum state state;
    bool dirty, watching_out;
    struct bytes in, out; // what came of an unfinished frame; what could not be written yet
    uint32_t sent, echoed;
    uint32_t *next;       // broadcast: the next number of each sender of the room
    uint64_t sequence;    // broadcast: a hash over what came, in order
    uint64_t due;         // with --rate: when the next message is to be sent
    bool woke;            // wake: the last answer came from an object that had just been built
};

static struct connection *all;
static int poll_fd, opened, gone;
static struct connection **dirty;
static int dirty_count;
static uint32_t *reached;       // broadcast, closed loop: [sender][number % window], how many members got it
static bool measuring, sending; // whether deliveries count; whether new messages are sent
static struct histogram latency, latency_awake;
static uint64_t random_state = 0x9E3779B97F4A7C15u;
static uint8_t padding[1 << 16];

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
    trouble(&count.closed, why);
    close(c->fd);
    c->state = GONE;
    gone++;
}

static void watch(struct connection *c, bool out) {
    struct epoll_event e = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c};
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
    if (!c->dirty) { c->dirty = true; dirty[dirty_count++] = c; }
}

// ---- messages: "m", sender (8 hex digits), number (8), time (16), and padding ----

static void write_hex(uint8_t *at, int digits, uint64_t value) {
    while (digits--) { at[digits] = (uint8_t)"0123456789abcdef"[value & 15]; value >>= 4; }
}

static bool read_hex(const uint8_t *at, int digits, uint64_t *value) {
    uint64_t v = 0;
    for (int i = 0; i < digits; i++) {
        uint8_t d = at[i];
        if (d >= '0' && d <= '9') v = v << 4 | (uint64_t)(d - '0');
        else if (d >= 'a' && d <= 'f') v = v << 4 | (uint64_t)(d - 'a' + 10);
        else return false;
    }
    *value = v;
    return true;
}

static bool sends(const struct connection *c) { return c - all < (ptrdiff_t)want.senders * want.rooms; }
static int sender_rank(const struct connection *c) { return (int)((c - all) / want.rooms); }
static int members(int room) { return want.connections / want.rooms + (room < want.connections % want.rooms); }

static void say(struct connection *c, uint64_t at) {
    uint8_t message[1 << 16];
    message[0] = 'm';
    write_hex(message + 1, 8, (uint64_t)(c - all));
    write_hex(message + 9, 8, c->sent);
    write_hex(message + 17, 16, at);
    memcpy(message + 33, padding, (size_t)want.size - 33);
    put_frame(c, 1, message, (size_t)want.size);
    if (reached) reached[(c - all) * want.window + c->sent % (uint32_t)want.window] = 0;
    c->sent++;
    count.sent += measuring;
    count.expected += want.mode == BROADCAST ? (uint64_t)members(c->room) - 1 : 1;
}

static void take_echo(struct connection *c, uint64_t sender, uint64_t number) {
    if (sender != (uint64_t)(c - all)) trouble(&count.altered, "an echo of another connection's message");
    else if (number < c->echoed) trouble(&count.doubled, "an echo came twice");
    else {
        if (number > c->echoed) trouble(&count.disordered, "an echo came before an earlier one");
        c->echoed = (uint32_t)number + 1;
    }
    if (sending && want.mode == ECHO && !want.rate) say(c, now());
}

static void take_broadcast(struct connection *c, uint64_t number_of_sender, uint64_t number) {
    struct connection *sender = &all[number_of_sender];
    if (!sends(sender) || sender == c || sender->room != c->room) {
        trouble(&count.altered, "a message that this member should not get");
        return;
    }
    uint32_t *next = &c->next[sender_rank(sender)];
    if (number < *next) { trouble(&count.doubled, "a message came twice"); return; }
    if (number > *next) trouble(&count.disordered, "a message came before an earlier one of its sender");
    *next = (uint32_t)number + 1;
    c->sequence = (c->sequence ^ (number_of_sender << 32 | number)) * 0x9E3779B97F4A7C15u;
    uint32_t *got = reached ? &reached[number_of_sender * (uint64_t)want.window + number % (uint64_t)want.window] : NULL;
    if (got && ++*got == (uint32_t)members(c->room) - 1 && sending) say(sender, now());
}

static void take(struct connection *c, const uint8_t *payload, size_t size, uint64_t at) {
    uint64_t sender, number, sent_at;
    count.arrived++;
    if (want.mode == WAKE && size) { c->woke = *payload == '1'; payload++; size--; }
    if (size != (size_t)want.size || payload[0] != 'm' || !read_hex(payload + 1, 8, &sender) ||
        !read_hex(payload + 9, 8, &number) || !read_hex(payload + 17, 16, &sent_at) ||
        sender >= (uint64_t)want.connections || memcmp(payload + 33, padding, size - 33)) {
        trouble(&count.altered, "a message that nobody sent");
        return;
    }
    if (measuring) { count.delivered++; record(want.mode == WAKE && !c->woke ? &latency_awake : &latency, at - sent_at); }
    if (want.mode == BROADCAST) take_broadcast(c, sender, number);
    else take_echo(c, sender, number);
}

// ---- bytes ----

static void take_frame(struct connection *c, uint8_t first, const uint8_t *payload, size_t size, uint64_t at) {
    uint8_t opcode = first & 15;
    if (opcode == 9) put_frame(c, 10, payload, size < 126 ? size : 0);
    else if (opcode == 8) {
        char why[64];
        snprintf(why, sizeof why, "the server closed with code %d", size >= 2 ? payload[0] << 8 | payload[1] : 1005);
        drop(c, why);
    } else if ((first & 0xF0) != 0x80 || opcode > 2) trouble(&count.altered, "a fragment, an extension or a reserved opcode");
    else if (opcode) take(c, payload, size, at);
}

static size_t take_answer(struct connection *c, uint8_t *at, size_t size) {
    // The key of every handshake is the example of RFC 6455, section 1.3; so is the answer.
    uint8_t *end = memmem(at, size, "\r\n\r\n", 4);
    if (!end) return 0;
    *end = 0;
    if (strncmp((char *)at, "HTTP/1.1 101 ", 13) || !strstr((char *)at, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        fail("the handshake was answered with: %.60s", (char *)at);
    c->state = OPEN;
    opened++;
    return (size_t)(end - at) + 4;
}

static size_t take_one(struct connection *c, uint8_t *at, size_t size, uint64_t when) {
    if (c->state == ASKING) return take_answer(c, at, size);
    if (size < 2) return 0;
    size_t head = 2, length = at[1] & 127;
    if (length == 126) {
        if (size < 4) return 0;
        head = 4, length = (size_t)at[2] << 8 | at[3];
    } else if (length == 127) fail("a frame of 64 KiB or more, which nobody sent");
    if (size < head + length) return 0;
    take_frame(c, at[0], at + head, length, when);
    return head + length;
}

static void read_in(struct connection *c) {
    static uint8_t buffer[2 * READ_BYTES];
    size_t kept = c->in.used;
    if (kept) memcpy(buffer, c->in.at, kept);
    ssize_t n = recv(c->fd, buffer + kept, READ_BYTES, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) { drop(c, "the server ended a connection"); return; }
    size_t size = kept + (size_t)n, done = 0;
    uint64_t when = now();
    for (size_t step; c->state != GONE && (step = take_one(c, buffer + done, size - done, when)); done += step) {}
    c->in.used = 0;
    if (c->state != GONE && done < size) memcpy(extend(&c->in, size - done), buffer + done, size - done);
}

static void finish_dialling(struct connection *c) {
    char head[512], path[256];
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) fail("cannot connect to %s:%d: %s", want.host, want.port, strerror(error));
    const char *mark = strchr(want.path, '*'); // the number of the room takes the place of *
    if (mark) snprintf(path, sizeof path, "%.*s%d%s", (int)(mark - want.path), want.path, c->room, mark + 1);
    else snprintf(path, sizeof path, "%s", want.path);
    int size = snprintf(head, sizeof head,
                        "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                        path, want.host, want.port);
    memcpy(extend(&c->out, (size_t)size), head, (size_t)size);
    c->state = ASKING;
    c->watching_out = true;
    write_out(c);
}

static void round_of_events(int wait_ms) {
    static struct epoll_event events[EVENTS];
    int n = epoll_wait(poll_fd, events, EVENTS, wait_ms);
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        if (c->state == DIALLING) finish_dialling(c);
        else if (c->state != GONE) {
            if (events[i].events & EPOLLOUT) write_out(c);
            if (events[i].events & ~(unsigned)EPOLLOUT) read_in(c);
        }
    }
    write_all_dirty();
}

// ---- the course of a run ----

static void dial(struct connection *c) {
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)want.port)};
    if (inet_pton(AF_INET, want.host, &to.sin_addr) != 1 || ntohl(to.sin_addr.s_addr) >> 24 != 127)
        fail("--host must be an address in 127.0.0.0/8, got %s", want.host);
    from.sin_addr.s_addr = htonl(0x7F000001u + (uint32_t)((c - all) % SOURCES)); // each has its own range of ports
    int one = 1;
    if ((c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) < 0) fail("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from)) fail("bind: %s", strerror(errno));
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        fail("cannot connect to %s:%d: %s", want.host, want.port, strerror(errno));
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &e);
    c->state = DIALLING;
}

static void open_all(void) {
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    all = calloc((size_t)want.connections, sizeof *all);
    dirty = calloc((size_t)want.connections, sizeof *dirty);
    if (!all || !dirty) fail("out of memory");
    uint64_t give_up = now() + 60000000000u;
    for (int dialled = 0; opened < want.connections && !gone;) {
        for (; dialled < want.connections && dialled - opened < CONNECTING_MAX; dialled++) {
            struct connection *c = &all[dialled];
            c->room = dialled % want.rooms;
            if (want.mode == BROADCAST && !(c->next = calloc((size_t)want.senders, sizeof *c->next))) fail("out of memory");
            dial(c);
        }
        round_of_events(100);
        if (now() > give_up) fail("%d of %d connections were open after 60 s", opened, want.connections);
    }
    if (gone) fail("%s", count.first_trouble);
}

static void send_what_is_due(uint64_t at) {
    for (int i = 0; i < want.connections; i++) {
        struct connection *c = &all[i];
        if (want.mode == BROADCAST && !sends(c)) break;
        while (c->due <= at && c->state == OPEN) { // late: the latency still counts from when it was due
            say(c, c->due);
            c->due += (uint64_t)(1e9 / want.rate);
        }
    }
    write_all_dirty();
}

static void run_until(uint64_t end) {
    for (uint64_t at; (at = now()) < end && !gone;) {
        if (sending && want.rate) send_what_is_due(at);
        round_of_events(want.rate ? 1 : 50);
    }
}

static void begin_sending(void) {
    uint64_t at = now();
    sending = true;
    for (int i = 0; i < want.connections; i++) {
        if (want.mode == BROADCAST && !sends(&all[i])) break;
        all[i].due = at + (uint64_t)(want.rate ? (double)(draw() % 1000) / 1000 * 1e9 / want.rate : 0);
        for (int k = 0; !want.rate && k < want.window; k++) say(&all[i], at);
    }
    write_all_dirty();
}

static void drain(void) {
    sending = measuring = false;
    uint64_t end = now() + (uint64_t)(want.drain * 1e9);
    while (count.arrived < count.expected && now() < end && !gone) round_of_events(20);
    if (count.arrived < count.expected) {
        count.lost = count.expected - count.arrived;
        if (!count.first_trouble[0]) snprintf(count.first_trouble, sizeof count.first_trouble, "messages were lost");
    }
}

static void compare_sequences(void) {
    for (int i = want.senders * want.rooms; i < want.connections; i++) {
        int first = want.senders * want.rooms + ((i - want.senders * want.rooms) % want.rooms);
        if (all[i].sequence != all[first].sequence) trouble(&count.disordered, "members of a room saw different orders");
    }
}

static void ask_each(bool measured) {
    // One message at a time, so that the latency is that of one wake and not of a queue.
    measuring = measured;
    for (int i = 0; i < want.connections && !gone; i++) {
        uint64_t before = count.arrived;
        say(&all[i], now());
        write_all_dirty();
        for (uint64_t end = now() + (uint64_t)(want.drain * 1e9); count.arrived == before && now() < end && !gone;) round_of_events(50);
    }
    measuring = false;
}

static double run_load(void) {
    if (want.mode == BROADCAST && !want.rate)
        reached = calloc((size_t)want.senders * (size_t)want.rooms * (size_t)want.window, sizeof *reached);
    begin_sending();
    run_until(now() + (uint64_t)(want.warm_up * 1e9));
    measuring = true;
    uint64_t begin = now();
    run_until(begin + (uint64_t)(want.seconds * 1e9));
    double took = (double)(now() - begin) / 1e9;
    drain();
    if (want.mode == BROADCAST) compare_sequences();
    return took;
}

static double run_wake(void) {
    uint64_t begin = now();
    ask_each(false);
    for (double round = 0; round < want.seconds; round++) { // --seconds counts rounds here
        run_until(now() + (uint64_t)(want.sleep * 1e9));
        ask_each(true);
        ask_each(true);
    }
    drain();
    return (double)(now() - begin) / 1e9;
}

static double run_idle(void) {
    printf("{\"open\": %d}\n", opened);
    fflush(stdout);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    int watched = epoll_create1(0);
    epoll_ctl(watched, EPOLL_CTL_ADD, STDIN_FILENO, &e);
    uint64_t begin = now(); // until stdin ends
    while (!gone && epoll_wait(watched, &e, 1, 0) == 0) round_of_events(50);
    return (double)(now() - begin) / 1e9;
}

// ---- what is said at the end ----

static void print_latency(const char *name, const struct histogram *h) {
    printf("\"%s\": {\"count\": %llu, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"max\": %.1f}, ", name,
           (unsigned long long)h->total, microseconds(h, .5), microseconds(h, .9), microseconds(h, .99), microseconds(h, 1));
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    memset(padding, 'x', sizeof padding);
    open_all();
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    uint64_t begin = now();
    double took = want.mode == IDLE ? run_idle() : want.mode == WAKE ? run_wake() : run_load();
    getrusage(RUSAGE_SELF, &after);
    double cpu = (double)(after.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_utime.tv_sec - before.ru_stime.tv_sec) +
                 (double)(after.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_utime.tv_usec - before.ru_stime.tv_usec) / 1e6;
    bool held = !(count.lost + count.doubled + count.disordered + count.altered + count.closed);
    printf("{\"held\": %s, \"seconds\": %.3f, \"sent\": %llu, \"delivered\": %llu, \"arrived\": %llu, \"per_second\": %.0f, ", held ? "true" : "false",
           took, (unsigned long long)count.sent, (unsigned long long)count.delivered,
           (unsigned long long)count.arrived, (double)count.delivered / took);
    print_latency("latency_us", &latency);
    if (want.mode == WAKE) print_latency("latency_awake_us", &latency_awake);
    printf("\"lost\": %llu, \"doubled\": %llu, \"disordered\": %llu, \"altered\": %llu, \"closed\": %llu, ",
           (unsigned long long)count.lost, (unsigned long long)count.doubled, (unsigned long long)count.disordered,
           (unsigned long long)count.altered, (unsigned long long)count.closed);
    printf("\"trouble\": \"%s\", \"generator_busy\": %.2f}\n", count.first_trouble, cpu / ((double)(now() - begin) / 1e9));
    return held ? 0 : 2;
}
