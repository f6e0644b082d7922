"""Distillation against arithmetic done by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from luban.objectives.distillation import distillation
from luban.records import IGNORE, Batch
from tests.objectives.toys import Head


class Speaker(nn.Module):
    """Hidden states come from a table of tokens; a head of tokens or of classes reads them."""

    def __init__(self, table: list[list[float]], head: nn.Module):
        super().__init__()
        self.table = nn.Parameter(torch.tensor(table))
        self.head = head

    def hidden(self, tokens: Tensor, documents: Tensor) -> Tensor:
        return self.table[tokens]


class MeanHead(nn.Module):
    def forward(self, hidden: Tensor, documents: Tensor | None = None) -> Tensor:
        return hidden.mean(1)


def plain(table: list[list[float]]) -> Speaker:
    head = Head(2, 2)
    head.weight.data = torch.eye(2)
    return Speaker(table, head)


def batch_of(tokens: list[list[int]], targets: object) -> Batch:
    ids = torch.tensor(tokens)
    return Batch(ids, torch.ones_like(ids), torch.tensor(targets))


def kl(p: float, q: float) -> float:
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


STUDENT = [[0.0, 0.0], [0.0, 2 * math.log(3)]]
TEACHER = [[0.0, 2 * math.log(3)], [0.0, 2 * math.log(7)]]


def test_softened_scores_diverge_by_the_squared_temperature_times_kl() -> None:
    student, teacher = plain(STUDENT), plain(TEACHER)
    loss = distillation(
        student, batch_of([[0, 1], [0, 0]], [[1, 1], [IGNORE, 1]]), teacher=teacher, temperature=2.0
    )
    assert loss.n_targets == 3
    # Softened by 2, the teacher gives 1/4 and 1/8 to token 0, the student 1/2 and 1/4.
    assert loss.total.item() == pytest.approx(4 * (2 * kl(1 / 4, 1 / 2) + kl(1 / 8, 1 / 4)), rel=1e-5)
    loss.total.backward()
    assert student.table.grad.any()
    assert student.head.weight.grad.any()
    assert teacher.table.grad is None


def test_hidden_states_add_their_mean_squared_difference_for_each_target() -> None:
    student, teacher = plain([[1.0, 2.0], [0.0, 0.0]]), plain([[1.0, 2.0], [1.0, 3.0]])
    batch = batch_of([[0, 1]], [[1, 1]])
    bare = distillation(student, batch, teacher=teacher).total
    loss = distillation(student, batch, teacher=teacher, hidden_weight=0.1)
    mean_square = (0 + 0 + 1 + 9) / 4
    assert (loss.total - bare).item() == pytest.approx(0.1 * 2 * mean_square, rel=1e-4)


def test_a_narrow_student_is_projected() -> None:
    student = Speaker([[1.0], [2.0]], Head(1, 2))
    project = nn.Linear(1, 2, bias=False)
    project.weight.data = torch.tensor([[1.0], [2.0]])
    teacher = plain([[1.0, 2.0], [2.0, 4.0]])
    batch = batch_of([[0, 1]], [[1, 1]])
    bare = distillation(student, batch, teacher=teacher).total
    loss = distillation(student, batch, teacher=teacher, hidden_weight=1.0, project=project)
    assert loss.total.item() == pytest.approx(bare.item())


def test_classes_are_distilled_a_row_each() -> None:
    student, teacher = Speaker(STUDENT, MeanHead()), Speaker(TEACHER, MeanHead())
    loss = distillation(student, batch_of([[0, 0], [1, 1]], [0, 1]), teacher=teacher, temperature=2.0)
    assert loss.n_targets == 2
    assert loss.total.item() == pytest.approx(4 * (kl(1 / 4, 1 / 2) + kl(1 / 8, 1 / 4)), rel=1e-5)


def test_the_teacher_neither_drops_out_nor_learns() -> None:
    teacher = plain(TEACHER).train()
    distillation(plain(STUDENT), batch_of([[0]], [[1]]), teacher=teacher)
    assert not teacher.training
