"""Several processes descend as one: the same losses and weights, however a model is spread over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from luban.errors import ConfigError
from luban.models.build import build_model
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.model import Model
from luban.objectives.classes import classes
from luban.objectives.next_token import next_token
from luban.objectives.seq2seq import seq2seq
from luban.optim.averaging import Average
from luban.optim.build import build_optimizer
from luban.optim.groups import parameter_groups
from luban.records import IGNORE, Batch, Loss
from luban.train.engine import Course, train
from luban.train.joining import joined
from luban.train.parallel import distribute, group_by_kind, refuse_what_needs_whole_matrices, settle, whole
from luban.train.plans import tensor_plan
from luban.train.settings import ParallelSettings, TrainSettings
from tests.train.crew import Crew

VOCAB, N_STEPS = 32, 2
SIZE: dict[str, Any] = {"dim": 16, "n_layers": 2, "n_heads": 4, "ffn_dim": 24, "dropout": 0.0, "max_len": 16}
CLASSES = HeadConfig(kind="classes", n_classes=3, labels=("bad", "good", "mixed"), layer="pooler")


def plain(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Some gradients are nothing but rounding, as that of a key's bias; Adam would make whole steps of it."""
    return torch.optim.SGD(parameter_groups(model, 0.0), lr=settings.lr)


OPTIMIZERS = dict.fromkeys(("gpt2", "bert", "t5"), plain)
OBJECTIVES: dict[str, Callable[[nn.Module, Batch], Loss]] = {"bert": classes, "t5": seq2seq}


@dataclass(frozen=True)
class Rows:
    """Uneven micro-batches of packed rows; pure in the step."""

    family: str
    n_micro_batches: int

    def at(self, step: int) -> list[Batch]:
        return [self.batch(step, i) for i in range(self.n_micro_batches)]

    def batch(self, step: int, i: int) -> Batch:
        generator = torch.Generator().manual_seed(100 * step + i)
        tokens = torch.randint(VOCAB, (2 + i, 8), generator=generator)
        documents = torch.ones_like(tokens)
        documents[:, 5:] = 2
        targets = tokens.roll(-1, 1)
        targets[:, : 1 + (step + i) % 4] = IGNORE
        if self.family == "bert":
            targets = tokens[:, 0] % 3
        source = {"source": tokens + 0, "source_documents": documents} if self.family == "t5" else {}
        return Batch(tokens, documents, targets, tuple(range(len(tokens))), **source)


def build(family: str, **changes: Any) -> Model:
    head = {"head": CLASSES} if family == "bert" else {}
    config = FAMILIES[family].config("tiny", vocab_size=VOCAB, **(SIZE | head | changes))
    model = build_model(config, seed=3)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=generator)
    return model


def descend(family: str, parallel: dict[str, int], n_micro_batches: int, changes: dict[str, Any]) -> Any:
    """Train for a few steps; return losses, gradient norms, an evaluation, weights and their mean."""
    settings = TrainSettings(
        steps=N_STEPS, lr=0.01, warmup_share=0, device="cpu", ema_decay=0.5, l2=0.01,
        parallel=ParallelSettings(**parallel),
    )  # fmt: skip
    model, objective = build(family, **changes), OBJECTIVES.get(family, next_token)
    rows = Rows(family, n_micro_batches)
    with joined(settings) as ranks:
        if not ranks.is_first:  # what the others begin with does not matter
            with torch.no_grad():
                for p in model.parameters():
                    p.zero_()
        gather = distribute(model, ranks, settings)
        optimizer = OPTIMIZERS.get(family, build_optimizer)(model, settings)
        group_by_kind(optimizer)
        average = Average(model, settings.ema_decay)
        course = Course(
            model=model, batches=rows, objective=objective, optimizer=optimizer,
            lr_at=lambda _: settings.lr, settings=settings, ranks=ranks,
        )  # fmt: skip
        curve, looks = [], []
        for step in train(course):
            curve.append((step.loss, step.grad_norm, step.n_targets))
            average.update()
            with average.in_place(), torch.no_grad():
                looks.append(objective(model.eval(), rows.batch(99, 0)).total.item())
                settle(model)
        mean = {name: whole(t) for name, t in average.tensors().items()}
        gather()
    assert all(type(p) is nn.Parameter for p in model.parameters())
    again = objective(model.eval(), rows.batch(99, 0)).total.item()
    return curve, looks, again, {k: t.detach().clone() for k, t in model.state_dict().items()}, mean


ALONE: dict[str, Any] = {}


def alone(family: str, n_micro_batches: int, changes: dict[str, Any]) -> Any:
    key = f"{family} {n_micro_batches} {changes}"
    if key not in ALONE:
        ALONE[key] = descend(family, {}, n_micro_batches, changes)
    return ALONE[key]


def assert_same(several: Any, one: Any) -> None:
    for mine, theirs in zip(several[0], one[0], strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5, abs=1e-5)
    assert several[1] == pytest.approx(one[1], rel=1e-5)
    assert several[2] == pytest.approx(one[2], rel=1e-5)
    for mine, theirs in zip(several[3:], one[3:], strict=True):
        assert mine.keys() == theirs.keys()
        for name in mine:
            torch.testing.assert_close(mine[name], theirs[name], rtol=1e-5, atol=1e-5, msg=name)


