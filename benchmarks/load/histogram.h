// Latencies: a histogram of 64 steps to each power of two, so that a value is kept to 1.6 %.

#pragma once
#include <math.h>
#include <stdint.h>

enum { STEP_BITS = 6, STEPS = 64 << STEP_BITS };
struct histogram { uint64_t steps[STEPS], total; };

static int step_of(uint64_t ns) {
    if (ns < 1u << STEP_BITS) return (int)ns;
    int shift = 63 - __builtin_clzll(ns) - STEP_BITS;
    return ((shift + 1) << STEP_BITS) + (int)((ns >> shift) - (1u << STEP_BITS));
}

static double step_middle(int step) {
    if (step < 1 << STEP_BITS) return step;
    int shift = (step >> STEP_BITS) - 1;
    return ldexp((1 << STEP_BITS) + (step & ((1 << STEP_BITS) - 1)) + 0.5, shift);
}

static void record(struct histogram *h, uint64_t ns) {
    h->steps[step_of(ns)]++;
    h->total++;
}

static double microseconds(const struct histogram *h, double share) {
    if (!h->total) return 0;
    uint64_t rank = (uint64_t)(share * (double)(h->total - 1)), seen = 0;
    for (int step = 0; step < STEPS; step++)
        if ((seen += h->steps[step]) > rank) return step_middle(step) / 1000;
    return 0;
}
