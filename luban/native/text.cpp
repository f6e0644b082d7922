// Counts over a UTF-8 text for the rules of quality: one pass for characters, words and lines, one for n-grams.
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

// Pieces seen before, and their characters.
void count_repeated(const std::vector<Piece> &pieces, int64_t *n, int64_t *chars) {
    Keys seen(pieces.size());
    for (const Piece &piece : pieces) {
        if (seen.add(piece.hash)) continue;
        *n += 1;
        *chars += piece.chars;
    }
}

struct Counts {
    int64_t chars, spaces, letters, symbols, unspaced, cjk, han;
    int64_t top_character, top_count;
    int64_t words, word_chars, alpha_words, longest_word;
    int64_t hashes, ellipses;
    int64_t lines, line_chars, bullet_lines, ellipsis_lines, terminal_lines;
    int64_t repeated_lines, repeated_line_chars;
    int64_t paragraphs, repeated_paragraphs, repeated_paragraph_chars;
};

bool is_bullet(uint32_t c) {
    switch (c) {
        case 0x2022: case 0x2023: case 0x2043: case 0x25aa: case 0x25cf: case 0x25e6: case '*': case '-': return true;
        default: return false;
    }
}

struct Line {
    const uint8_t *first = nullptr, *last = nullptr;  // without the spaces around it
    int64_t chars_before = 0, chars = 0;
    uint32_t head = 0, tail = 0;
};

class Counter {
  public:
    Counter(Classes classes, Counts *out) : classes(classes), out(*out) {}

    void run(Reader text) {
        const uint8_t *whole = text.at;
        while (text.more()) {
            const uint8_t *start = text.at;
            if (*start < 0x80) {
                see_ascii(text, start);
                continue;
            }
            const uint32_t c = text.next();
            const uint8_t is = classes[c];
            out.chars++;
            if (is & SPACE) {
                out.spaces++;
                end_word();
                continue;
            }
            see_wide(c, is);
            see_in_line(c, c, start, text.at, 1);
        }
        end_word();
        end_line();
        end_paragraph();
        count_repeated(lines, &out.repeated_lines, &out.repeated_line_chars);
        count_repeated(paragraphs, &out.repeated_paragraphs, &out.repeated_paragraph_chars);
        count_ascii();
        if (ascii['.'] >= 3) count_dots(whole, text.end);
    }

  private:
    Classes classes;
    Counts &out;
    static constexpr int PAGE = 8;  // bits
    std::vector<std::vector<uint32_t>> pages;
    uint32_t ascii[128] = {};
    Line line;
    std::vector<Piece> lines, paragraphs;
    Piece paragraph = {SPREAD, 0};
    int64_t word = 0;
    bool has_letter = false;

    void see_ascii(Reader &text, const uint8_t *start) {
        has_letter |= (text.skip_ascii(classes.of) & LETTER) != 0;
        const int64_t n = text.at - start;
        for (const uint8_t *p = start; p < text.at; p++) ascii[*p]++;
        out.chars += n;
        word += n;
        if (n) see_in_line(*start, text.at[-1], start, text.at, n);
        if (!text.more() || *text.at >= 0x80) return;
        const uint8_t space = *text.at++;
        ascii[space]++;
        out.chars++;
        end_word();
        if (space == '\n') end_line();
    }

    void see_wide(uint32_t c, uint8_t is) {
        out.letters += (is & LETTER) != 0;
        out.symbols += (is & SYMBOL) != 0;
        out.ellipses += c == 0x2026;
        if (c < classes.n) see_rare(c);
        if (is & (UNSPACED | CJK)) {
            out.cjk += (is & CJK) != 0;
            out.han += (is & HAN) != 0;
        }
        if (is & UNSPACED) {
            out.unspaced++;
            end_word();
            out.words++;
            out.word_chars++;
            out.alpha_words += (is & LETTER) != 0;
            return;
        }
        word++;
        has_letter |= (is & LETTER) != 0;
    }

    // Only the pages that a script lies in are made.
    void see_rare(uint32_t c) {
        if (pages.empty()) pages.resize((classes.n >> PAGE) + 1);
        std::vector<uint32_t> &page = pages[c >> PAGE];
        if (page.empty()) page.resize(1 << PAGE);
        see_often(c, ++page[c & ((1 << PAGE) - 1)]);
    }

    // Of characters that are as often, the lowest.
    void see_often(uint32_t c, int64_t count) {
        if (count > out.top_count || (count == out.top_count && count && c < out.top_character)) {
            out.top_count = count;
            out.top_character = c;
        }
    }

