"""A step in parts is the step at once; sums that are divided wrongly are found."""

import dataclasses

import pytest
import torch

import luban.train.engine
from luban.train.proofs.accumulation import _sizes, accumulated
from luban.train.ranks import Ranks
from tests.train.proofs.subjects import Packed, classifier, grouped, language_model


@pytest.mark.parametrize("subject", [language_model, classifier])
def test_parts_of_a_step_end_in_the_weights_of_the_whole(subject):
    found = accumulated(subject())
    assert found.holds, found
    assert found.difference < 1e-5
    assert "= 2 + " in found.words


@pytest.mark.parametrize(("size", "what"), [(2, "groups of 2 rows"), (1, "rows")])
def test_rows_that_are_scored_together_are_parted_by_groups(size, what):
    found = accumulated(grouped(size))
    assert found.holds, found
    assert f" {what} = " in found.words


def test_clipping_is_part_of_the_step():
    found = accumulated(language_model(max_grad_norm=0.05))
    assert found.holds, found


def test_a_mean_of_means_is_found(monkeypatch):
    def mean_of_means(course, precision, number, micro_batches):
        for batch in micro_batches:
            loss = course.objective(course.model, batch)
            (loss.total / loss.n_targets / len(micro_batches)).backward()
        return float(loss.total.detach()), 1

    monkeypatch.setattr(luban.train.engine, "_add_gradients", mean_of_means)
    found = accumulated(language_model())
    assert not found.holds
    assert found.difference > 1e-3


def test_a_micro_batch_that_is_left_out_is_found(monkeypatch):
    deal = Ranks.deal
    monkeypatch.setattr(Ranks, "deal", lambda self, parts: deal(self, parts)[: max(1, len(parts) - 1)])
    assert not accumulated(language_model()).holds


def test_a_count_that_is_one_off_is_found(monkeypatch):
    divide = luban.train.engine._divide
    monkeypatch.setattr(luban.train.engine, "_divide", lambda parameters, n: divide(parameters, n + 1))
    assert not accumulated(language_model()).holds


def test_gradients_that_are_not_cleared_are_found(monkeypatch):
    monkeypatch.setattr(torch.optim.SGD, "zero_grad", lambda self, set_to_none=True: None)
    assert not accumulated(language_model()).holds


def test_an_objective_that_draws_draws_as_the_loop_promises():
    subject = language_model()

    def hiding(model, batch):
        hidden = torch.rand(batch.tokens.shape) < 0.3
        return subject.objective(
            model, dataclasses.replace(batch, tokens=batch.tokens.masked_fill(hidden, 1))
        )

    found = accumulated(dataclasses.replace(subject, objective=hiding))
    assert found.holds, found


def test_steps_of_one_row_take_rows_of_later_steps():
    found = accumulated(language_model(batches=Packed(n_rows=1)))
    assert found.holds, found
    assert "of 6 rows" in found.words


@pytest.mark.parametrize("n_rows", [2, 3, 7, 12])
def test_parts_are_uneven_and_complete(n_rows):
    for n in (1, 2, 3):
        sizes = _sizes(n_rows, n)
        assert sum(sizes) == n_rows
        assert all(sizes)
        assert len(sizes) == min(n, n_rows)
