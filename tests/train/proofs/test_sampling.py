"""Steps are a pure function of their number; samplers that remember, repeat or forget are found."""

import dataclasses

import numpy as np
import pytest

from luban.data.batches import Bucketed
from luban.train.proofs.sampling import _epoch_size, sampled
from tests.train.proofs.subjects import N_SAMPLES, Packed, classifier, language_model, rows, without_again


@pytest.mark.parametrize("subject", [language_model, classifier])
def test_pure_batches_hold(subject):
    found = sampled(subject())
    assert found.holds, found
    assert "each of 30 samples comes once an epoch" in found.words


class Stale:
    """Keeps a counter between calls, as iterators do."""

    def __init__(self, source):
        self.source, self.count = source, 0

    def at(self, step):
        self.count += 1
        return self.source.at(self.count)


class Remembering:
    """Answers the first step that it was asked for, once it was asked for a late one."""

    def __init__(self, source):
        self.source, self.latest = source, 0

    def at(self, step):
        self.latest = max(self.latest, step)
        return self.source.at(step if step >= self.latest else step + 1)


class Shifted:
    """A source whose steps are others than the number says."""

    def __init__(self, change):
        self.change = change

    def at(self, step):
        return Packed().at(self.change(step))


@pytest.mark.parametrize("kind", [Stale, Remembering])
def test_a_sampler_that_keeps_state_between_calls_is_found(kind):
    found = sampled(language_model(batches=kind(Packed())))
    assert not found.holds
    assert "in another order" in found.words


def test_another_order_of_the_same_data_made_anew_is_found():
    other = Shifted(lambda step: step + 1)
    found = sampled(without_again(language_model(), other))
    assert not found.holds
    assert "made anew" in found.words or "asked anew" in found.words


def test_rows_that_depend_on_the_number_of_micro_batches_are_found():
    assert not sampled(without_again(classifier(), rows(2, 60))).holds


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda step: 1 + step % 3, "had not come yet"),  # half of the data is never seen
        (lambda step: max(1, step - 1), "had not come yet"),  # the first step comes twice
    ],
)
def test_samples_that_come_twice_or_never_are_found(change, why):
    source = Shifted(change)
    found = sampled(without_again(language_model(batches=source), source))
    assert not found.holds
    assert why in found.words


class Unshuffled(Bucketed):
    """Goes through the first epoch's plan again and again."""

    def at(self, step):
        plan = self._plan(0)
        rows = plan[(step - 1) % len(plan)]
        return [self.read(part) for part in np.array_split(rows, min(self.n_micro_batches, len(rows)))]


def unshuffled(tokens_per_batch):
    texts = [[3] * (3 + i % 9) for i in range(N_SAMPLES)]
    return Unshuffled(texts, [0] * N_SAMPLES, tokens_per_batch=tokens_per_batch, seed=1, pad_id=0)


class Straddling:
    """The same order each epoch, in steps that do not divide it."""

    def at(self, step):
        return [Packed().read([i % N_SAMPLES for i in range(7 * step - 7, 7 * step)])]


@pytest.mark.parametrize("source", [unshuffled(60), unshuffled(150), Straddling()])
def test_an_order_that_is_the_same_each_epoch_is_found(source):
    found = sampled(without_again(classifier(batches=source), source))
    assert not found.holds
    assert "in the same order" in found.words


def test_an_epoch_of_one_step_has_no_order():
    source = unshuffled(1000)
    assert sampled(without_again(classifier(batches=source), source)).holds


def test_a_few_steps_that_come_alike_twice_by_chance_hold():
    for seed in range(8):  # two steps, in one of two orders
        texts = [[3] * 2**i for i in range(4)]
        source = Bucketed(texts, [0] * 4, tokens_per_batch=16, seed=seed, pad_id=0)
        assert source.steps_per_epoch == 2
        assert sampled(without_again(classifier(batches=source), source)).holds


def test_an_epoch_that_is_not_walked_to_its_end_says_so(monkeypatch):
    monkeypatch.setattr("luban.train.proofs.sampling.WALK_SECONDS", 0)
    found = sampled(language_model())
    assert found.holds


def test_rows_cut_anew_each_epoch_are_followed_by_their_numbers():
    assert _epoch_size([2, 0, 1, 3]) == 4
    assert _epoch_size([2, 0, 1, 4]) == 3  # 4 is the next epoch's
    assert _epoch_size([2, 0, 3, 4]) == 0  # 1 never came


def test_samples_without_ids_are_only_asked_for():
    class Nameless(Packed):
        def at(self, step):
            return [dataclasses.replace(b, ids=()) for b in super().at(step)]

    found = sampled(without_again(language_model(batches=Nameless()), Nameless()))
    assert found.holds
    assert "no ids" in found.words
