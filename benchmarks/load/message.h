// What is said and what must come back. A message is a JSON string, since some servers take nothing else:
// a quote, "m", its sender (8 hex digits), its number (8), the time it was sent or due (16), padding, and a quote.

#pragma once
#include "connection.h"

enum { PADDING_AT = 34, RING = 4096 };

static uint32_t *reached;       // broadcast: [sender][number % window], how many members got it
static uint32_t window_of_sender;
static bool measuring, sending; // whether deliveries count; whether new messages are sent
static uint64_t measured_from = UINT64_MAX, measured_to = UINT64_MAX;
static struct histogram latency, latency_awake, latency_last;
static uint8_t padding[1 << 16];

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

static bool to_members(void) { return want.mode == BROADCAST || want.mode == IDLE; }
static bool sends(const struct connection *c) { return c - all < (ptrdiff_t)want.senders * want.rooms; }
static int sender_rank(const struct connection *c) { return (int)((c - all) / want.rooms); }
static int members(int room) { return want.connections / want.rooms + (room < want.connections % want.rooms); }
static uint32_t hearers(const struct connection *c) { return (uint32_t)(members(c->room) - 1 - want.deaf); }

static void say(struct connection *c, uint64_t at) {
    static uint8_t message[1 << 16];
    size_t size = (size_t)want.size;
    message[0] = message[size - 1] = '"';
    message[1] = 'm';
    write_hex(message + 2, 8, (uint64_t)(c - all));
    write_hex(message + 10, 8, c->sent);
    write_hex(message + 18, 16, at);
    memcpy(message + PADDING_AT, padding, size - PADDING_AT - 1);
    put_frame(c, 1, message, size);
    if (reached) reached[(uint64_t)(c - all) * window_of_sender + c->sent % window_of_sender] = 0;
    c->sent++;
    count.sent += measuring;
    count.expected += to_members() ? hearers(c) : 1;
}

static bool counts(uint64_t sent_at) {
    // At a fixed rate every message of the measured time counts, also when it is delivered after it.
    return want.rate ? sent_at >= measured_from && sent_at < measured_to : measuring;
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

static void take_broadcast(struct connection *c, uint64_t number_of_sender, uint64_t number, uint64_t sent_at, uint64_t at) {
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
    if (++reached[number_of_sender * window_of_sender + number % window_of_sender] != hearers(sender)) return;
    if (counts(sent_at)) record(&latency_last, at - sent_at);
    if (sending && !want.rate) say(sender, now());
}

static void take(struct connection *c, const uint8_t *payload, size_t size, uint64_t at) {
    uint64_t sender, number, sent_at;
    count.arrived++;
    if (want.mode == WAKE && size) { c->woke = *payload == '1'; payload++; size--; }
    if (size != (size_t)want.size || payload[0] != '"' || payload[1] != 'm' || payload[size - 1] != '"' ||
        !read_hex(payload + 2, 8, &sender) || !read_hex(payload + 10, 8, &number) || !read_hex(payload + 18, 16, &sent_at) ||
        sender >= (uint64_t)want.connections || memcmp(payload + PADDING_AT, padding, size - PADDING_AT - 1)) {
        trouble(&count.altered, "a message that nobody sent");
        return;
    }
    count.delivered += measuring;
    if (counts(sent_at)) record(want.mode == WAKE && !c->woke ? &latency_awake : &latency, at - sent_at);
    if (to_members()) take_broadcast(c, sender, number, sent_at, at);
    else take_echo(c, sender, number);
}
