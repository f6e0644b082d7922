// Finds a smaller form that gives back exactly the same weights, where there is one.
//
// Weights that were once stored in fewer bits (bfloat16, or GGUF's blocks of 32) still carry no more than
// those bits after they became floats. Nothing is rounded here: a single weight that differs is a "no".
#include <cmath>
#include <cstring>

#include "weights.h"

static int round_level(float x) { return static_cast<int>(x + (x < 0 ? -0.5f : 0.5f)); }

// The loops below have no early end, so that the compiler can work on many weights at once. NaN differs from all.

static bool pack(const float *w, BFloat16 &block) {
    uint32_t bits[BLOCK], lost = 0;
    memcpy(bits, w, sizeof bits);
    for (int i = 0; i < BLOCK; i++) {
        lost |= bits[i] & 0xffff;
        block.weights[i] = bits[i] >> 16;
    }
    return lost == 0;
}

// GGUF Q8_0: the weight farthest from zero has level 127 or -127.
static bool pack(const float *w, EightBits &block) {
    float largest = 0;
    for (int i = 0; i < BLOCK; i++) largest = std::fabs(w[i]) > largest ? std::fabs(w[i]) : largest;
    block.scale = largest / 127;
    const float per_level = largest > 0 ? 1 / block.scale : 0;
    bool wrong = false;
    for (int i = 0; i < BLOCK; i++) {
        block.levels[i] = static_cast<int8_t>(round_level(w[i] * per_level));
        wrong |= block.scale * block.levels[i] != w[i];
    }
    return !wrong;
}

static bool fill(const float *w, FourBits &block) {
    const float per_level = block.scale != 0 ? 1 / block.scale : 0;
    int levels[BLOCK], wrong = 0;
    for (int i = 0; i < BLOCK; i++) {
        levels[i] = round_level((w[i] - block.least) * per_level);
        wrong |= (block.scale * levels[i] + block.least != w[i]) | (levels[i] & ~15);
    }
    for (int i = 0; i < BLOCK / 2; i++) block.levels[i] = levels[i] | levels[i + BLOCK / 2] << 4;
    return !wrong;
}

// The 11 significant bits of a half-precision number.
static float round_to_half(float value) {
    int exponent;
    const float fraction = std::frexp(value, &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(fraction, 11)), exponent - 11);
}

// GGUF Q4_1: levels 0 and 15 are the smallest and the largest weight. Q4_0: level 0 is the weight farthest
// from zero, level 8 is zero.
static bool pack(const float *w, FourBits &block) {
    float least = w[0], most = w[0];
    for (int i = 1; i < BLOCK; i++) {
        least = w[i] < least ? w[i] : least;
        most = w[i] > most ? w[i] : most;
    }
    block.least = least;
    block.scale = round_to_half((most - least) / 15);
    if (fill(w, block)) return true;
    block.least = -least > most ? least : most;
    block.scale = block.least / -8;
    return fill(w, block);
}

template <class Block>
static bool pack_all(const float *w, int64_t n_blocks, void *out, int n_threads) {
    Block *blocks = static_cast<Block *>(out);
    bool is_exact = pack(w, blocks[0]);
    if (!is_exact) return false;  // the usual "no", found at once
#pragma omp parallel for num_threads(n_threads)
    for (int64_t i = 0; i < n_blocks; i++) {
        bool go_on;
#pragma omp atomic read
        go_on = is_exact;
        if (go_on && !pack(w + i * BLOCK, blocks[i])) {
#pragma omp atomic write
            is_exact = false;
        }
    }
    return is_exact;
}

// Fill `out` with the blocks of n_blocks * 32 weights; return whether they say exactly the same.
extern "C" bool luban_pack(const float *w, int64_t n_blocks, Form form, void *out, int n_threads) {
    switch (form) {
        case BFLOAT16: return pack_all<BFloat16>(w, n_blocks, out, n_threads);
        case EIGHT_BITS: return pack_all<EightBits>(w, n_blocks, out, n_threads);
        case FOUR_BITS: return pack_all<FourBits>(w, n_blocks, out, n_threads);
        default: return false;
    }
}