LAYOUTS = {
    "data": (2, {}),
    "shard": (2, {"shard": 0}),
    "tensor": (2, {"tensor": 2}),
    "data of shards": (4, {"shard": 2}),
    "shards of tensors": (4, {"shard": 2, "tensor": 2}),
    "data of tensors": (4, {"tensor": 2}),
}


@pytest.mark.parametrize(
    ("family", "layout"),
    [
        *(("llama", layout) for layout in LAYOUTS),
        pytest.param("gpt2", "shard", marks=pytest.mark.slow),
        ("gpt2", "tensor"),
        pytest.param("qwen3", "tensor", marks=pytest.mark.slow),
        ("qwen3", "shards of tensors"),
        pytest.param("bert", "shard", marks=pytest.mark.slow),
        ("bert", "tensor"),
        ("t5", "shard"),
        ("recurrent", "shard"),
    ],
)
def test_spread_over_processes_a_model_learns_what_it_learns_in_one(
    crew: Crew, family: str, layout: str
) -> None:
    world, parallel = LAYOUTS[layout]
    changes: dict[str, Any] = {"n_kv_heads": 2} if family in ("llama", "qwen3") else {}
    if family == "recurrent":
        changes = {"n_heads": None, "ffn_dim": None}
    answers = crew.run(world, descend, family, parallel, 3, changes)
    for answer in answers:
        assert_same(answer, alone(family, 3, changes))
    for answer in answers[1:]:
        assert answer[0] == answers[0][0]  # all processes decide alike, so they must see the same numbers
        assert all(torch.equal(answer[3][k], answers[0][3][k]) for k in answer[3])


@dataclass(frozen=True)
class Lone(Rows):
    """A step of one row, which cannot be dealt out."""

    def at(self, step: int) -> list[Batch]:
        batch = self.batch(step, 0)
        return [Batch(batch.tokens[:1], batch.documents[:1], batch.targets[:1], (0,))]


def descend_plainly(rows: Rows, grad_noise: float) -> Any:
    """Descend by the gradient itself; return losses, gradient norms, targets, and the weights."""
    settings = TrainSettings(steps=3, lr=0.1, grad_noise=grad_noise, device="cpu")
    model = build("gpt2")
    with joined(settings) as ranks:
        distribute(model, ranks, settings)
        course = Course(
            model=model, batches=rows, objective=next_token, optimizer=plain(model, settings),
            lr_at=lambda _: settings.lr, settings=settings, ranks=ranks,
        )  # fmt: skip
        curve = [(step.loss, step.grad_norm, step.n_targets) for step in train(course)]
    return curve, {k: t.detach().clone() for k, t in model.state_dict().items()}


@pytest.mark.parametrize(
    ("rows", "grad_noise"),
    [
        pytest.param(Rows("gpt2", 3), 0.1, id="noise on the gradient"),
        pytest.param(Lone("gpt2", 1), 0.0, id="fewer rows than processes"),
    ],
)
def test_processes_neither_drift_apart_nor_count_a_row_twice(
    crew: Crew, rows: Rows, grad_noise: float
) -> None:
    curve, weights = descend_plainly(rows, grad_noise)
    answers = crew.run(2, descend_plainly, rows, grad_noise)
    for its_curve, its_weights in answers:
        for mine, theirs in zip(its_curve, curve, strict=True):
            assert mine == pytest.approx(theirs, rel=1e-5, abs=1e-5)
        for name, tensor in its_weights.items():
            torch.testing.assert_close(tensor, weights[name], rtol=1e-5, atol=1e-5, msg=name)
            assert torch.equal(tensor, answers[0][1][name]), name


@pytest.mark.parametrize(
    ("family", "changes", "n", "message"),
    [
        ("recurrent", {"n_heads": None, "ffn_dim": None}, 2, "trunk.blocks.0 is recurrent"),
        ("t5", {}, 2, "position = relative adds a bias for every head"),
        ("llama", {"position": "alibi"}, 2, "position = alibi adds a bias for every head"),
        (
            "llama",
            {"n_kv_heads": 2},
            4,
            "attention.k has 2 heads, which do not divide by parallel.tensor = 4",
        ),
        ("gpt2", {"ffn_dim": 25}, 2, "mlp.up has 25 features, which do not divide by parallel.tensor = 2"),
        ("word2vec", {"n_heads": None, "ffn_dim": None, "n_layers": None}, 2, "Model has no layer that"),
    ],
)
def test_what_processes_cannot_share_is_refused(
    family: str, changes: dict[str, Any], n: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        tensor_plan(build(family, **changes), n)


def test_a_layer_that_was_replaced_is_refused() -> None:
    model = build("llama")
    model.trunk.blocks[0].attention.q = nn.Sequential(model.trunk.blocks[0].attention.q)
    with pytest.raises(ConfigError, match=r"attention\.q is a Sequential, not a plain linear layer"):
        tensor_plan(model, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "muon"}, "optimizer = muon needs whole matrices"),
        ({"optimizer": "adafactor"}, "optimizer = adafactor needs whole matrices"),
        ({"grad_noise": 0.1}, "grad_noise = 0.1 is drawn for whole gradients"),
    ],
)
def test_rules_that_need_whole_matrices_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        refuse_what_needs_whole_matrices(TrainSettings(**changes))
