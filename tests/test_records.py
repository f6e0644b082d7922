"""The batch that rooms hand to each other."""

import torch

from luban.records import Batch


def test_a_batch_without_a_source_moves_and_counts_its_own_tokens():
    batch = Batch(torch.ones(2, 3), torch.tensor([[1, 1, 0], [1, 0, 0]]), torch.ones(2, 3), (7, 8))
    moved = batch.to("meta")
    assert moved.source is None
    assert moved.source_documents is None
    assert moved.ids == (7, 8)
    assert {t.device.type for t in (moved.tokens, moved.documents, moved.targets)} == {"meta"}
    assert (batch.n_positions, batch.n_padding) == (6, 3)


def test_a_source_moves_with_the_batch_and_its_padding_counts():
    one = torch.ones(1, 2, dtype=torch.long)
    source = Batch(one, one, one, source=torch.ones(1, 4), source_documents=torch.tensor([[1, 1, 1, 0]]))
    moved = source.to("meta")
    assert {moved.source.device.type, moved.source_documents.device.type} == {"meta"}
    assert (source.n_positions, source.n_padding) == (6, 1)


def test_groups_of_rows_are_taken_whole_with_all_that_is_known_of_them():
    rows = torch.arange(12).view(6, 2)
    batch = Batch(rows, rows, rows, tuple(range(6)), signal=torch.tensor([[1.0], [2.0], [3.0]]), group=2)
    part = batch.groups(1, 3)
    assert batch.n_groups == 3
    assert part.tokens.tolist() == rows[2:].tolist()
    assert (part.ids, part.group) == ((2, 3, 4, 5), 2)
    assert part.signal.flatten().tolist() == [2.0, 3.0]
    assert Batch(rows, rows, rows).groups(2, 4).tokens.tolist() == rows[2:4].tolist()