    void count_ascii() {
        for (uint32_t c = 0; c < 128; c++) {
            const uint8_t is = classes[c];
            if (is & SPACE) {
                out.spaces += ascii[c];
                continue;
            }
            out.letters += is & LETTER ? ascii[c] : 0;
            out.symbols += is & SYMBOL ? ascii[c] : 0;
            see_often(c, ascii[c]);
        }
        out.hashes = ascii['#'];
    }

    void count_dots(const uint8_t *at, const uint8_t *end) {
        while ((at = static_cast<const uint8_t *>(memmem(at, end - at, "...", 3)))) {
            out.ellipses++;
            at += 3;
        }
    }

    void see_in_line(uint32_t head, uint32_t tail, const uint8_t *start, const uint8_t *end, int64_t n) {
        if (!line.first) {
            line.first = start;
            line.head = head;
            line.chars_before = out.chars - n;
        }
        line.last = end;
        line.tail = tail;
        line.chars = out.chars - line.chars_before;
    }

    void end_word() {
        if (!word) return;
        out.words++;
        out.word_chars += word;
        out.alpha_words += has_letter;
        out.longest_word = std::max(out.longest_word, word);
        word = 0;
        has_letter = false;
    }

    void end_line() {
        if (!line.first) return end_paragraph();
        const uint64_t hash = hash_bytes(line.first, line.last - line.first);
        lines.push_back({hash, line.chars});
        paragraph.hash = mix(paragraph.hash * SPREAD + hash);
        paragraph.chars += line.chars;
        out.lines++;
        out.line_chars += line.chars;
        out.bullet_lines += is_bullet(line.head);
        out.ellipsis_lines += ends_with_ellipsis(line.first, line.last);
        out.terminal_lines += (classes[line.tail] & TERMINAL) != 0;
        line = Line();
    }

    void end_paragraph() {
        if (!paragraph.chars) return;
        paragraphs.push_back(paragraph);
        out.paragraphs++;
        paragraph = {SPREAD, 0};
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

uint32_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? c | 32 : c; }

Reader reader(const uint8_t *text, int64_t n) { return {text, text + n}; }

bool is_unspaced(Reader text, Classes is) {
    int64_t chars = 0, unspaced = 0;
    while (text.more()) {
        const uint32_t c = text.next();
        chars++;
        unspaced += c >= 128 && (is[c] & UNSPACED);
    }
    return 3 * unspaced > chars;
}

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

// Which lines are kept, and how many sentences they hold.
struct LineRules {
    int64_t min_words, max_word_chars;
    const char *phrases;  // one a line, in lower case
    int64_t n_phrases;    // in bytes
};

struct Phrase {
    const uint8_t *at;
    int64_t n;
};

bool contains(const uint8_t *text, int64_t n, Phrase phrase) {
    return n >= phrase.n && memmem(text, n, phrase.at, phrase.n) != nullptr;
}

// The phrases that occur at all: few texts have any, so that lines are seldom searched.
std::vector<Phrase> occurring(const LineRules &rules, const std::vector<uint8_t> &text) {
    std::vector<Phrase> found;
    const uint8_t *at = reinterpret_cast<const uint8_t *>(rules.phrases), *end = at + rules.n_phrases;
    while (at < end) {
        const uint8_t *stop = std::find(at, end, uint8_t('\n'));
        if (contains(text.data(), text.size(), {at, stop - at})) found.push_back({at, stop - at});
        at = stop + (stop < end);
    }
    return found;
}

struct Judged {
    const uint8_t *first = nullptr, *last = nullptr;
    int64_t words = 0, longest = 0, sentences = 0;
    bool terminal = false, ellipsis = false;
};

// A closing bracket or quote may stand between the end of a sentence and the space after it.
bool is_closing(uint32_t c) {
    return c == '"' || c == '\'' || c == ')' || c == ']' || c == 0x201d || c == 0x2019;
}

bool is_mark(uint32_t c) { return c == '.' || c == '!' || c == '?'; }

// Whether a run ends a sentence: a mark with nothing but closing brackets and quotes behind it.
bool ends_sentence(const uint8_t *first, const uint8_t *last, bool ended) {
    while (last > first && is_closing(last[-1])) last--;
    return last > first ? is_mark(last[-1]) : ended;
}

Judged judge(Reader line, Classes classes) {
    Judged j;
    int64_t word = 0;
    uint32_t tail = 0;
    bool ended = false;
    while (line.more()) {
        const uint8_t *start = line.at;
        line.skip_ascii(classes.of);
        uint8_t is = 0;
        int64_t n = line.at - start;
        if (n) {
            ended = ends_sentence(start, line.at, ended);
            tail = line.at[-1];
        } else {
            const uint32_t c = line.next();
            is = classes[c];
            n = 1;
            if (is & SPACE) {
                word = 0;
                j.sentences += ended;
                ended = false;
                continue;
            }
            ended = ended && is_closing(c);
            tail = c;
        }
        if (!j.first) j.first = start;
        j.last = line.at;
        if (is & UNSPACED) {
            j.words++;
            word = 0;
            continue;
        }
        j.words += !word;
        word += n;
        j.longest = std::max(j.longest, word);
    }
    j.sentences += ended;
    j.terminal = j.first && (classes[tail] & TERMINAL);
    j.ellipsis = j.first && ends_with_ellipsis(j.first, j.last);
    return j;
}

}  // namespace

