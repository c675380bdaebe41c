// The bytes that come: the answers to handshakes, frames, and the answers to HTTP requests.

#pragma once
#include "message.h"

enum { READ_BYTES = 1 << 18, PATH_BYTES = 4096 };

static char **paths; // with --paths: that of each room

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

static size_t take_one_frame(struct connection *c, uint8_t *at, size_t size, uint64_t when) {
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

static void path_of(const struct connection *c, char path[PATH_BYTES]) {
    const char *given = paths ? paths[c->room] : want.path, *mark = paths ? NULL : strchr(given, '*');
    if (mark) snprintf(path, PATH_BYTES, "%.*s%d%s", (int)(mark - given), given, c->room + want.first_room, mark + 1);
    else snprintf(path, PATH_BYTES, "%s", given);
}

static void ask_for_upgrade(struct connection *c) {
    char head[PATH_BYTES + 256], path[PATH_BYTES];
    path_of(c, path);
    int size = snprintf(head, sizeof head,
                        "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                        path, want.host, want.port);
    memcpy(extend(&c->out, (size_t)size), head, (size_t)size);
}

static size_t take_upgrade(struct connection *c, uint8_t *at, size_t size, uint64_t when) {
    // The key of every handshake is the example of RFC 6455, section 1.3; so is the answer.
    uint8_t *end = memmem(at, size, "\r\n\r\n", 4);
    if (!end) return 0;
    *end = 0;
    if (strncmp((char *)at, "HTTP/1.1 101", 12) || !strstr((char *)at, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        fail("the handshake was answered with: %.60s", (char *)at);
    c->state = OPEN;
    opened++;
    if (want.mode == DIAL) { record(&latency, when - c->since); count.delivered++; count.arrived++; }
    if (want.mode == COLD) say(c, c->since);
    if (c->deaf) watch(c, false);
    return (size_t)(end - at) + 4;
}

static void ask_over_http(struct connection *c, uint64_t at) {
    char head[PATH_BYTES + 64], path[PATH_BYTES];
    path_of(c, path);
    int size = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: %s:%d\r\n\r\n", path, want.host, want.port);
    memcpy(extend(&c->out, (size_t)size), head, (size_t)size);
    write_soon(c);
    c->since = at;
    count.sent += measuring;
    count.expected++;
}

static void take_count(struct connection *c, const char *body, uint64_t at) {
    // An object counts its requests; with one connection to each, the next answer is one more than the last.
    uint64_t number = strtoull(body, NULL, 10);
    count.arrived++;
    if (!number) trouble(&count.altered, "an answer that is no number");
    else if (c->counted && number == c->counted) trouble(&count.doubled, "an object gave one number twice");
    else if (c->counted && number != c->counted + 1) trouble(&count.lost, "an object counted another number of requests than it was sent");
    c->counted = number;
    if (measuring) { count.delivered++; record(&latency, at - c->since); }
    if (sending) ask_over_http(c, at);
}

static size_t take_response(struct connection *c, uint8_t *at, size_t size, uint64_t when) {
    uint8_t *end = memmem(at, size, "\r\n\r\n", 4);
    char body[24];
    if (!end) return 0;
    *end = 0;
    char *length = strcasestr((char *)at, "\r\ncontent-length:");
    if (strncmp((char *)at, "HTTP/1.1 200", 12) || !length) fail("a request was answered with: %.200s", (char *)at);
    *end = '\r';
    size_t head = (size_t)(end - at) + 4, bytes = strtoull(length + 17, NULL, 10);
    if (bytes >= sizeof body) fail("an answer of %zu bytes: expected a number", bytes);
    if (size < head + bytes) return 0;
    memcpy(body, at + head, bytes);
    body[bytes] = 0;
    take_count(c, body, when);
    return head + bytes;
}

static size_t take_one(struct connection *c, uint8_t *at, size_t size, uint64_t when) {
    if (c->state == ASKING) return take_upgrade(c, at, size, when);
    return want.mode == HTTP ? take_response(c, at, size, when) : take_one_frame(c, at, size, when);
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
