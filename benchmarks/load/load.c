// A load generator for WebSocket servers on this machine: one process, one thread, epoll.
//
//  (1) Every message carries its sender, its number and the time it was sent; nothing that arrives goes unchecked.
//  (2) `echo`: a connection gets back its own messages, each once, in order. `cold`: the same, of one message to each
//      connection, sent as soon as it is open. `wake`: of messages to objects that sleep, and to the same awake.
//  (3) `broadcast`: a member of a room gets the messages of every other sender of the room, each once, in the order
//      sent, and all members that send nothing get the same sequence. `idle`: nothing is sent until stdin ends; then
//      the first member of every room says something, and all others get it. Members that are `--deaf` read nothing.
//  (4) `http`: every answer is the number of requests that this connection's object has had.
//  (5) `dial`: every handshake is answered with the accept key that belongs to it.
//  (6) After the measured time nothing new is sent; what is still missing `--drain` seconds later is lost.
//  (7) It connects to 127.0.0.0/8 only.
//
// One line of JSON on stdout. Status 0: every check held; 2: one failed; 1: it could not run at all.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include "incoming.h"

enum { EVENTS = 512, CONNECTING_MAX = 64, SOURCES = 8, DEAF_BYTES = 4096, OPENING_SECONDS_MAX = 120 };

static struct { uint64_t from; double processor; } watched; // the generator itself: is it the one that is measured?

static void finish_dialling(struct connection *c) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) fail("cannot connect to %s:%d: %s", want.host, want.port, strerror(error));
    c->watching_out = true;
    if (want.mode == HTTP) {
        c->state = OPEN;
        opened++;
        watch(c, false);
        return;
    }
    ask_for_upgrade(c);
    c->state = ASKING;
    write_out(c);
}

static void round_of_events(int wait_ms) {
    static struct epoll_event events[EVENTS];
    int n = epoll_wait(poll_fd, events, EVENTS, wait_ms);
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        if (c->state == DIALLING) finish_dialling(c);
        else if (c->state != GONE && c->deaf && c->state == OPEN) {
            if (events[i].events & (EPOLLERR | EPOLLHUP)) drop(c, "");
        } else if (c->state != GONE) {
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
    int one = 1, little = DEAF_BYTES;
    if ((c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) < 0) fail("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (c->deaf) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little); // so that the server feels it soon
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from)) fail("bind: %s", strerror(errno));
    c->since = now();
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        fail("cannot connect to %s:%d: %s", want.host, want.port, strerror(errno));
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &e);
    c->state = DIALLING;
}

static void read_paths(void) {
    FILE *file = fopen(want.paths, "r");
    if (!file) fail("%s: %s", want.paths, strerror(errno));
    if (!(paths = calloc((size_t)want.rooms, sizeof *paths))) fail("out of memory");
    for (int room = 0; room < want.rooms; room++) {
        size_t size = 0;
        if (getline(&paths[room], &size, file) < 1) fail("%s: expected a path for each of %d rooms", want.paths, want.rooms);
        paths[room][strcspn(paths[room], "\n")] = 0;
    }
    fclose(file);
}

static void prepare(void) {
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    all = calloc((size_t)want.connections, sizeof *all);
    dirty = calloc((size_t)want.connections, sizeof *dirty);
    if (!all || !dirty) fail("out of memory");
    if (want.paths) read_paths();
    memset(padding, 'x', sizeof padding);
    for (int i = 0; i < want.connections; i++) {
        all[i].room = i % want.rooms;
        all[i].deaf = i / want.rooms >= members(all[i].room) - want.deaf;
        if (to_members() && !(all[i].next = calloc((size_t)want.senders, sizeof(uint32_t)))) fail("out of memory");
    }
    if (!to_members()) return;
    window_of_sender = want.rate ? RING : (uint32_t)want.window;
    reached = calloc((size_t)want.senders * (size_t)want.rooms * window_of_sender, sizeof *reached);
    if (!reached) fail("out of memory");
}

static int settled(void) { return want.mode == COLD ? (int)count.arrived : opened; }

static void open_all(void) {
    uint64_t give_up = now() + OPENING_SECONDS_MAX * 1000000000ull;
    for (int dialled = 0; settled() < want.connections && !gone;) {
        for (; dialled < want.connections && dialled - settled() < CONNECTING_MAX; dialled++) dial(&all[dialled]);
        round_of_events(100);
        if (now() > give_up) fail("%d of %d connections were open after %d s", opened, want.connections, OPENING_SECONDS_MAX);
    }
    if (gone) fail("%s", count.first_trouble);
}

