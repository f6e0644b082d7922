"""Stopped twice and resumed is never stopped; state that is not restored is found."""

import pytest
import torch

import luban.train.engine
import luban.train.saving
from luban.optim.averaging import Average
from luban.train.proofs.resuming import resumed
from tests.train.proofs.subjects import classifier, language_model


@pytest.mark.parametrize(
    "subject",
    [
        language_model(n_micro_batches=2),
        language_model(optimizer="sgd", schedule="plateau", plateau_looks=1, patience=2, ema_decay=0.0),
        classifier("recurrent"),
    ],
    ids=["adamw", "sgd", "recurrent"],
)
def test_it_ends_as_one_that_never_stopped(subject):
    found = resumed(subject)
    assert found.holds, found
    assert "equal to the last bit" in found.words


def test_an_optimizer_that_is_not_restored_is_found(monkeypatch):
    monkeypatch.setattr(luban.train.saving, "load_optimizer", lambda *args: None)
    found = resumed(language_model(ema_decay=0.0))
    assert not found.holds
    assert found.difference > 0
    assert "after two stops" in found.words


def test_a_mean_of_weights_that_is_not_restored_is_found(monkeypatch):
    monkeypatch.setattr(Average, "load", lambda self, tensors: None)
    assert not resumed(language_model()).holds


def test_noise_that_depends_on_what_went_before_is_found(monkeypatch):
    def seed_once(seed, step, part=0):
        if step == 1:
            torch.manual_seed(seed)

    monkeypatch.setattr(luban.train.engine, "seed_step", seed_once)
    assert not resumed(language_model(ema_decay=0.0)).holds


def test_a_schedule_that_starts_over_is_found(monkeypatch):
    train = luban.train.run.train
    calls = []

    def restarted(course):
        calls.append(course.first_step)
        first = course.first_step
        object.__setattr__(course, "lr_at", lambda step: 0.01 / (step - first + 1))
        return train(course)

    monkeypatch.setattr(luban.train.run, "train", restarted)
    assert not resumed(language_model()).holds
    assert calls == [1, 1, 3, 7]


def test_the_number_of_threads_is_left_as_it_was():
    torch.set_num_threads(2)
    resumed(language_model(threads=1))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
