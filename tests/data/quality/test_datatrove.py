"""The same decisions as datatrove's filters, where they define a rule as ours do: words are runs without a space."""

import random
from dataclasses import replace

import pytest

from luban.data.quality.c4 import C4
from luban.data.quality.fineweb import FineWeb
from luban.data.quality.gopher import Gopher
from luban.data.quality.settings import C4Settings, FineWebSettings, GopherSettings
from luban.records import Document

datatrove = pytest.importorskip("datatrove.pipeline.filters", reason="datatrove is not installed")

LOOSE = GopherSettings(
    max_repeated_lines=1, max_repeated_paragraphs=1, max_repeated_line_chars=1, max_repeated_paragraph_chars=1,
    max_top_2gram=1, max_top_3gram=1, max_top_4gram=1, max_repeated_5grams=1, max_repeated_6grams=1,
    max_repeated_7grams=1, max_repeated_8grams=1, max_repeated_9grams=1, max_repeated_10grams=1,
)  # fmt: skip
WORDS = (
    "the of and to river stone walked quietly because yesterday garden 12 2024 # ... letter morning have window "
    "extraordinarily a I b c with be that house… light shadow mountain"
).split()


def texts(n: int = 300) -> list[str]:
    """Of fifty words at least, as Gopher asks for before anything else."""
    rng = random.Random(7)
    made = []
    while len(made) < n:
        some = rng.sample(WORDS, rng.randrange(4, len(WORDS)))
        lines = []
        for _ in range(rng.randrange(4, 14)):
            line = " ".join(rng.choices(some, k=rng.randrange(1, 16)))
            lines.append(
                rng.choice(["", "", "", "• ", "- "]) + line + rng.choice([".", "", "...", "!", "?", "…"])
            )
        lines += rng.choices(lines, k=rng.choice([0, 0, 1, 3]))
        text = "\n".join(lines)
        made += [text] * (len(text.split()) >= 50)
    return made


@pytest.fixture(autouse=True)
def _words_by_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    from datatrove.pipeline.filters import (
        fineweb_quality_filter,
        gopher_quality_filter,
        gopher_repetition_filter,
    )

    for module in (gopher_quality_filter, gopher_repetition_filter, fineweb_quality_filter):
        monkeypatch.setattr(module, "split_into_words", lambda text, language: text.split())


def agreement(ours, theirs) -> float:
    from datatrove.data import Document as Theirs

    same = [
        isinstance(ours(Document("1", text, "a", language="en")), Document)
        == (theirs.filter(Theirs(text=text, id="1")) is True)
        for text in texts()
    ]
    return sum(same) / len(same)


def test_gopher_quality() -> None:
    theirs = datatrove.GopherQualityFilter(stop_words=list(GopherSettings().stop_words))
    # Theirs leaves words of marks alone out of the mean, and reads the stop words in lower case only.
    assert agreement(Gopher(LOOSE), theirs) > 0.97


NO_QUALITY = GopherSettings(
    min_words=0, min_mean_word=0, max_mean_word=1e9, max_hashes=1e9, max_ellipses=1e9, max_bullet_lines=1,
    max_ellipsis_lines=1, min_alpha_words=0, min_stop_words=0,
)  # fmt: skip
TOP = {f"max_top_{n}gram": 1 for n in (2, 3, 4)}
REPEATED = {f"max_repeated_{n}grams": 1 for n in range(5, 11)}
LINES = {f"max_repeated_{what}": 1 for what in ("lines", "paragraphs", "line_chars", "paragraph_chars")}


def test_gopher_repeated_lines_and_paragraphs() -> None:
    theirs = datatrove.GopherRepetitionFilter(top_n_grams=(), dup_n_grams=())
    assert agreement(Gopher(replace(NO_QUALITY, **TOP, **REPEATED)), theirs) > 0.98


def test_gopher_top_ngrams() -> None:
    nothing = {
        "dup_line_frac": None,
        "dup_para_frac": None,
        "dup_line_char_frac": None,
        "dup_para_char_frac": None,
    }
    theirs = datatrove.GopherRepetitionFilter(**nothing, dup_n_grams=())
    # Theirs counts the spaces.
    assert agreement(Gopher(replace(NO_QUALITY, **LINES, **REPEATED)), theirs) > 0.9


def test_gopher_repeated_ngrams() -> None:
    nothing = {
        "dup_line_frac": None,
        "dup_para_frac": None,
        "dup_line_char_frac": None,
        "dup_para_char_frac": None,
    }
    theirs = datatrove.GopherRepetitionFilter(**nothing, top_n_grams=())
    # Theirs divides the characters of words by those of the text, spaces too: its shares are smaller.
    assert agreement(Gopher(replace(NO_QUALITY, **LINES, **TOP)), theirs) > 0.9


def test_c4_leaves_the_same_lines() -> None:
    """How many sentences they hold is another matter: theirs asks a model, and the paper does not say."""
    from datatrove.data import Document as Theirs

    ours, theirs = (
        C4(C4Settings(min_line_words=3, min_sentences=1)),
        datatrove.C4QualityFilter(min_num_sentences=-1),
    )
    for text in texts():
        their = Theirs(text=text, id="1")
        assert theirs.filter(their) is True
        our = ours(Document("1", text, "a", language="en"))
        assert (our.text if isinstance(our, Document) else "") == their.text


def test_fineweb() -> None:
    theirs = datatrove.FineWebQualityFilter(char_duplicates_ratio=0.1, new_line_ratio=1e9)
    ours = FineWeb(FineWebSettings(short_line=31))
    assert agreement(ours, theirs) > 0.95
