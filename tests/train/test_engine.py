"""One step's arithmetic, and the loop's refusals."""

import pytest
import torch
from torch import nn

from luban.errors import DataError
from luban.optim.build import build_optimizer
from luban.optim.schedules import lr_at
from luban.records import Batch
from luban.train.engine import DivergedError, train
from tests.train.toy_run import Rows, Toy, objective, settings


class Given:
    def __init__(self, *steps: list[Batch]):
        self.steps = steps

    def at(self, step: int) -> list[Batch]:
        return self.steps[step - 1]


def loop(model: nn.Module, batches: object, lr_scale: object = None, **changes: object):
    chosen = settings(**({"steps": 3} | changes))
    optimizer = build_optimizer(model, chosen, lr_scale)
    return train(model, batches, objective, optimizer, lr_at(chosen), chosen)


def still() -> Toy:
    model = Toy(dropout=0.0)
    model.norm = nn.Identity()  # batch statistics would differ between a whole batch and its halves
    return model


def test_splitting_a_batch_does_not_change_the_step() -> None:
    whole = Rows().batch(1, 0)
    whole.targets[:2] = -100
    whole.targets[2, :5] = -100  # halves hold 0 and 5 targets, thirds 0, 1 and 4: means of means would differ
    parts = [
        Batch(whole.tokens[a:b], whole.documents[a:b], whole.targets[a:b])
        for a, b in ((0, 2), (2, 3), (3, 4))
    ]
    models = [still(), still()]
    steps = [next(loop(m, Given(given), steps=1)) for m, given in zip(models, ([whole], parts), strict=True)]
    assert steps[0].n_targets == steps[1].n_targets == int((whole.targets != -100).sum())
    assert steps[0].loss == pytest.approx(steps[1].loss)
    assert steps[0].grad_norm == pytest.approx(steps[1].grad_norm)
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        torch.testing.assert_close(a, b)


def test_the_step_follows_the_gradient_of_the_mean_loss() -> None:
    model, twin, batch = still(), still(), Rows().batch(1, 0)
    loss = objective(twin, batch)
    gradients = torch.autograd.grad(loss.total / loss.n_targets, list(twin.parameters()))
    optimizer = torch.optim.SGD([{"params": list(model.parameters()), "lr_scale": 1.0}], lr=1.0)
    chosen = settings(steps=1, max_grad_norm=1e9)
    step = next(train(model, Given([batch]), objective, optimizer, lambda step: 1.0, chosen))
    assert step.loss == pytest.approx(loss.total.item() / loss.n_targets)
    for after, before, gradient in zip(model.parameters(), twin.parameters(), gradients, strict=True):
        torch.testing.assert_close(after, before - gradient)


def test_gradients_are_clipped_to_the_norm_and_reported_unclipped() -> None:
    model = still()
    chosen = settings(steps=1, max_grad_norm=1e-3)
    optimizer = torch.optim.SGD([{"params": list(model.parameters()), "lr_scale": 1.0}], lr=1.0)
    before = [p.detach().clone() for p in model.parameters()]
    step = next(train(model, Rows(), objective, optimizer, lambda step: 1.0, chosen))
    moved = torch.cat([(a - b).flatten() for a, b in zip(before, model.parameters(), strict=True)]).norm()
    assert step.grad_norm > 0.01
    assert moved.item() == pytest.approx(1e-3, rel=1e-3)


def test_each_group_learns_at_its_share_of_the_rate() -> None:
    model = still()
    chosen = settings(steps=3, warmup_share=0.0)
    optimizer = build_optimizer(model, chosen, lambda name: 0.25 if name.startswith("layer") else 1.0)
    for step in train(model, Rows(), objective, optimizer, lr_at(chosen), chosen):
        found = {group["lr_scale"]: group["lr"] for group in optimizer.param_groups}
        assert found == {1.0: step.lr, 0.25: step.lr / 4}


def test_dropout_depends_on_the_step_alone() -> None:
    def losses(first_draw: int) -> list[float]:
        model = Toy(dropout=0.5)
        found = []
        for step in loop(model, Rows()):
            torch.rand(first_draw)  # what a caller does between steps, such as sampling
            found.append(step.loss)
        return found

    assert losses(1) == losses(7)


def test_a_gradient_that_is_not_finite_stops_before_the_update_and_hands_over_its_batches() -> None:
    model = still()
    model.layer.weight.data[0, 0] = float("nan")
    before = model.stem.weight.detach().clone()
    with pytest.raises(
        DivergedError, match=r"step 1: loss is nan, gradient norm is nan; weights were not"
    ) as e:
        next(loop(model, Rows()))
    assert torch.equal(model.stem.weight, before)
    assert torch.equal(e.value.batches[0].tokens, Rows().at(1)[0].tokens)


def test_a_step_without_targets_is_an_error_that_names_it() -> None:
    with pytest.raises(DataError, match="step 2: every target is ignored"):
        list(loop(still(), Rows(ignore_at=2)))


def test_padding_is_counted_apart_from_tokens() -> None:
    batch = Rows().batch(1, 0)
    batch.documents[:, 4:] = 0
    step = next(loop(still(), Given([batch]), steps=1))
    assert (step.n_tokens, step.padding) == (16, pytest.approx(8 / 24))


def test_an_error_in_the_data_surfaces_at_its_step() -> None:
    steps = loop(still(), Rows(fail_at=2))
    assert next(steps).number == 1
    with pytest.raises(RuntimeError, match="the data broke"):
        next(steps)
