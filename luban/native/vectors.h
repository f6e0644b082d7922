// Vectors of floats, as wide as the processor has them.
//
// One text serves AVX-512, AVX2, NEON and plain processors: it is written with the vector types that
// GCC and Clang share, and they translate them for the processor at hand.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
constexpr int LANES = 16, REGISTERS = 32;
#elif defined(__aarch64__)
constexpr int LANES = 8, REGISTERS = 16;  // 32 registers of four floats
#else
constexpr int LANES = 8, REGISTERS = 16;
#endif

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int32_t Integers __attribute__((vector_size(4 * LANES)));

template <class T>
struct Lanes {
    typedef T Type __attribute__((vector_size(sizeof(T) * LANES), aligned(1), may_alias));
};

static inline Vector load(const float *from) { return *reinterpret_cast<const Lanes<float>::Type *>(from); }

static inline void store(float *to, Vector v) { memcpy(to, &v, sizeof v); }

// By way of `Half`, 16 bits wide: compilers find the instruction for each doubling, and none for two at once.
template <class Half, class T>
static inline Integers load_integers(const T *from) {
    const auto narrow = *reinterpret_cast<const typename Lanes<T>::Type *>(from);
    return __builtin_convertvector(__builtin_convertvector(narrow, typename Lanes<Half>::Type), Integers);
}

template <int N>
struct Floats {
    typedef float Type __attribute__((vector_size(4 * N)));
};

// Half the lanes onto the other half, until one is left.
template <int N>
static inline float add_lanes(typename Floats<N>::Type v) {
    if constexpr (N == 2) {
        return v[0] + v[1];
    } else {
        typename Floats<N / 2>::Type halves[2];
        memcpy(halves, &v, sizeof v);
        return add_lanes<N / 2>(halves[0] + halves[1]);
    }
}

static inline float sum(Vector v) { return add_lanes<LANES>(v); }

// e^x for x <= 0, within 1e-7 of it; what is below 1e-38 becomes about that.
// x = n ln 2 + r, so e^x = 2^n e^r, where |r| < 0.35 needs eight terms of the series.
static inline Vector exp_of_negative(Vector x) {
    const Vector least = Vector{} - 87;
    x = x < least ? least : x;
    const Integers n = __builtin_convertvector(x * 1.44269504f - 0.5f, Integers);  // cut off towards zero
    const Vector whole = __builtin_convertvector(n, Vector);
    const Vector r = x - whole * 0.693359375f + whole * 2.12194440e-4f;  // ln 2 in two parts
    Vector series = r * (1.0f / 5040) + 1.0f / 720;
    series = series * r + 1.0f / 120;
    series = series * r + 1.0f / 24;
    series = series * r + 1.0f / 6;
    series = series * r + 0.5f;
    series = series * r + 1;
    series = series * r + 1;
    return series * (Vector)((n + 127) << 23);
}