static void send_what_is_due(uint64_t at) {
    for (int i = 0; i < want.connections; i++) {
        struct connection *c = &all[i];
        if (to_members() && !sends(c)) break;
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
        if (to_members() && !sends(&all[i])) break;
        all[i].due = at + (uint64_t)(want.rate ? (double)(draw() % 1000) / 1000 * 1e9 / want.rate : 0);
        if (want.mode == HTTP) ask_over_http(&all[i], at);
        else
            for (int k = 0; !want.rate && k < want.window; k++) say(&all[i], at);
    }
    write_all_dirty();
}

static void drain(void) {
    sending = measuring = false;
    uint64_t end = now() + (uint64_t)(want.drain * 1e9);
    while (count.arrived < count.expected && now() < end && !gone) round_of_events(20);
    if (count.arrived < count.expected) trouble(&count.lost, "messages were lost");
    if (count.arrived < count.expected) count.lost = count.expected - count.arrived;
}

static void compare_sequences(void) {
    for (int i = want.senders * want.rooms; i < want.connections; i++) {
        int first = want.senders * want.rooms + ((i - want.senders * want.rooms) % want.rooms);
        if (!all[i].deaf && all[i].sequence != all[first].sequence)
            trouble(&count.disordered, "members of a room saw different orders");
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

static double processor_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void watch_the_generator(void) {
    watched.from = now();
    watched.processor = processor_seconds();
}

static double run_load(void) {
    open_all();
    run_until(now() + (uint64_t)(want.pause * 1e9)); // --pause: for servers that let a member in after its handshake
    watch_the_generator(); // opening is not the load that is measured
    begin_sending();
    run_until(now() + (uint64_t)(want.warm_up * 1e9));
    measuring = true;
    measured_from = now();
    run_until(measured_from + (uint64_t)(want.seconds * 1e9));
    measured_to = now();
    drain();
    if (to_members()) compare_sequences();
    return (double)(measured_to - measured_from) / 1e9;
}

static double run_opening(void) {
    uint64_t begin = now();
    measuring = true;
    open_all();
    return (double)(now() - begin) / 1e9;
}

static double run_wake(void) {
    open_all();
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
    open_all();
    printf("{\"open\": %d}\n", opened);
    fflush(stdout);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    int watched = epoll_create1(0);
    epoll_ctl(watched, EPOLL_CTL_ADD, STDIN_FILENO, &e);
    uint64_t begin = now(); // until stdin ends
    while (!gone && epoll_wait(watched, &e, 1, 0) == 0) round_of_events(50);
    for (int i = 0; i < want.rooms; i++) say(&all[i], now());
    write_all_dirty();
    drain();
    compare_sequences();
    return (double)(now() - begin) / 1e9;
}

static double run(void) {
    switch (want.mode) {
        case IDLE: return run_idle();
        case WAKE: return run_wake();
        case DIAL:
        case COLD: return run_opening();
        default: return run_load();
    }
}

// ---- what is said at the end ----

static void print_latency(const char *name, const struct histogram *h) {
    printf("\"%s\": {\"count\": %llu, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"max\": %.1f}, ", name,
           (unsigned long long)h->total, microseconds(h, .5), microseconds(h, .9), microseconds(h, .99), microseconds(h, 1));
}

static void print_result(double took, double busy) {
    bool held = !(count.lost + count.doubled + count.disordered + count.altered + count.closed);
    printf("{\"held\": %s, \"seconds\": %.3f, \"sent\": %llu, \"delivered\": %llu, \"arrived\": %llu, \"per_second\": %.0f, ",
           held ? "true" : "false", took, (unsigned long long)count.sent, (unsigned long long)count.delivered,
           (unsigned long long)count.arrived, (double)count.delivered / took);
    print_latency("latency_us", &latency);
    if (want.mode == WAKE) print_latency("latency_awake_us", &latency_awake);
    if (to_members()) print_latency("latency_last_us", &latency_last);
    printf("\"lost\": %llu, \"doubled\": %llu, \"disordered\": %llu, \"altered\": %llu, \"closed\": %llu, ",
           (unsigned long long)count.lost, (unsigned long long)count.doubled, (unsigned long long)count.disordered,
           (unsigned long long)count.altered, (unsigned long long)count.closed);
    printf("\"trouble\": \"%s\", \"generator_busy\": %.2f}\n", count.first_trouble, busy);
    exit(held ? 0 : 2);
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    prepare();
    watch_the_generator();
    double took = run();
    print_result(took, (processor_seconds() - watched.processor) / ((double)(now() - watched.from) / 1e9));
}
