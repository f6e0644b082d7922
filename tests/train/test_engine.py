"""One step's arithmetic, and the loop's refusals."""

import time
from dataclasses import replace

import pytest
import torch
from torch import nn

from luban.errors import DataError
from luban.optim.build import build_optimizer
from luban.records import Batch, Loss
from luban.train.engine import train
from tests.train.toy_run import Rows, Toy, course, objective, settings


class Given:
    def __init__(self, *steps: list[Batch]):
        self.steps = steps

    def at(self, step: int) -> list[Batch]:
        return self.steps[step - 1]


def loop(model: nn.Module, batches: object, **changes: object):
    return train(course(model, batches, **changes))


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    group = {"params": list(model.parameters()), "lr_scale": 1.0, "penalised": True}
    return torch.optim.SGD([group], lr=1.0)


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
    optimizer = sgd(model)
    rule = {"optimizer": optimizer, "lr_at": lambda step: 1.0}
    step = next(loop(model, Given([batch]), steps=1, max_grad_norm=1e9, **rule))
    assert step.loss == pytest.approx(loss.total.item() / loss.n_targets)
    for after, before, gradient in zip(model.parameters(), twin.parameters(), gradients, strict=True):
        torch.testing.assert_close(after, before - gradient)


def test_gradients_are_clipped_to_the_norm_and_reported_unclipped() -> None:
    model = still()
    optimizer = sgd(model)
    before = [p.detach().clone() for p in model.parameters()]
    rule = {"optimizer": optimizer, "lr_at": lambda step: 1.0}
    step = next(loop(model, Rows(), steps=1, max_grad_norm=1e-3, **rule))
    moved = torch.cat([(a - b).flatten() for a, b in zip(before, model.parameters(), strict=True)]).norm()
    assert step.grad_norm > 0.01
    assert moved.item() == pytest.approx(1e-3, rel=1e-3)


def test_each_group_learns_at_its_share_of_the_rate() -> None:
    model = still()
    chosen = settings(steps=3, warmup_share=0.0)
    optimizer = build_optimizer(model, chosen, lambda name: 0.25 if name.startswith("layer") else 1.0)
    for step in loop(model, Rows(), optimizer=optimizer, warmup_share=0.0):
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


def test_a_step_that_is_not_finite_changes_nothing_and_hands_over_its_batches() -> None:
    model = still()
    model.layer.weight.data[0, 0] = float("nan")
    before = model.stem.weight.detach().clone()
    step = next(loop(model, Rows()))
    assert torch.equal(model.stem.weight, before)
    assert torch.equal(step.bad[0].tokens, Rows().at(1)[0].tokens)
    assert all(p.grad is None for p in model.parameters())


def test_after_a_bad_step_the_next_one_is_as_if_it_had_not_been() -> None:
    class Spoilt(Rows):
        def at(self, step: int) -> list[Batch]:
            spoilt = super().at(step)
            return [replace(b, documents=b.documents * 0) for b in spoilt] if step == 2 else spoilt

    def faulty(model: nn.Module, batch: Batch) -> Loss:
        loss = objective(model, batch)
        return Loss(loss.total / (1.0 if batch.documents.any() else 0.0), loss.n_targets)

    models = [still(), still()]
    steps = list(train(replace(course(models[0], Spoilt()), objective=faulty)))
    assert [bool(step.bad) for step in steps] == [False, True, False]
    without = course(
        models[1], Given(Rows().at(1), Rows().at(3)), steps=2, lr_at=lambda n: steps[0 if n == 1 else 2].lr
    )
    list(train(without))
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_a_penalty_is_that_of_the_penalised_loss(penalty: str) -> None:
    model, twin, batch = still(), still(), Rows().batch(1, 0)
    loss = objective(twin, batch)
    power = twin.layer.weight.abs().sum() if penalty == "l1" else (twin.layer.weight**2).sum() / 2
    (loss.total / loss.n_targets + 0.1 * power).backward()
    rule = {"optimizer": build_optimizer(model, settings(), None), "lr_at": lambda step: 0.0}
    seen: list[torch.Tensor] = []
    rule["optimizer"].register_step_pre_hook(lambda *_: seen.append(model.layer.weight.grad.clone()))
    next(loop(model, Given([batch]), steps=1, max_grad_norm=1e9, **{penalty: 0.1}, **rule))
    torch.testing.assert_close(seen[0], twin.layer.weight.grad)


def test_noise_on_the_gradient_is_the_same_for_the_same_seed_and_step() -> None:
    def ends(**changes: object) -> torch.Tensor:
        model = still()
        list(loop(model, Rows(), **changes))
        return model.layer.weight.detach()

    assert torch.equal(ends(grad_noise=0.1), ends(grad_noise=0.1))
    assert not torch.equal(ends(grad_noise=0.1), ends())


def test_the_time_spent_waiting_for_data_is_told_apart() -> None:
    class Slow(Rows):
        def at(self, step: int) -> list[Batch]:
            time.sleep(0.05)
            return super().at(step)

    steps = list(loop(still(), Slow()))
    assert all(0.02 < step.wait_seconds < step.seconds for step in steps)


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
