"""Next-token loss against arithmetic done by hand."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.objectives import next_token as module
from luban.objectives.next_token import next_token, summed_cross_entropy
from luban.records import IGNORE, Batch


class Head(nn.Module):
    def __init__(self, dim: int, vocab: int, bias: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(vocab, dim))
        self.bias = nn.Parameter(torch.zeros(vocab)) if bias else None

    def features(self, hidden: Tensor) -> Tensor:
        return hidden


class Toy(nn.Module):
    """Hidden state = embedding of the token; remembers what documents it was shown."""

    def __init__(self, vocab: int = 4, dim: int = 4):
        super().__init__()
        self.stem = nn.Embedding(vocab, dim)
        self.head = Head(dim, vocab)
        self.seen: Tensor | None = None

    def hidden(self, tokens: Tensor, documents: Tensor) -> Tensor:
        self.seen = documents
        return self.stem(tokens)


def batch_of(tokens: list[list[int]], targets: list[list[int]]) -> Batch:
    tokens_ = torch.tensor(tokens)
    return Batch(tokens_, torch.ones_like(tokens_), torch.tensor(targets))


def test_equal_scores_cost_the_log_of_the_vocabulary_per_supervised_position() -> None:
    loss = next_token(Toy(vocab=4), batch_of([[0, 1, 2]], [[1, IGNORE, 3]]))
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(2 * math.log(4))


def test_a_sure_and_right_score_costs_what_softmax_says() -> None:
    model = Toy(vocab=2, dim=2)
    model.stem.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    model.head.weight.data = torch.tensor([[0.0, 0.0], [3.0, 0.0]])  # token 0 -> scores (0, 3)
    loss = next_token(model, batch_of([[0]], [[1]]))
    assert loss.total.item() == pytest.approx(math.log(1 + math.exp(-3)))


def test_documents_reach_the_model() -> None:
    model, batch = Toy(), batch_of([[0, 1]], [[1, 2]])
    next_token(model, batch)
    assert model.seen is batch.documents


@pytest.mark.parametrize("with_bias", [False, True])
def test_chunks_give_the_loss_and_gradients_of_whole_logits(
    monkeypatch: pytest.MonkeyPatch, with_bias: bool
) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 4 * 11 * 3)  # three rows of eleven scores at a time
    torch.manual_seed(0)
    given = [torch.randn(10, 5), torch.randn(11, 5)] + ([torch.randn(11)] if with_bias else [])
    targets = torch.randint(11, (10,))
    ours, theirs = ([t.clone().requires_grad_() for t in given] for _ in range(2))
    a = summed_cross_entropy(ours[0], ours[1], ours[2] if with_bias else None, targets)
    b = F.cross_entropy(F.linear(*theirs), targets, reduction="sum")
    torch.testing.assert_close(a, b)
    (2 * a).backward()
    (2 * b).backward()
    for x, y in zip(ours, theirs, strict=True):
        torch.testing.assert_close(x.grad, y.grad)


def test_a_batch_without_targets_adds_nothing_but_keeps_its_gradient() -> None:
    model = Toy()
    loss = next_token(model, batch_of([[0, 1]], [[IGNORE, IGNORE]]))
    loss.total.backward()
    assert loss.n_targets == 0
    assert loss.total.item() == 0
    assert not model.stem.weight.grad.any()
