"""Span corruption: the paper's example, shares, and packed documents."""

from __future__ import annotations

import math

import pytest
import torch

from luban.errors import ConfigError
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.objectives.span_corruption import (
    Corruption,
    corrupt,
    draw,
    last_ids,
    span_corruption,
    without_spans,
)
from luban.objectives.vocabulary import supervised_tokens
from luban.records import IGNORE
from tests.objectives.toys import Toy, generator, rows

END, START = 1, 0
SENTINELS = last_ids(200, 20)
CORRUPTION = Corruption(sentinels=SENTINELS, start_id=START, end_id=END)


def test_the_papers_example() -> None:
    text = "Thank you for inviting me to your party last week".split()
    number = {word: i for i, word in enumerate(text)}
    source, target = corrupt(
        [number[w] for w in text], [2, 2, 4, 1, 1], [99, 98, 97]
    )  # "for inviting", "last"
    name = dict(enumerate(text)) | {99: "<X>", 98: "<Y>", 97: "<Z>"}
    assert " ".join(name[i] for i in source) == "Thank you <X> me to your party <Y> week"
    assert " ".join(name[i] for i in target) == "<X> for inviting <Y> last <Z>"


def test_sentinels_count_down_from_the_end_of_the_vocabulary() -> None:
    assert last_ids(32100, 3) == (32099, 32098, 32097)


@pytest.mark.parametrize("n_tokens", [2, 3, 7, 100, 512])
def test_drawn_spans_cover_the_text_and_cut_the_share(n_tokens: int) -> None:
    corruption = Corruption(sentinels=last_ids(200, 100), start_id=0, end_id=1)
    drawn = [draw(n_tokens, corruption, generator(seed)) for seed in range(20)]
    n_cut = max(1, round(0.15 * n_tokens))
    for lengths in drawn:
        assert sum(lengths) == n_tokens
        assert min(lengths[1:-1]) >= 1
        assert min(lengths) >= 0
        assert sum(lengths[1::2]) == n_cut
        assert len(lengths) == 2 * max(1, round(n_cut / 3)) + 1
    assert len({tuple(lengths) for lengths in drawn}) > 1


def test_a_cut_may_fall_anywhere() -> None:
    shared = generator()
    firsts = [draw(7, CORRUPTION, shared)[0] for _ in range(2100)]
    assert all(abs(firsts.count(place) - 300) < 80 for place in range(7))


def test_every_division_is_equally_likely() -> None:
    corruption = Corruption(sentinels=SENTINELS, start_id=0, end_id=1, share=0.5, mean_length=2)
    shared = generator()
    drawn = [tuple(draw(8, corruption, shared)[1::2]) for _ in range(3000)]
    counts = [drawn.count(division) for division in ((1, 3), (2, 2), (3, 1))]
    assert sum(counts) == 3000
    assert all(abs(count - 1000) < 130 for count in counts)


def restore(source: list[int], target: list[int]) -> list[int]:
    """Put the target's spans back in the places of their sentinels."""
    spans: dict[int, list[int]] = {}
    for token in target:
        if token in SENTINELS:
            spans[token] = []
        else:
            spans[list(spans)[-1]].append(token)
    return [t for token in source for t in (spans[token] if token in SENTINELS else [token])]


def test_packed_documents_keep_apart_and_source_and_target_make_the_text_again() -> None:
    torch.manual_seed(3)
    first, second = ([*torch.randint(10, 100, (n,)).tolist(), END] for n in (30, 25))
    third = torch.randint(10, 100, (12,)).tolist()  # cut off by the window: no end token
    numbers = [1] * len(first) + [2] * len(second) + [3] * len(third)
    batch = without_spans(rows([first + second + third], [numbers]), CORRUPTION, generator())
    for number, text in ((1, first), (2, second), (3, third)):
        source = batch.source[batch.source_documents == number].tolist()
        target = batch.targets[batch.documents == number].tolist()
        tokens = batch.tokens[batch.documents == number].tolist()
        assert tokens == [START, *target[:-1]]
        assert target[-1] == END
        assert source[-1] == END or number == 3
        assert target[0] == SENTINELS[0]
        assert target[-2] in SENTINELS  # the final one
        assert restore(source, target[:-1]) == text
    assert (batch.targets[batch.documents == 0] == IGNORE).all()


def test_rows_never_grow_wider_than_the_window() -> None:
    tiny = [10, 11, END] * 7  # each would write four tokens for its three
    numbers = [i // 3 + 1 for i in range(21)]
    batch = without_spans(rows([tiny], [numbers]), CORRUPTION, generator())
    assert batch.source.shape[1] <= 21
    assert batch.tokens.shape[1] <= 21
    assert (
        set(batch.documents.unique().tolist())
        == set(batch.source_documents.unique().tolist()) - {0}
        == {1, 2, 3, 4, 5}
    )


def test_what_is_too_short_to_lose_a_token_is_left_out() -> None:
    batch = without_spans(rows([[10, END, 11, END]], [[1, 1, 2, 2]]), CORRUPTION, generator())
    assert batch.source_documents.sum() == batch.documents.sum() == 0
    assert (batch.targets == IGNORE).all()


def test_too_few_sentinels_are_an_error_that_says_how_many() -> None:
    corruption = Corruption(sentinels=(199, 198), start_id=0, end_id=1)
    with pytest.raises(ConfigError, match="set n_sentinels to at least 6"):
        draw(100, corruption)


def test_the_loss_is_that_of_the_target() -> None:
    model = Toy(vocab=200)
    loss = span_corruption(model, rows([list(range(10, 30))]), corruption=CORRUPTION, generator=generator())
    assert loss.n_targets == 6  # <X>, three tokens, <Y>, end
    assert loss.total.item() == pytest.approx(6 * math.log(200))


@pytest.mark.parametrize("family", ["t5", "original"])
def test_packed_documents_cost_what_they_cost_alone(family: str) -> None:
    sizes = {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 40, "start_id": START, "pad_id": 0}
    model = build_model(FAMILIES[family].config("tiny", vocab_size=200, **sizes)).eval()
    torch.manual_seed(3)
    texts = [[*torch.randint(10, 100, (n,)).tolist(), END] for n in (12, 9, 15)]
    numbers = [i for i, text in enumerate(texts, 1) for _ in text]
    shared = generator(4)
    alone = [supervised_tokens(model, without_spans(rows([text]), CORRUPTION, shared)) for text in texts]
    packed = without_spans(rows([sum(texts, [])], [numbers]), CORRUPTION, generator(4))
    together = supervised_tokens(model, packed)
    assert together.n_targets == sum(loss.n_targets for loss in alone)
    torch.testing.assert_close(together.total, sum(loss.total for loss in alone))
    assert together.total.item() / together.n_targets == pytest.approx(math.log(200), rel=0.05)
