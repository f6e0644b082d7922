// N-grams of a text: how much of it they make up, how many are repeated, and their hashes.
#include "text.h"

namespace {

// Counts of 64-bit keys; 0 marks an empty place.
struct Table {
    struct Slot {
        uint64_t key;
        int32_t count, first;
    };
    std::vector<Slot> slots;
    int shift = 0;

    void reset(int64_t n_keys) {
        int bits = 4;
        while ((int64_t(1) << bits) < 2 * n_keys) bits++;
        slots.assign(size_t(1) << bits, Slot{});
        shift = 64 - bits;
    }

    Slot &operator[](uint64_t key) {
        key += !key;
        size_t i = key * SPREAD >> shift;
        while (slots[i].key && slots[i].key != key) i = (i + 1) & (slots.size() - 1);
        slots[i].key = key;
        return slots[i];
    }
};

// Words: runs without a space, and each character of a script without spaces.
std::vector<Piece> split_words(Reader text, Classes classes) {
    std::vector<Piece> words;
    words.reserve((text.end - text.at) / 4);
    const uint8_t *first = nullptr;
    int64_t n = 0;
    const auto end_word = [&](const uint8_t *end) {
        if (n) words.push_back({hash_bytes(first, end - first), n});
        n = 0;
    };
    while (text.more()) {
        const uint8_t *start = text.at;
        text.skip_ascii(classes.of);
        if (text.at > start) {
            if (!n) first = start;
            n += text.at - start;
            continue;
        }
        const uint8_t is = classes[text.next()];
        if (is & (SPACE | UNSPACED)) {
            end_word(start);
            if (is & UNSPACED) words.push_back({hash_bytes(start, text.at - start), 1});
        } else if (!n++) {
            first = start;
        }
    }
    end_word(text.end);
    return words;
}

// N-grams of words, for n = 1, 2, ... in turn.
class Ngrams {
  public:
    explicit Ngrams(const std::vector<Piece> &words) : words(words), mixed(words.size()), until(words.size() + 1) {
        for (size_t i = 0; i < words.size(); i++) {
            mixed[i] = words[i].hash;
            until[i + 1] = until[i] + words[i].chars;
        }
    }

    void grow() {
        n++;
        for (int64_t i = 0; i < size(); i++) mixed[i] = mix(mixed[i] * SPREAD + words[i + n - 1].hash);
    }

    // Characters in all places of the most frequent n-gram, of several the first; 0 if none is repeated.
    int64_t top() {
        table.reset(std::max<int64_t>(size(), 0));
        int32_t count = 1, first = 0;
        for (int64_t i = 0; i < size(); i++) {
            Table::Slot &slot = table[mixed[i]];
            if (!slot.count++) slot.first = i;
            if (slot.count > count || (slot.count == count && count > 1 && slot.first < first)) {
                count = slot.count;
                first = slot.first;
            }
        }
        return count > 1 ? count * chars(first) : 0;
    }

    // Characters in n-grams seen before, none counted twice: after such a one, the search goes on behind it.
    int64_t repeated() {
        Keys seen(std::max<int64_t>(size(), 0));
        int64_t total = 0;
        for (int64_t i = 0; i < size();) {
            if (seen.add(mixed[i])) {
                i++;
                continue;
            }
            total += chars(i);
            i += n;
        }
        return total;
    }

  private:
    const std::vector<Piece> &words;
    std::vector<uint64_t> mixed;
    std::vector<int64_t> until;
    Table table;
    int64_t n = 1;

    int64_t size() const { return int64_t(words.size()) - n + 1; }
    int64_t chars(int64_t i) const { return until[i + n] - until[i]; }
};

struct Crc {
    uint32_t of[256];
    Crc() {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++) c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
            of[i] = c;
        }
    }
};

uint32_t crc32(const uint8_t *p, const uint8_t *end) {
    static const Crc table;
    uint32_t c = ~0u;
    while (p < end) c = table.of[(c ^ *p++) & 255] ^ c >> 8;
    return ~c;
}

uint32_t spread(uint32_t x) {
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return x ^ x >> 16;
}

}  // namespace