extern "C" {

void luban_text_counts(const uint8_t *text, int64_t n, const uint8_t *classes, int64_t n_classes, Counts *out) {
    *out = Counts{};
    Counter({classes, n_classes}, out).run(reader(text, n));
}

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

// Hashes of the n-grams of words, or of letters and digits where over a third of the text is in scripts without
// spaces; returns their number. `out` has room for a number a byte, and one more.
int64_t luban_text_ngrams(
    const uint8_t *text, int64_t n, const uint8_t *classes, int64_t n_classes, int64_t word_ngram,
    int64_t char_ngram, uint32_t *out) {
    const Classes is{classes, n_classes};
    const bool unspaced = is_unspaced(reader(text, n), is);
    int64_t ngram = unspaced ? char_ngram : word_ngram;
    int64_t size = 0;
    const uint8_t *first = nullptr;
    for (Reader r = reader(text, n); r.more();) {
        const uint8_t *start = r.at;
        const uint32_t c = r.next();
        if (!(is[c] & WORD)) {
            if (first) out[size++] = crc32(first, start);
            first = nullptr;
        } else if (unspaced) {
            out[size++] = c;
        } else if (!first) {
            first = start;
        }
    }
    if (first) out[size++] = crc32(first, text + n);
    if (!size && !unspaced) out[size++] = crc32(text, text + n);
    if (!size)  // only marks: they are the text
        for (Reader r = reader(text, n); r.more();) out[size++] = r.next();
    if (!size) out[size++] = ' ';
    ngram = std::min(ngram, size);
    for (int64_t i = 0; i + ngram <= size; i++) {
        uint32_t mixed = 0;
        for (int64_t k = 0; k < ngram; k++) mixed = mixed * 0x9e3779b1u + out[i + k];
        out[i] = spread(mixed);
    }
    return size - ngram + 1;
}

// How many of n numbers are distinct.
int64_t luban_text_distinct(const uint32_t *values, int64_t n) {
    Keys seen(n);
    int64_t distinct = 0;
    for (int64_t i = 0; i < n; i++) distinct += seen.add(uint64_t(values[i]) + 1);
    return distinct;
}

// Copy the lines that keep the rules to `out` (room for n bytes); returns their bytes.
// counts: lines with something in them, lines kept, sentences kept.
int64_t luban_text_keep_lines(
    const uint8_t *text, int64_t n, const uint8_t *classes, int64_t n_classes, const LineRules *rules, uint8_t *out,
    int64_t *counts) {
    std::vector<uint8_t> lowered(n);
    for (int64_t i = 0; i < n; i++) lowered[i] = lower(text[i]);
    const std::vector<Phrase> phrases = occurring(*rules, lowered);
    std::fill(counts, counts + 3, 0);
    int64_t written = 0;
    for (const uint8_t *at = text, *end = text + n; at < end;) {
        const void *found = memchr(at, '\n', end - at);
        const uint8_t *stop = found ? static_cast<const uint8_t *>(found) : end;
        const Judged line = judge({at, stop}, {classes, n_classes});
        at = stop + 1;
        if (!line.first) continue;
        counts[0]++;
        const int64_t size = line.last - line.first;
        const auto in_line = [&](Phrase p) { return contains(lowered.data() + (line.first - text), size, p); };
        if (!line.terminal || line.ellipsis || line.words < rules->min_words) continue;
        if (line.longest > rules->max_word_chars || std::any_of(phrases.begin(), phrases.end(), in_line)) continue;
        if (counts[1]++) out[written++] = '\n';
        std::memcpy(out + written, line.first, size);
        written += size;
        counts[2] += std::max<int64_t>(line.sentences, 1);
    }
    return written;
}
}
