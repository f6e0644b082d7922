// How weights lie in memory, and how they become vectors of floats again.
//
// One text serves AVX-512, AVX2, NEON and plain processors: it is written with the vector types that
// GCC and Clang share, and they translate them for the processor at hand.
#pragma once
#include <cstdint>

#if defined(__AVX512F__)
constexpr int LANES = 16, REGISTERS = 32;
#elif defined(__aarch64__)
constexpr int LANES = 8, REGISTERS = 16;  // 32 registers of four floats
#else
constexpr int LANES = 8, REGISTERS = 16;
#endif
constexpr int BLOCK = 32;               // weights that share one scale
constexpr int PARTS = BLOCK / LANES;    // vectors in a block

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int32_t Integers __attribute__((vector_size(4 * LANES)));

template <class T>
struct Lanes {
    typedef T Type __attribute__((vector_size(sizeof(T) * LANES), aligned(1), may_alias));
};

static inline Vector load(const float *from) { return *reinterpret_cast<const Lanes<float>::Type *>(from); }

// By way of `Half`, 16 bits wide: compilers find the instruction for each doubling, and none for two at once.
template <class Half, class T>
static inline Integers load_integers(const T *from) {
    const auto narrow = *reinterpret_cast<const typename Lanes<T>::Type *>(from);
    return __builtin_convertvector(__builtin_convertvector(narrow, typename Lanes<Half>::Type), Integers);
}

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
