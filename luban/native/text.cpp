// Characters, words, lines and paragraphs of a text, counted in one pass.
#include "text.h"

namespace {

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

}  // namespace

extern "C" {

void luban_text_counts(const uint8_t *text, int64_t n, const uint8_t *classes, int64_t n_classes, Counts *out) {
    *out = Counts{};
    Counter({classes, n_classes}, out).run(reader(text, n));
}
}
