"""A document scores in a packed row as alone; what leaks is found."""

import dataclasses

import pytest
import torch

import luban.models.attention
import luban.models.positions
from luban.models.heads import pooled
from luban.records import IGNORE, Batch
from luban.train.proofs.isolation import alone, packed
from tests.train.proofs.subjects import Packed, classifier, grouped, language_model, rows


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_documents_of_a_packed_row_score_as_alone(family):
    found = packed(language_model(family))
    assert found.holds, found
    assert found.difference < 1e-9
    assert "documents of 3 packed rows" in found.words


@pytest.mark.parametrize("family", ["bert", "recurrent"])
def test_rows_of_a_padded_batch_score_as_alone(family):
    found = packed(classifier(family))
    assert found.holds, found
    assert "3 rows of a padded batch" in found.words


@pytest.mark.parametrize(("size", "what"), [(2, "3 groups of 2 rows"), (1, "3 rows")])
def test_rows_that_are_scored_together_score_as_their_group_alone(size, what):
    found = packed(grouped(size))
    assert found.holds, found
    assert what in found.words


def test_a_group_that_knows_of_the_others_is_found():
    subject = grouped()

    def shared(model, batch):
        loss = subject.objective(model, batch)
        return dataclasses.replace(loss, total=loss.total * batch.n_groups)

    assert not packed(dataclasses.replace(subject, objective=shared)).holds


def test_a_row_without_a_boundary_is_cut_in_two():
    found = packed(language_model(batches=Packed(n_documents=1)))
    assert found.holds, found
    assert "2 documents of a row cut in two" in found.words


def test_a_mask_that_leaks_is_found(monkeypatch):
    mask = luban.models.attention._mask
    monkeypatch.setattr(
        luban.models.attention,
        "_mask",
        lambda layout, *rest: mask(dataclasses.replace(layout, documents=None), *rest),
    )
    found = packed(language_model())
    assert not found.holds
    assert found.difference > 1e-3
    assert "do not score as they do alone" in found.words


def test_positions_that_do_not_restart_are_found(monkeypatch):
    monkeypatch.setattr(
        luban.models.positions,
        "document_positions",
        lambda documents: torch.arange(documents.shape[1]).expand_as(documents),
    )
    assert not packed(language_model("gpt2")).holds


def test_positions_that_turn_may_go_on_for_only_distances_count(monkeypatch):
    monkeypatch.setattr(
        luban.models.positions,
        "document_positions",
        lambda documents: torch.arange(documents.shape[1]).expand_as(documents),
    )
    assert packed(language_model("llama")).holds


def test_pooling_over_padding_is_found(monkeypatch):
    monkeypatch.setattr(
        luban.models.heads, "pooled", lambda hidden, documents, pool: pooled(hidden, None, "mean")
    )
    assert not packed(classifier()).holds


def test_a_loss_that_sees_the_other_rows_is_found():
    subject = classifier()

    def normalised(model, batch):
        loss = subject.objective(model, batch)
        return dataclasses.replace(loss, total=loss.total / len(batch.tokens))

    assert not packed(dataclasses.replace(subject, objective=normalised)).holds


@pytest.mark.parametrize(
    ("made", "count"),
    [
        (language_model, lambda batch: batch.targets.numel()),
        (language_model, lambda batch: int((batch.documents != 0).sum())),
        (classifier, lambda batch: batch.tokens.numel()),
        (classifier, lambda batch: batch.targets.numel()),  # rows without a class are among them
    ],
)
def test_a_loss_that_counts_more_than_its_targets_is_found(made, count):
    subject = made()

    def counted(model, batch):
        return dataclasses.replace(subject.objective(model, batch), n_targets=count(batch))

    found = packed(dataclasses.replace(subject, objective=counted))
    assert not found.holds
    assert "targets more or fewer than alone" in found.words


def test_an_objective_that_draws_is_compared_in_place():
    subject = language_model()

    def hiding(model, batch):
        hidden = torch.rand(batch.tokens.shape) < 0.3
        return subject.objective(
            model, dataclasses.replace(batch, tokens=batch.tokens.masked_fill(hidden, 1))
        )

    found = packed(dataclasses.replace(subject, objective=hiding))
    assert found.holds, found


def test_an_objective_that_draws_does_not_hide_a_leak(monkeypatch):
    subject = language_model()

    def hiding(model, batch):
        hidden = torch.rand(batch.tokens.shape) < 0.3
        return subject.objective(
            model, dataclasses.replace(batch, tokens=batch.tokens.masked_fill(hidden, 1))
        )

    mask = luban.models.attention._mask
    monkeypatch.setattr(
        luban.models.attention,
        "_mask",
        lambda layout, *rest: mask(dataclasses.replace(layout, documents=None), *rest),
    )
    assert not packed(dataclasses.replace(subject, objective=hiding)).holds


def test_rows_that_are_each_others_contrast_are_left_out():
    batch = rows().at(1)[0]
    contrast = dataclasses.replace(batch, source=batch.tokens, source_documents=batch.documents)

    class Pairs:
        def at(self, step):
            return [contrast]

    found = packed(classifier(batches=Pairs()))
    assert not found.applies
    assert "told apart" in found.words


def test_a_document_alone_has_its_own_targets_and_nothing_else():
    batch = Batch(
        torch.tensor([[7, 8, 9, 5, 0]]),
        torch.tensor([[1, 2, 2, 2, 0]]),
        torch.tensor([[IGNORE, 9, 5, IGNORE, IGNORE]]),
    )
    cut = alone(batch)
    assert cut.tokens.tolist() == [[8, 9, 5]]
    assert cut.documents.tolist() == [[1, 1, 1]]
    assert cut.targets.tolist() == [[9, 5, IGNORE]]
