// The lines of a text that keep the rules of sentences.
#include "text.h"

namespace {

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
