"""The chunked loss against whole logits."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from luban.objectives import vocabulary as module
from luban.objectives.vocabulary import summed_cross_entropy, supervised_tokens
from luban.records import IGNORE, Batch
from tests.objectives.toys import Toy


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


@pytest.mark.parametrize("with_bias", [False, True])
def test_label_smoothing_gives_the_loss_and_gradients_of_torchs_own(with_bias: bool) -> None:
    torch.manual_seed(0)
    model = Toy(vocab=7, dim=3, bias=with_bias)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    tokens, targets = torch.randint(7, (2, 4)), torch.randint(7, (2, 4))
    targets[0, 1] = IGNORE
    loss = supervised_tokens(model, Batch(tokens, torch.ones_like(tokens), targets), label_smoothing=0.3)
    whole = F.linear(model.stem(tokens), model.head.weight, model.head.bias).flatten(0, 1)
    expected = F.cross_entropy(whole, targets.flatten(), reduction="sum", label_smoothing=0.3)
    assert loss.n_targets == 7
    torch.testing.assert_close(loss.total, expected)
    names = dict(model.named_parameters())
    ours = torch.autograd.grad(loss.total, names.values())
    theirs = torch.autograd.grad(expected, names.values())
    for name, a, b in zip(names, ours, theirs, strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_a_source_reaches_the_encoder_with_its_documents() -> None:
    one, source = torch.ones(1, 2, dtype=torch.long), torch.tensor([[3, 2, 0]])
    model, documents = Toy(), torch.tensor([[1, 1, 0]])
    supervised_tokens(model, Batch(one, one, one, source=source, source_documents=documents))
    assert model.seen["source"] is source
    assert model.seen["source_documents"] is documents


def test_two_halves_of_a_batch_add_up_to_the_whole() -> None:
    torch.manual_seed(0)
    model, tokens, targets = Toy(vocab=7), torch.randint(7, (4, 3)), torch.randint(7, (4, 3))
    targets[0, 1:] = IGNORE
    torch.nn.init.normal_(model.head.weight)
    parts = [
        supervised_tokens(model, Batch(tokens[rows], torch.ones_like(tokens[rows]), targets[rows]))
        for rows in (slice(0, 4), slice(0, 2), slice(2, 4))
    ]
    torch.testing.assert_close(parts[0].total, parts[1].total + parts[2].total)
    assert parts[0].n_targets == parts[1].n_targets + parts[2].n_targets == 10
