// MinHash signatures, n-gram sets and line hashes of texts, straight from UTF-8.
//
// Source: Broder, "On the resemblance and containment of documents", 1997. What a character is comes in
// a table (one entry for each code point) that Python makes from its own Unicode data, so that both agree:
// the folded character in the low bits, and the flags below. `minhash_twin.py` has the same arithmetic.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "blake2.h"

namespace {

constexpr uint32_t FOLDED = (1u << 21) - 1, WORD = 1u << 28, UNSPACED = 1u << 29, SPACE = 1u << 30;
constexpr uint64_t LETTER = 0x9E3779B97F4A7C15u, TOKEN = 0xD6E8FEB86659FD93u;
constexpr int TOGETHER = 32;  // permutations worked on at once

typedef uint32_t Words __attribute__((vector_size(64)));

struct Texts {
    const uint8_t *bytes;
    const int64_t *offsets;
    int64_t n;
    const uint32_t *table;
    int64_t table_size;
    int32_t word_ngram, char_ngram;
};

uint64_t mix(uint64_t x) {  // the end of MurmurHash3, public domain
    x = (x ^ (x >> 33)) * 0xFF51AFD7ED558CCDu;
    x = (x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53u;
    return x ^ (x >> 33);
}

uint32_t next_code_point(const uint8_t *&at, const uint8_t *end) {
    const uint32_t first = *at++;
    const int more = first < 0xC0 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    if (more == 0 || end - at < more) return first;
    uint32_t point = first & (0x3F >> more);
    for (int i = 0; i < more; i++) point = point << 6 | (*at++ & 0x3F);
    return point;
}

struct Tokens {
    std::vector<uint64_t> hashes;
    std::vector<uint8_t> unspaced;  // whether each is a character of a script without spaces

    void add(uint64_t letters, bool is_unspaced) { hashes.push_back(mix(letters)), unspaced.push_back(is_unspaced); }
};

void read_characters(const Texts &texts, int64_t i, std::vector<uint32_t> &characters) {
    const uint8_t *at = texts.bytes + texts.offsets[i], *end = texts.bytes + texts.offsets[i + 1];
    characters.resize(end - at);
    uint32_t *to = characters.data();
    while (at < end) {
        const uint32_t point = *at < 0x80 ? *at++ : next_code_point(at, end);
        *to++ = point < texts.table_size ? texts.table[point] : point;
    }
    characters.resize(to - characters.data());
}

// Tokens are the words, and each character of a script without spaces: an edit changes those near it alone.
void read_tokens(const std::vector<uint32_t> &characters, Tokens &tokens) {
    tokens.hashes.clear(), tokens.unspaced.clear();
    uint64_t word = 0;
    bool inside = false;
    for (const uint32_t entry : characters) {
        const bool unspaced = (entry & (WORD | UNSPACED)) == (WORD | UNSPACED);
        if ((entry & WORD) && !unspaced) {
            word = word * LETTER + (entry & FOLDED);
            inside = true;
            continue;
        }
        if (inside) tokens.add(word, false);
        if (unspaced) tokens.add(entry & FOLDED, true);
        word = 0, inside = false;
    }
    if (inside) tokens.add(word, false);
    if (!tokens.hashes.empty()) return;
    for (const uint32_t entry : characters) word = word * LETTER + (entry & FOLDED);
    tokens.add(word, false);
}

uint64_t power(uint64_t base, int exponent) {
    uint64_t product = 1;
    for (int i = 0; i < exponent; i++) product *= base;
    return product;
}

// An n-gram's first token says how long it is. Where none fits, all tokens are one.
void hash_ngrams(const Texts &texts, const Tokens &tokens, std::vector<uint64_t> &until, std::vector<uint32_t> &ngrams) {
    const int64_t size = tokens.hashes.size();
    const int64_t lengths[2] = {texts.word_ngram, texts.char_ngram};
    const uint64_t powers[2] = {power(TOKEN, lengths[0]), power(TOKEN, lengths[1])};
    until.resize(size + 1), ngrams.resize(size);
    until[0] = 0;
    for (int64_t i = 0; i < size; i++) until[i + 1] = until[i] * TOKEN + tokens.hashes[i];
    int64_t found = 0;
    for (int64_t i = 0; i < size; i++) {
        const int kind = tokens.unspaced[i];
        const int64_t end = i + lengths[kind];
        if (end <= size) ngrams[found++] = mix(until[end] - until[i] * powers[kind]) >> 32;
    }
    if (!found) ngrams[found++] = mix(until[size]) >> 32;
    ngrams.resize(found);
}

// The low bits of a product are weak: the high ones are brought down before the second.
Words permute(uint32_t value, Words masks, Words factors) {
    Words hashed = (masks ^ value) * factors;
    hashed ^= hashed >> 15;
    return hashed * 0x2C1B3C6Du;
}

void least(const std::vector<uint32_t> &ngrams, const uint32_t *masks, const uint32_t *factors, uint32_t *to) {
    Words m[2], f[2], low[2];
    memcpy(m, masks, sizeof m), memcpy(f, factors, sizeof f), memset(low, 0xFF, sizeof low);
    for (const uint32_t value : ngrams) {
        const Words a = permute(value, m[0], f[0]), b = permute(value, m[1], f[1]);
        low[0] = a < low[0] ? a : low[0];
        low[1] = b < low[1] ? b : low[1];
    }
    memcpy(to, low, sizeof low);
}

uint8_t *put_utf8(uint32_t point, uint8_t *to) {
    if (point < 0x80) {
        *to++ = point;
    } else if (point < 0x800) {
        *to++ = 0xC0 | point >> 6, *to++ = 0x80 | (point & 0x3F);
    } else if (point < 0x10000) {
        *to++ = 0xE0 | point >> 12, *to++ = 0x80 | (point >> 6 & 0x3F), *to++ = 0x80 | (point & 0x3F);
    } else {
        *to++ = 0xF0 | point >> 18, *to++ = 0x80 | (point >> 12 & 0x3F);
        *to++ = 0x80 | (point >> 6 & 0x3F), *to++ = 0x80 | (point & 0x3F);
    }
    return to;
}

// Hashes characters but for their case and the kind and number of spaces.
void hash_exactly(const uint32_t *from, const uint32_t *end, std::vector<uint8_t> &room, uint8_t *hash, int size) {
    room.resize(4 * (end - from) + 4);
    uint8_t *to = room.data();
    uint32_t gap = 1;  // without branches, as spaces cannot be foreseen
    for (; from < end; from++) {
        const uint32_t space = (*from & SPACE) != 0, point = space ? ' ' : *from & FOLDED;
        if (point < 0x80) {
            *to = point;
            to += 1 - (space & gap);
        } else {
            to = put_utf8(point, to);
        }
        gap = space;
    }
    if (gap && to != room.data()) to--;
    blake2b(room.data(), to - room.data(), hash, size);
}

// Sorts by 11 bits at a time: three passes, whatever the length.
void sort_unique(std::vector<uint32_t> &values, std::vector<uint32_t> &other) {
    if (values.size() < 512) {
        std::sort(values.begin(), values.end());
    } else {
        other.resize(values.size());
        for (int shift = 0; shift < 33; shift += 11) {
            size_t counts[2049] = {0};
            for (const uint32_t v : values) counts[(v >> shift & 2047) + 1]++;
            for (int i = 0; i < 2048; i++) counts[i + 1] += counts[i];
            for (const uint32_t v : values) other[counts[v >> shift & 2047]++] = v;
            values.swap(other);
        }
    }
    values.erase(std::unique(values.begin(), values.end()), values.end());
}

}  // namespace

extern "C" {

// keys: 16 bytes a text. signatures: `permutations` (a multiple of TOGETHER) a text.
void luban_sign(const Texts *texts, const uint32_t *masks, const uint32_t *factors, int64_t permutations,
                uint8_t *keys, uint32_t *signatures) {
    std::vector<uint32_t> characters, ngrams;
    std::vector<uint64_t> until;
    Tokens tokens;
    std::vector<uint8_t> room;
    for (int64_t i = 0; i < texts->n; i++) {
        read_characters(*texts, i, characters);
        const uint32_t *first = characters.data();
        hash_exactly(first, first + characters.size(), room, keys + 16 * i, 16);
        read_tokens(characters, tokens);
        hash_ngrams(*texts, tokens, until, ngrams);
        for (int64_t k = 0; k < permutations; k += TOGETHER)
            least(ngrams, masks + k, factors + k, signatures + i * permutations + k);
    }
}

// Writes each text's n-grams, sorted and each once, one text after the other; `ends` (n + 1) says where.
void luban_ngram_sets(const Texts *texts, uint32_t *sets, int64_t *ends) {
    std::vector<uint32_t> characters, ngrams, other;
    std::vector<uint64_t> until;
    Tokens tokens;
    ends[0] = 0;
    for (int64_t i = 0; i < texts->n; i++) {
        read_characters(*texts, i, characters);
        read_tokens(characters, tokens);
        hash_ngrams(*texts, tokens, until, ngrams);
        sort_unique(ngrams, other);
        memcpy(sets + ends[i], ngrams.data(), 4 * ngrams.size());
        ends[i + 1] = ends[i] + ngrams.size();
    }
}

// Jaccard similarity of sorted sets: set k is sets[bounds[2k]] up to sets[bounds[2k + 1]].
void luban_jaccard(const uint32_t *sets, const int64_t *bounds, const int64_t *pairs, int64_t n, double *found) {
    for (int64_t p = 0; p < n; p++) {
        const int64_t *left = bounds + 2 * pairs[2 * p], *right = bounds + 2 * pairs[2 * p + 1];
        const uint32_t *a = sets + left[0], *b = sets + right[0];
        const uint32_t *a_end = sets + left[1], *b_end = sets + right[1];
        const int64_t total = (a_end - a) + (b_end - b);
        int64_t both = 0;
        while (a < a_end && b < b_end) {
            const uint32_t x = *a, y = *b;
            both += x == y, a += x <= y, b += y <= x;
        }
        found[p] = total ? static_cast<double>(both) / (total - both) : 1.0;
    }
}

// Hashes each line, or each paragraph (what stands between blank lines): its text, where it begins and
// ends in bytes, and its length in characters, of which one of a script without spaces counts as three.
int64_t luban_lines(const Texts *texts, int32_t paragraphs, uint64_t *hashes, int64_t *places, int32_t *lengths) {
    std::vector<uint32_t> characters;
    std::vector<uint8_t> room;
    int64_t found = 0;
    const auto add = [&](int64_t text, int64_t begin, int64_t end) {
        const int64_t offsets[2] = {begin, end};
        Texts one = *texts;
        one.offsets = offsets;
        read_characters(one, 0, characters);
        int64_t length = 0, blank = 1;
        for (const uint32_t entry : characters) length += entry & UNSPACED ? 3 : 1, blank &= (entry & SPACE) != 0;
        if (blank) return;
        hash_exactly(characters.data(), characters.data() + characters.size(), room,
                     reinterpret_cast<uint8_t *>(hashes + found), 8);
        places[3 * found] = text, places[3 * found + 1] = begin, places[3 * found + 2] = end;
        lengths[found++] = std::min<int64_t>(length, INT32_MAX);
    };
    for (int64_t i = 0; i < texts->n; i++) {
        const int64_t end = texts->offsets[i + 1];
        int64_t begin = texts->offsets[i], at = begin;
        while (const void *newline = at < end ? memchr(texts->bytes + at, '\n', end - at) : nullptr) {
            const int64_t stop = static_cast<const uint8_t *>(newline) - texts->bytes;
            at = stop + 1;
            const int64_t next = at + (at < end && texts->bytes[at] == '\r');
            if (paragraphs && !(next < end && texts->bytes[next] == '\n')) continue;
            add(i, begin, stop);
            begin = at;
        }
        if (begin < end) add(i, begin, end);
    }
    return found;
}
}
