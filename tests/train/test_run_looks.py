"""What a run scores: the model at rest, and a mean of the weights that sound steps have reached."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from luban.records import Batch, Loss
from tests.train.toy_run import Rows, Toy, evaluation, objective, run


def test_a_look_at_a_model_with_dropout_gives_the_same_score_twice(tmp_path: Path) -> None:
    model = Toy(dropout=0.5)
    pairs: list[tuple[float, float]] = []

    def evaluate() -> dict[str, float]:
        pairs.append((evaluation(model)["loss"], evaluation(model)["loss"]))
        return {"loss": pairs[-1][0]}

    run(tmp_path, model, evaluate=evaluate)
    assert len(pairs) == 4
    assert all(first == second for first, second in pairs)


class Marked(Rows):
    """Rows whose documents are numbered 0 at one step."""

    bad_step = 3

    def at(self, step: int) -> list[Batch]:
        is_sound = int(step != self.bad_step)
        return [Batch(b.tokens, b.documents * is_sound, b.targets) for b in super().at(step)]


def divided(model: nn.Module, batch: Batch) -> Loss:
    loss = objective(model, batch)
    return Loss(loss.total / batch.documents.max(), loss.n_targets)


def test_a_bad_step_does_not_move_the_running_mean_of_the_weights(tmp_path: Path) -> None:
    model = Toy()
    seen: list[Tensor] = []

    def evaluate() -> dict[str, float]:
        seen.append(model.layer.weight.detach().clone())
        return {"loss": 1.0}

    changes = {"steps": 4, "ema_decay": 0.9, "evaluate_every_steps": 1, "max_skipped_steps": 1}
    facts = run(tmp_path, model, batches=Marked(), objective=divided, evaluate=evaluate, **changes)
    assert facts["counts"]["skipped_steps"] == 1
    assert [torch.equal(a, b) for a, b in zip(seen, seen[1:], strict=False)] == [False, False, True, False]
