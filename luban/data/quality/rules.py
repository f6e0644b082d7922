"""The steps of quality that settings ask for, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from luban.data import filters
from luban.data.quality.c4 import C4
from luban.data.quality.chinese import Chinese
from luban.data.quality.fineweb import FineWeb
from luban.data.quality.gopher import Gopher
from luban.data.quality.word_lists import FewListedWords, check_lists
from luban.data.settings import CleanSettings

RULES: dict[str, Callable[[CleanSettings], Any]] = {
    "gopher": lambda s: Gopher(s.gopher),
    "c4": lambda s: C4(s.c4),
    "fineweb": lambda s: FineWeb(s.fineweb),
    "chinese": lambda s: Chinese(s.chinese),
    "words": lambda s: FewListedWords(s.words, tuple(sorted(s.word_lists.items()))),
}


def quality_steps(settings: CleanSettings) -> list[Any]:
    """Return the default filters, language identification, and the sets that `clean.rules` names, in order.

    Each step has a `name` and maps a document to a document or a Drop. The set of words is also used where
    `clean.word_lists` names a list.
    """
    check_lists(settings.word_lists)
    rules = dict.fromkeys((*settings.rules, *(("words",) if settings.word_lists else ())))
    return [
        filters.LongEnough(settings.min_chars),
        filters.NoRulingCharacter(settings.max_one_character),
        filters.FewSymbols(settings.max_symbols),
        filters.NoEndlessWord(settings.max_word_chars),
        filters.FewRepeatedLines(settings.max_repeated_lines),
        filters.FewRepeatedNgrams(settings.max_repeated_ngrams, settings.repetition_ngram),
        filters.AllowedLanguage(
            settings.languages, settings.language_model, settings.min_language_confidence
        ),
        *(RULES[name](settings) for name in rules),
    ]
