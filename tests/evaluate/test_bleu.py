"""BLEU and chrF are sacreBLEU's own, for one reference or several, and resample by sentences."""

import random

import numpy as np
import pytest

from luban.errors import DataError
from luban.evaluate.bleu import Counts, choose_tokenizer, score_translations
from luban.evaluate.intervals import Plan, paired_bootstrap

sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
PLAN = Plan(resamples=50)
EN = "the a cat dog sat ran on under mat tree, quickly slowly . !".split()
ZH = "猫 狗 坐 跑 在 垫 树 上 下 快 慢 。 ！".split()


def texts(words: list[str], gap: str, n: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [gap.join(chance.choices(words, k=chance.randint(3, 12))) for _ in range(n)]


@pytest.mark.parametrize(("words", "gap", "tokenize"), [(EN, " ", "13a"), (ZH, "", "zh")])
def test_scores_are_those_of_sacrebleu_on_the_whole_corpus(words, gap, tokenize):
    found, first, second = (texts(words, gap, 40, seed) for seed in (1, 2, 3))
    references = [[a, b] if i % 3 else [a] for i, (a, b) in enumerate(zip(first, second, strict=True))]
    streams = [first, [b if i % 3 else None for i, b in enumerate(second)]]
    scored = score_translations(found, references, PLAN)
    bleu = sacrebleu.corpus_bleu(found, streams, tokenize=tokenize)
    assert scored.scores["bleu"].value == pytest.approx(bleu.score, abs=1e-9)
    assert scored.scores["chrf"].value == pytest.approx(sacrebleu.corpus_chrf(found, streams).score, abs=1e-9)
    assert f"tok:{tokenize}" in scored.signatures["bleu"]
    assert "nrefs:var" in scored.signatures["bleu"]
    assert 0 < scored.scores["bleu"].low < scored.scores["bleu"].high


def test_a_resample_scores_as_a_corpus_of_its_sentences_would():
    found, truth = texts(EN, " ", 30, 1), texts(EN, " ", 30, 2)
    rows = np.random.default_rng(0).integers(0, 30, (4, 30))
    resampled = Counts(found, [[t] for t in truth]).statistic(rows)
    for i, row in enumerate(rows):
        again = sacrebleu.corpus_bleu([found[r] for r in row], [[truth[r] for r in row]])
        assert resampled["bleu"][i] == pytest.approx(again.score, abs=1e-9)


def test_a_system_against_itself_differs_by_nothing_and_the_truth_beats_it():
    found, truth = texts(EN, " ", 30, 1), texts(EN, " ", 30, 2)
    references = [[t] for t in truth]
    system, perfect = Counts(found, references), Counts(truth, references)
    assert paired_bootstrap(system.statistic, system.statistic, 30, PLAN)["bleu"].value == 0
    better = paired_bootstrap(system.statistic, perfect.statistic, 30, PLAN)["bleu"]
    assert better.low > 0
    assert perfect.corpus() == pytest.approx({"bleu": 100.0, "chrf": 100.0})
    assert perfect.sentences("chrf") == pytest.approx([100.0] * 30)


def test_the_script_of_the_references_chooses_how_words_are_cut():
    assert choose_tokenizer(["Das ist gut."]) == "13a"
    assert choose_tokenizer(["这很好。", "Tom 来了"]) == "zh"
    assert choose_tokenizer(["これはペンです。"]) == "char"
    assert choose_tokenizer(["Peking (北京) is the capital of China and has many inhabitants"]) == "13a"
    assert choose_tokenizer(["1 + 1 = 2"]) == "13a"


def test_nothing_to_score_and_missing_references_are_refused():
    with pytest.raises(DataError, match="no translations to score"):
        Counts([], [])
    with pytest.raises(DataError, match="1 translations and 1 sets of references do not match"):
        Counts(["a"], [[]])