extern "C" {

// Characters in the most frequent 2-, 3- and 4-gram, then in repeated 5- to 10-grams.
void luban_text_repeats(const uint8_t *text, int64_t n, const uint8_t *classes, int64_t n_classes, int64_t *out) {
    const std::vector<Piece> words = split_words(reader(text, n), {classes, n_classes});
    Ngrams ngrams(words);
    std::fill(out, out + 9, 0);
    for (int k = 2; k <= 10; k++) {
        ngrams.grow();
        out[k - 2] = k <= 4 ? ngrams.top() : ngrams.repeated();
        if (k >= 5 && !out[k - 2]) break;  // no longer one is repeated either
    }
}

// N-grams of the characters that are no spaces: how many there are, and how many of them stand elsewhere too.
void luban_text_repeated_chars(
    const uint8_t *text, int64_t n, const uint8_t *classes, int64_t n_classes, int64_t ngram, int64_t *out) {
    const Classes is{classes, n_classes};
    std::vector<uint32_t> chars;
    chars.reserve(n / 2);
    for (Reader r = reader(text, n); r.more();) {
        const uint32_t c = r.next();
        if (!(is[c] & SPACE)) chars.push_back(c < 128 ? lower(c) : c);
    }
    const int64_t size = int64_t(chars.size()) - ngram + 1;
    out[0] = std::max<int64_t>(size, 0);
    out[1] = 0;
    if (size < 1) return;
    uint64_t leaving = 1, h = 0;
    for (int64_t i = 1; i < ngram; i++) leaving *= SPREAD;
    Table table;
    table.reset(size);
    for (int64_t i = 0; i < int64_t(chars.size()); i++) {
        h = h * SPREAD + chars[i] + 1;
        if (i + 1 < ngram) continue;
        const int32_t count = ++table[mix(h)].count;
        if (count > 1) out[1] += count == 2 ? 2 : 1;
        h -= leaving * (chars[i + 1 - ngram] + 1);
    }
}

// Hashes of n-grams of words and of characters of scripts without spaces; the first token of an n-gram says how
// long it is, and where none fits, all are one. Returns their number. `out` has room for a number a byte, and one more.
int64_t luban_text_ngrams(
    const uint8_t *text, int64_t n, const uint8_t *classes, int64_t n_classes, int64_t word_ngram,
    int64_t char_ngram, uint32_t *out) {
    const Classes is{classes, n_classes};
    std::vector<uint8_t> unspaced;
    unspaced.reserve(n / 2 + 1);
    int64_t size = 0;
    const uint8_t *first = nullptr;
    const auto add = [&](uint32_t token, bool is_unspaced) { out[size++] = token, unspaced.push_back(is_unspaced); };
    for (Reader r = reader(text, n); r.more();) {
        const uint8_t *start = r.at;
        const uint32_t c = r.next();
        const bool alone = (is[c] & (WORD | UNSPACED)) == (WORD | UNSPACED);
        if ((is[c] & WORD) && !alone) {
            if (!first) first = start;
            continue;
        }
        if (first) add(crc32(first, start), false);
        if (alone) add(c, true);
        first = nullptr;
    }
    if (first) add(crc32(first, text + n), false);
    if (!size) add(crc32(text, text + n), false);  // only marks: they are the text
    int64_t found = 0;
    const auto write = [&](int64_t begin, int64_t end) {
        uint32_t mixed = 0;
        for (int64_t k = begin; k < end; k++) mixed = mixed * 0x9e3779b1u + out[k];
        out[found++] = spread(mixed);
    };
    for (int64_t i = 0; i < size; i++) {
        const int64_t end = i + (unspaced[i] ? char_ngram : word_ngram);
        if (end <= size) write(i, end);
    }
    if (!found) write(0, size);
    return found;
}

// How many of n numbers are distinct.
int64_t luban_text_distinct(const uint32_t *values, int64_t n) {
    Keys seen(n);
    int64_t distinct = 0;
    for (int64_t i = 0; i < n; i++) distinct += seen.add(uint64_t(values[i]) + 1);
    return distinct;
}
}
