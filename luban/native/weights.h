// How weights lie in memory, and how they become vectors of floats again.
#pragma once
#include "vectors.h"

constexpr int BLOCK = 32;             // weights that share one scale
constexpr int PARTS = BLOCK / LANES;  // vectors in a block

// The forms of a weight matrix. Each gives part `p` of a block: weights p * LANES and on.

struct Float32 {
    float weights[BLOCK];
    Vector part(int p) const { return load(weights + p * LANES); }
};

struct BFloat16 {  // the upper half of a float
    uint16_t weights[BLOCK];
    Vector part(int p) const { return (Vector)(load_integers<uint16_t>(weights + p * LANES) << 16); }
};

struct EightBits {  // weight = scale * level
    float scale;
    int8_t levels[BLOCK];
    Vector part(int p) const {
        return scale * __builtin_convertvector(load_integers<int16_t>(levels + p * LANES), Vector);
    }
};

struct FourBits {  // weight = scale * level + least; levels 0..15 in the low halves, 16..31 in the high
    float scale, least;
    uint8_t levels[BLOCK / 2];
    Vector part(int p) const {
        const int first = p * LANES % (BLOCK / 2);
        Integers bytes = load_integers<uint16_t>(levels + first);
        Integers level = p * LANES < BLOCK / 2 ? bytes & 15 : bytes >> 4;
        return scale * __builtin_convertvector(level, Vector) + least;
    }
};

enum Form : int32_t { FLOAT32, BFLOAT16, EIGHT_BITS, FOUR_BITS };
