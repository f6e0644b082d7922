// The logits of a bag of n-grams under a linear layer: TF-IDF, as scikit-learn counts it, in one pass.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr uint64_t kPrime = 0x100000001b3ull, kOffset = 0xcbf29ce484222325ull;
constexpr int kMaxN = 8;

enum Class : uint8_t { kOther = 0, kWord = 1, kAlone = 2 };

// The description of a bag, laid out by luban/native/bag.py.
struct Bag {
    const uint64_t* keys;     // open addressing: 0 marks a free place
    const int32_t* places;    // of the n-gram with that key
    int64_t mask;             // places in the table, less one
    const double* idf;        // (features)
    const double* weights;    // (features, labels)
    const double* bias;       // (labels)
    int64_t labels;
    int32_t* counts;          // (features), zero between calls
    const uint8_t* classes;   // of every code point
    int64_t by_character, ngrams;
};

inline uint64_t mixed(uint64_t h) {  // the finalizer of MurmurHash3 (Appleby, public domain)
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdull;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53ull;
    h ^= h >> 33;
    return h ? h : 1;
}

inline uint64_t add(uint64_t h, const uint8_t* from, const uint8_t* to) {
    for (; from < to; ++from) h = (h ^ *from) * kPrime;
    return h;
}

// Words are hashed one by one, so that those of an n-gram need not be read again.
inline uint64_t follow(uint64_t before, uint64_t word) { return before * kPrime + word; }

inline int length(uint8_t first) { return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4; }

inline uint32_t code_point(const uint8_t* p, int n) {
    if (n == 1) return p[0];
    if (n == 2) return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    if (n == 3) return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
}

struct Counter {
    const Bag& bag;
    std::vector<int32_t>& seen;

    void count(uint64_t key) {
        for (int64_t at = key & bag.mask;; at = (at + 1) & bag.mask) {
            if (bag.keys[at] == key) {
                int32_t place = bag.places[at];
                if (!bag.counts[place]++) seen.push_back(place);
                return;
            }
            if (!bag.keys[at]) return;
        }
    }
};

template <class Take>
void by_words(const uint8_t* p, const uint8_t* end, const uint8_t* classes, int64_t ngrams, Take take) {
    uint64_t last[kMaxN] = {};  // hashes of the words before, the nearest first
    int64_t n_last = 0;
    while (p < end) {
        int n = length(*p);
        uint8_t kind = classes[code_point(p, n)];
        if (kind == kOther) {
            p += n;
            continue;
        }
        const uint8_t* start = p;
        p += n;
        if (kind == kWord)
            while (p < end && classes[code_point(p, n = length(*p))] == kWord) p += n;
        uint64_t word = mixed(add(kOffset, start, p)), key = 0;
        std::memmove(last + 1, last, (kMaxN - 1) * sizeof *last);
        last[0] = word;
        n_last += n_last < ngrams;
        for (int64_t k = 1; k <= n_last; ++k) {  // the n-gram of k words that ends here
            key = 0;
            for (int64_t i = k - 1; i >= 0; --i) key = follow(key, last[i]);
            take(mixed(key));
        }
    }
}

template <class Take>
void by_characters(const uint8_t* p, const uint8_t* end, int64_t ngrams, Take take) {
    for (; p < end; p += length(*p)) {
        const uint8_t* q = p;
        uint64_t h = kOffset;
        for (int64_t k = 0; k < ngrams && q < end; ++k) {
            int n = length(*q);
            h = add(h, q, q + n);
            q += n;
            take(mixed(h));
        }
    }
}

}  // namespace

extern "C" {

// Return the key of a feature: words with single spaces between them, or characters.
uint64_t luban_bag_key(const char* text, int64_t size, bool by_character) {
    auto p = reinterpret_cast<const uint8_t*>(text), end = p + size;
    if (by_character) return mixed(add(kOffset, p, end));
    uint64_t key = 0;
    while (p < end) {
        auto space = static_cast<const uint8_t*>(std::memchr(p, ' ', end - p));
        auto stop = space ? space : end;
        key = follow(key, mixed(add(kOffset, p, stop)));
        p = stop + 1;
    }
    return mixed(key);
}

// Fill logits (labels) for a text in lower case.
void luban_bag_logits(const Bag* bag, const char* text, int64_t size, double* logits) {
    static thread_local std::vector<int32_t> seen;
    seen.clear();
    auto p = reinterpret_cast<const uint8_t*>(text);
    Counter counter{*bag, seen};
    auto take = [&](uint64_t key) { counter.count(key); };
    if (bag->by_character)
        by_characters(p, p + size, bag->ngrams, take);
    else
        by_words(p, p + size, bag->classes, bag->ngrams, take);
    for (int64_t k = 0; k < bag->labels; ++k) logits[k] = 0;
    double squares = 0;
    for (int32_t place : seen) {
        double value = (1 + std::log(static_cast<double>(bag->counts[place]))) * bag->idf[place];
        bag->counts[place] = 0;
        squares += value * value;
        const double* row = bag->weights + place * bag->labels;
        for (int64_t k = 0; k < bag->labels; ++k) logits[k] += value * row[k];
    }
    double scale = squares > 0 ? 1 / std::sqrt(squares) : 0;
    for (int64_t k = 0; k < bag->labels; ++k) logits[k] = logits[k] * scale + bag->bias[k];
}
}
