"""Perturbed texts are the same at each call, stay readable, and change only what their kind may change."""

import difflib

import pytest

from luban.data.perturb import KINDS, Perturb, perturb

ENGLISH = "It is a wonderful film about three brothers who begin their journey, but they never arrive."
CHINESE = "这部电影非常好看，但是我觉得结尾有一点长。他们在北京的生活很有意思！"
EVERYWHERE = [("typos", ENGLISH), ("typos", CHINESE), ("case", ENGLISH), ("width", ENGLISH), ("width", CHINESE),
              ("script", CHINESE), ("paraphrase", ENGLISH), ("paraphrase", CHINESE)]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), EVERYWHERE)
def test_a_text_changes_in_the_same_way_at_each_call_and_stays_alike(kind, text):
    if kind == "script":
        pytest.importorskip("opencc", reason="the converter is not installed")
    how = Perturb(share=0.5, seed=3)
    changed = perturb(text, kind, how)
    assert changed != text
    assert changed == perturb(text, kind, how)
    if kind not in ("case", "script"):
        assert difflib.SequenceMatcher(None, text, changed).ratio() > 0.7


@pytest.mark.parametrize(("kind", "text"), [("case", CHINESE), ("script", ENGLISH)])
def test_what_a_kind_cannot_change_stays(kind, text):
    assert perturb(text, kind, Perturb()) == text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["", " ", "a", "的", "!?", "12345", "👩‍👧"])
def test_texts_with_nothing_to_change_are_no_trouble(kind, text):
    assert isinstance(perturb(text, kind, Perturb(share=1.0)), str)


def test_the_seed_and_the_share_decide_typos():
    some = [perturb(ENGLISH, "typos", Perturb(seed=seed, share=0.5)) for seed in range(8)]
    assert len(set(some)) > 4
    all_words = perturb(ENGLISH, "typos", Perturb(share=1.0)).split()
    assert sum(a != b for a, b in zip(all_words, ENGLISH.split(), strict=True)) >= 7
    assert all(a[0] == b[0] for a, b in zip(all_words, ENGLISH.split(), strict=True))


def test_case_is_all_that_case_changes():
    assert perturb(ENGLISH, "case", Perturb()).casefold() == ENGLISH.casefold()


def test_traditional_text_becomes_simplified_and_the_other_way():
    pytest.importorskip("opencc", reason="the converter is not installed")
    assert perturb("头发", "script", Perturb()) == "頭髮"
    assert perturb("頭髮", "script", Perturb()) == "头发"


def test_known_paraphrases_come_before_rules():
    how = Perturb(paraphrases={ENGLISH: [ENGLISH, "Three brothers travel."]})
    assert perturb(ENGLISH, "paraphrase", how) == "Three brothers travel."
    assert perturb("It Is big.", "paraphrase", Perturb(seed=0)) in (
        "It Is big.", "It's big.", "It Is large.", "It's large.",
    )  # fmt: skip


def test_no_typo_takes_a_negation_away():
    text = "散热不太好，没有异味，无线未坏"
    slips = [perturb(text, "typos", Perturb(1.0, seed)) for seed in range(30)]
    assert all(slip.count(word) == 1 for slip in slips for word in "不没无未")
