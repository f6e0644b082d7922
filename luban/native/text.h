// A text in UTF-8, what its characters are, and sets of hashes: for the counts of text*.cpp.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

// What a character is, as bits; the table comes from Python, so that both sides agree on Unicode.
enum : uint8_t { SPACE = 1, LETTER = 2, WORD = 4, SYMBOL = 8, UNSPACED = 16, CJK = 32, HAN = 64, TERMINAL = 128 };

struct Classes {
    const uint8_t *of;
    int64_t n;
    uint8_t operator[](uint32_t c) const { return c < n ? of[c] : uint8_t(SYMBOL); }
};

struct Reader {
    const uint8_t *at, *end;

    bool more() const { return at < end; }

    // Python has encoded the text (lone surrogates too), so that it is well formed.
    uint32_t next() {
        const uint32_t a = *at++;
        if (a < 0x80) return a;
        if (a < 0xe0) return (a & 0x1f) << 6 | tail();
        if (a < 0xf0) {
            const uint32_t b = tail();
            return (a & 0x0f) << 12 | b << 6 | tail();
        }
        const uint32_t b = tail(), c = tail();
        return (a & 0x07) << 18 | b << 12 | c << 6 | tail();
    }

    uint32_t tail() { return at < end ? *at++ & 0x3f : 0; }

    // Go over characters of one byte that are no spaces; returns what any of them is.
    uint8_t skip_ascii(const uint8_t *classes) {
        uint8_t any = 0;
        while (at < end && *at < 0x80 && !(classes[*at] & SPACE)) any |= classes[*at++];
        return any;
    }
};

bool ends_with_ellipsis(const uint8_t *first, const uint8_t *last) {
    return last - first >= 3 && (!std::memcmp(last - 3, "...", 3) || !std::memcmp(last - 3, "\xe2\x80\xa6", 3));
}

constexpr uint64_t SPREAD = 0x9e3779b97f4a7c15u;

uint64_t mix(uint64_t h) {
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

// Fewer than eight bytes as one number, without reading beyond them; no two of one length give the same.
uint64_t load_few(const uint8_t *p, int64_t n) {
    if (n >= 4) {
        uint32_t head, tail;
        std::memcpy(&head, p, 4);
        std::memcpy(&tail, p + n - 4, 4);
        return head | uint64_t(tail) << 32;
    }
    return n ? p[0] | uint64_t(p[n / 2]) << 8 | uint64_t(p[n - 1]) << 16 : 0;
}

uint64_t hash_bytes(const uint8_t *p, int64_t n) {
    uint64_t h = SPREAD * (n + 1);
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word;
        std::memcpy(&word, p, 8);
        h = (h ^ word) * SPREAD;
        h ^= h >> 29;
    }
    return mix((h ^ load_few(p, n)) * SPREAD);
}

// A set of 64-bit keys.
class Keys {
  public:
    explicit Keys(int64_t n_keys) {
        int bits = 4;
        while ((int64_t(1) << bits) < 2 * n_keys) bits++;
        places.assign(size_t(1) << bits, 0);
        shift = 64 - bits;
    }

    // Whether the key was not there yet.
    bool add(uint64_t key) {
        key += !key;
        size_t i = key * SPREAD >> shift;
        while (places[i] && places[i] != key) i = (i + 1) & (places.size() - 1);
        const bool is_new = !places[i];
        places[i] = key;
        return is_new;
    }

  private:
    std::vector<uint64_t> places;
    int shift = 0;
};

struct Piece {
    uint64_t hash;
    int64_t chars;
};

uint32_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? c | 32 : c; }

Reader reader(const uint8_t *text, int64_t n) { return {text, text + n}; }

}  // namespace
