// BLAKE2b without a key. Source: RFC 7693, sections 2 and 3.
#pragma once
#include <cstdint>
#include <cstring>

namespace blake2 {

constexpr uint64_t START[8] = {0x6A09E667F3BCC908u, 0xBB67AE8584CAA73Bu, 0x3C6EF372FE94F82Bu, 0xA54FF53A5F1D36F1u,
                               0x510E527FADE682D1u, 0x9B05688C2B3E6C1Fu, 0x1F83D9ABFB41BD6Bu, 0x5BE0CD19137E2179u};
constexpr uint8_t ORDERS[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

inline uint64_t turn(uint64_t x, int by) { return x >> by | x << (64 - by); }

inline void blend(uint64_t *v, int a, int b, int c, int d, uint64_t x, uint64_t y) {
    v[a] += v[b] + x, v[d] = turn(v[d] ^ v[a], 32);
    v[c] += v[d], v[b] = turn(v[b] ^ v[c], 24);
    v[a] += v[b] + y, v[d] = turn(v[d] ^ v[a], 16);
    v[c] += v[d], v[b] = turn(v[b] ^ v[c], 63);
}

inline void compress(uint64_t *state, const uint8_t *block, uint64_t so_far, bool last) {
    uint64_t v[16], m[16];
    memcpy(m, block, 128);
    memcpy(v, state, 64), memcpy(v + 8, START, 64);
    v[12] ^= so_far;
    if (last) v[14] = ~v[14];
#pragma GCC unroll 12  // so that the orders become part of the instructions
    for (int round = 0; round < 12; round++) {
        const uint8_t *s = ORDERS[round % 10];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) blend(v, i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            blend(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
    }
    for (int i = 0; i < 8; i++) state[i] ^= v[i] ^ v[i + 8];
}

}  // namespace blake2

static inline void blake2b(const uint8_t *data, uint64_t n, uint8_t *hash, int size) {
    uint64_t state[8], done = 0;
    memcpy(state, blake2::START, 64);
    state[0] ^= 0x01010000u ^ static_cast<uint64_t>(size);
    for (; n - done > 128; done += 128) blake2::compress(state, data + done, done + 128, false);
    uint8_t block[128] = {0};
    if (n > done) memcpy(block, data + done, n - done);
    blake2::compress(state, block, n, true);
    memcpy(hash, state, size);
}
