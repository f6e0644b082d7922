"""C4's rules: only lines that are sentences stay (Raffel et al. 2020, JMLR 21:140, section 2.2).

Of them, the list of bad words is `words` here, English by langdetect is `clean.languages`, and three
sentences seen in other pages are a matter of `dedup`. The paper does not say what a sentence is: here, it
ends with a full stop, question or exclamation mark, closing quotes and brackets aside, before a space or the
line's end, and a line that stays has one at least. Single and typographic quotes end a line as well as
straight ones; lines that end with an ellipsis go, as in the code that goes with the paper.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from luban.data.quality.checks import at_least, is_judged, judge
from luban.data.quality.measure import keep_lines
from luban.data.quality.settings import C4Settings
from luban.records import Document, Drop

_CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")


@dataclass(frozen=True, slots=True)
class C4:
    """Take out lines that are no sentences; drop documents with code, or with too little left."""

    settings: C4Settings
    name = "c4"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document with the lines that stay, or a Drop."""
        s = self.settings
        if not is_judged(document, s.languages):
            return document
        text = document.text
        lowered = text.lower()
        for phrase in s.unwanted:
            if phrase.lower() in lowered:
                return Drop(
                    f"c4: {_title(phrase)}", f"{lowered.count(phrase.lower())} times {phrase!r}, at most 0"
                )
        if "[" in text:
            text = _CITATION.sub("", text)
        phrases = tuple(phrase.lower() for phrase in s.unwanted_in_lines)
        kept = keep_lines(text, s.min_line_words, s.max_word_chars, phrases)
        what = f"sentences in the {kept.kept} of {kept.lines} lines that stay"
        enough = at_least("few sentences", kept.sentences, s.min_sentences, what)
        if kept.text != document.text:
            document = replace(document, text=kept.text)
        return judge(self.name, document, (enough,))


def _title(phrase: str) -> str:
    return "curly bracket" if phrase == "{" else phrase
