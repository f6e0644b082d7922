"""Likelihoods are those of one forward pass over the whole text, however they are computed."""

import dataclasses

import pytest
import torch

from luban.errors import CheckpointError, DataError
from luban.evaluate import likelihood
from luban.evaluate.likelihood import Around, Asked, encode_pair, likelihoods, rolling, surroundings
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.tokenizer.train import train_bpe

TEXT = "To be, or not to be, that is the question. 今天天气很好，我们去公园散步。"
FEW = [Asked((1, 2, 3), (4, 5)), Asked((1, 2, 3), (6,)), Asked((9,), (8, 7, 6, 5)), Asked((1, 2, 3), (4,))]


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe([TEXT] * 3, 300, template=False)


def build(family="gpt2", seed=4, **changes):
    config = FAMILIES[family].config("tiny", dim=32, n_layers=2, max_len=40, vocab_size=300, **changes)
    if config.encoder is not None:
        config = dataclasses.replace(config, start_id=0)
    model = build_model(config, seed=seed).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
    return model


@torch.no_grad()
def by_hand(model, one):
    if model.encoder is not None:
        tokens, source = torch.tensor([[0, *one.rest[:-1]]]), torch.tensor([one.context])
        scores = model(tokens, source=source)[0]
    else:
        scores = model(torch.tensor([one.context + one.rest[:-1]]))[0, len(one.context) - 1 :]
    logs = scores.float().log_softmax(-1)
    return logs[range(len(one.rest)), one.rest].sum().item(), scores.argmax(-1).tolist() == list(one.rest)


@pytest.mark.parametrize("family", ["gpt2", "llama", "recurrent", "t5"])
@pytest.mark.parametrize("least_shared", [1, 10**9])
def test_likelihoods_are_those_of_each_text_alone(family, least_shared, monkeypatch):
    monkeypatch.setattr(likelihood, "LEAST_SHARED", least_shared)
    model = build(family)
    for one, found in zip(FEW, likelihoods(model, FEW), strict=True):
        value, greedy = by_hand(model, one)
        assert found.log_probability == pytest.approx(value, abs=1e-4)
        assert (found.is_greedy, found.n_tokens) == (greedy, len(one.rest))


@pytest.mark.parametrize("family", ["gpt2", "bert", "t5"])
def test_memory_for_scores_and_caches_is_bounded_and_changes_no_likelihood(family, monkeypatch):
    many = [Asked((1, 2, 3), tuple(range(k, k + n))) for k in range(20, 26) for n in (1, 5, 9)]
    many += [Asked((9, k), (8, k)) for k in range(4)]
    model, around, widest, held = build(family), Around(mask_id=3), [], []
    whole = likelihoods(model, many, around)
    limits = {"LEAST_SHARED": 3, "TOKENS_HELD": 30, "SCORES_AT_ONCE": 4 * 300, "TOKENS_PER_BATCH": 24}
    for name, limit in limits.items():
        monkeypatch.setattr(likelihood, name, limit)
    keep, score = likelihood.Reader.keep, likelihood._each

    def watched(one, hidden, ids):
        return score(lambda x: widest.append(x.shape[1]) or one(x), hidden, ids)

    monkeypatch.setattr(likelihood, "_each", watched)
    monkeypatch.setattr(
        likelihood.Reader, "keep", lambda r, rows: held.append(len(rows) * r.cache.max_len) or keep(r, rows)
    )
    for one, found in zip(whole, likelihoods(model, many, around), strict=True):
        assert found.log_probability == pytest.approx(one.log_probability, abs=1e-4)
        assert (found.is_greedy, found.n_tokens) == (one.is_greedy, one.n_tokens)
    assert max(widest) <= 4
    assert all(n <= 30 for n in held)
    assert bool(held) == (family != "bert")


def test_what_a_model_would_write_is_greedy():
    model, ids = build(), [5, 6, 7]
    with torch.no_grad():
        for _ in range(3):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    assert likelihoods(model, [Asked((5, 6, 7), tuple(ids[3:]))])[0].is_greedy


def test_a_long_context_loses_its_left_end():
    model, ids = build(), tuple(range(10, 70))
    (cut,) = likelihoods(model, [Asked(ids, (1, 2))])
    assert cut.log_probability == pytest.approx(by_hand(model, Asked(ids[-39:], (1, 2)))[0], abs=1e-4)
    with pytest.raises(DataError, match="has 41 tokens, and the model reads 40"):
        likelihoods(model, [Asked((1,), tuple(range(41)))])
    with pytest.raises(DataError, match="holds no token"):
        likelihoods(model, [Asked((1,), ())])


def test_a_model_that_sees_all_of_a_text_restores_each_token_from_the_others():
    model = build("bert")
    around = Around((1,), (2,), 3)
    (found,) = likelihoods(model, [Asked((10,), (11, 12))], around)
    with torch.no_grad():
        rows = torch.tensor([[1, 10, 3, 12, 2], [1, 10, 11, 3, 2]])
        logs = model(rows).log_softmax(-1)
    assert found.log_probability == pytest.approx((logs[0, 2, 11] + logs[1, 3, 12]).item(), abs=1e-4)
    with pytest.raises(CheckpointError, match="no mask token"):
        likelihoods(model, [Asked((1,), (2,))])


@pytest.mark.parametrize("n", [1, 4, 5, 9, 12])
def test_rolling_predicts_each_token_once_with_all_the_context_that_fits(n):
    pieces = rolling(range(100, 100 + n), begin=0, max_len=4)
    assert [id for piece in pieces for id in piece.rest] == list(range(100, 100 + n))
    assert all(len(piece.context) + len(piece.rest) <= 5 for piece in pieces)
    assert all(len(piece.context) + len(piece.rest) == 5 for piece in pieces[1:])
    text = [0, *range(100, 100 + n)]
    done = 1
    for piece in pieces:
        assert list(piece.context) == text[done - len(piece.context) : done]
        done += len(piece.rest)


def test_spaces_at_the_border_belong_to_the_rest(tokenizer):
    model = build()
    one = encode_pair(model, tokenizer, "To be ", "or not")
    assert tokenizer.decode(one.context) == "To be"
    assert tokenizer.decode(one.rest) == " or not"
    chinese = encode_pair(model, tokenizer, "今天", "天气很好")
    assert tokenizer.decode([*chinese.context, *chinese.rest]) == "今天天气很好"
    assert encode_pair(model, tokenizer, "", "To be").context == (tokenizer.eos_id,)


def test_a_classifier_gives_texts_no_probability(tokenizer):
    from luban.models.config import HeadConfig

    config = FAMILIES["bert"].config("tiny", dim=32, n_layers=1, vocab_size=300)
    head = HeadConfig(kind="classes", n_classes=2, labels=("a", "b"))
    with pytest.raises(CheckpointError, match="its head is of the kind classes"):
        likelihoods(build_model(dataclasses.replace(config, head=head)), FEW, surroundings(tokenizer))
