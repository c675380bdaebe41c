// What was asked for, and the command line it came from.

#pragma once
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_MIN = 44, SIZE_LARGEST = 60000 };
enum mode { ECHO, BROADCAST, IDLE, WAKE, DIAL, COLD, HTTP, MODES };
static const char *const MODE_NAMES[MODES] = {"echo", "broadcast", "idle", "wake", "dial", "cold", "http"};

static struct {
    enum mode mode;
    const char *host, *path, *paths;
    int port, connections, rooms, senders, window, size, deaf, first_room;
    double seconds, warm_up, drain, rate, sleep, pause;
} want = {.host = "127.0.0.1", .path = "/", .connections = 1, .rooms = 1, .senders = 1, .window = 1, .size = 64,
          .seconds = 3, .warm_up = 1, .drain = 10, .sleep = 2};

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "load: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

static const struct option OPTIONS[] = {
    {"host", 1, 0, 'h'}, {"port", 1, 0, 'p'}, {"path", 1, 0, 'P'}, {"connections", 1, 0, 'c'}, {"rooms", 1, 0, 'r'},
    {"senders", 1, 0, 's'}, {"window", 1, 0, 'w'}, {"size", 1, 0, 'z'}, {"seconds", 1, 0, 't'}, {"warm-up", 1, 0, 'u'},
    {"drain", 1, 0, 'd'}, {"rate", 1, 0, 'R'}, {"sleep", 1, 0, 'S'}, {"deaf", 1, 0, 'D'},
    {"first-room", 1, 0, 'f'}, {"paths", 1, 0, 'F'}, {"pause", 1, 0, 'a'}, {0, 0, 0, 0}};

static void read_options(int argc, char **argv) {
    int mode = 0;
    if (argc < 2) fail("expected echo, broadcast, idle, wake, dial, cold or http");
    while (mode < MODES && strcmp(argv[1], MODE_NAMES[mode])) mode++;
    if (mode == MODES) fail("expected echo, broadcast, idle, wake, dial, cold or http, got %s", argv[1]);
    want.mode = (enum mode)mode;
    for (int o; (o = getopt_long(argc - 1, argv + 1, "", OPTIONS, NULL)) != -1;) switch (o) {
        case 'h': want.host = optarg; break;
        case 'p': want.port = atoi(optarg); break;
        case 'P': want.path = optarg; break;
        case 'c': want.connections = atoi(optarg); break;
        case 'r': want.rooms = atoi(optarg); break;
        case 's': want.senders = atoi(optarg); break;
        case 'w': want.window = atoi(optarg); break;
        case 'z': want.size = atoi(optarg); break;
        case 't': want.seconds = atof(optarg); break;
        case 'u': want.warm_up = atof(optarg); break;
        case 'd': want.drain = atof(optarg); break;
        case 'R': want.rate = atof(optarg); break;
        case 'D': want.deaf = atoi(optarg); break;
        case 'f': want.first_room = atoi(optarg); break;
        case 'F': want.paths = optarg; break;
        case 'a': want.pause = atof(optarg); break;
        case 'S': want.sleep = atof(optarg); break;
        default: exit(1);
    }
    if (want.connections < 1 || want.rooms < 1 || want.window < 1 || want.senders < 1) fail("counts must be 1 or more");
    if (want.size < SIZE_MIN || want.size > SIZE_LARGEST) fail("--size must be from %d to %d", SIZE_MIN, SIZE_LARGEST);
    if (want.mode == BROADCAST && want.connections / want.rooms < want.senders)
        fail("a room has fewer members than senders: --connections over --rooms must be at least --senders");
    if (want.deaf < 0 || (want.deaf && (want.mode != BROADCAST || want.connections / want.rooms < want.senders + want.deaf + 1)))
        fail("--deaf is for broadcasts: a room needs its senders, its deaf members and one that listens");
}
