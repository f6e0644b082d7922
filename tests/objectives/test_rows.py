"""Documents out of rows and into rows."""

import torch

from luban.objectives.rows import Rows, pieces
from tests.objectives.toys import rows


def test_documents_come_out_in_order_without_padding() -> None:
    batch = rows([[5, 6, 7, 0], [8, 9, 9, 9]], [[1, 1, 2, 0], [1, 2, 2, 2]])
    assert list(pieces(batch)) == [(0, 1, [5, 6]), (0, 2, [7]), (1, 1, [8]), (1, 2, [9, 9, 9])]


def test_rows_are_padded_to_the_longest_or_cut_to_a_width() -> None:
    made = Rows(2)
    made.add(0, 1, [5, 6])
    made.add(0, 2, [7])
    tokens, documents = made.tensors(9, torch.device("cpu"))
    assert tokens.tolist() == [[5, 6, 7], [9, 9, 9]]
    assert documents.tolist() == [[1, 1, 2], [0, 0, 0]]
    assert made.tensors(9, torch.device("cpu"), 2)[0].tolist() == [[5, 6], [9, 9]]


def test_nothing_at_all_is_one_column_of_padding() -> None:
    assert Rows(2).tensors(9, torch.device("cpu"))[0].tolist() == [[9], [9]]
