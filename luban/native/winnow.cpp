// Fingerprints of texts by winnowing: texts that share enough bytes in a row share one.
//
// Source: Schleimer, Wilkerson and Aiken, "Winnowing: local algorithms for document fingerprinting", 2003,
// section 4.2 (robust winnowing): of `window` hashes in a row the least is kept, the one chosen before if it
// is still among the least, else the last of them.
#include <cstdint>
#include <vector>

namespace {
constexpr uint64_t BYTE = 0x9E3779B97F4A7C15u;

uint64_t mix(uint64_t x) { return (x ^ x >> 32) * 0xD6E8FEB86659FD93u; }
}  // namespace

extern "C" {

// Returns how many fingerprints there are; the text each is of and its place in it go to `places` (n, 2).
int64_t luban_winnow(const uint8_t *bytes, const int64_t *offsets, int64_t n, int64_t length, int64_t window,
                     int64_t *hashes, int64_t *places) {
    int64_t found = 0;
    uint64_t oldest = 1;
    for (int64_t i = 0; i < length; i++) oldest *= BYTE;
    std::vector<uint64_t> values;
    for (int64_t t = 0; t < n; t++) {
        const uint8_t *text = bytes + offsets[t];
        const int64_t size = offsets[t + 1] - offsets[t], grams = size - length + 1;
        if (grams < window) continue;
        values.resize(grams);
        uint64_t rolling = 0;
        for (int64_t i = 0; i < size; i++) {
            rolling = rolling * BYTE + text[i] - (i >= length ? text[i - length] * oldest : 0);
            if (i >= length - 1) values[i - length + 1] = mix(rolling);
        }
        int64_t chosen = -1;
        for (int64_t end = window; end <= grams; end++) {
            const int64_t before = chosen;
            if (chosen < end - window) {
                chosen = end - 1;
                for (int64_t i = end - 2; i >= end - window; i--)
                    if (values[i] < values[chosen]) chosen = i;
            } else if (values[end - 1] < values[chosen]) {
                chosen = end - 1;
            }
            if (chosen == before) continue;
            hashes[found] = static_cast<int64_t>(values[chosen]);
            places[2 * found] = t, places[2 * found + 1] = chosen;
            found++;
        }
    }
    return found;
}
}
