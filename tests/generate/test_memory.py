"""What was read once is not read again, and the scores are those of a row read from its start."""

import dataclasses
from typing import Any

import pytest
import torch

from luban.errors import DataError
from luban.generate.memory import Memory
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.models.model import Model

SIZE = {"dim": 32, "n_layers": 2, "n_heads": 4, "max_len": 2000}


def model_of(family: str) -> Model:
    more: dict[str, Any] = {"cell": "gru"} if family == "recurrent" else {}
    size = {k: v for k, v in SIZE.items() if family != "recurrent" or k in ("dim", "n_layers", "max_len")}
    torch.manual_seed(1)
    return build_model(FAMILIES[family].config("tiny", vocab_size=50, **size, **more)).eval()


@pytest.mark.parametrize("family", ["llama", "gpt2", "recurrent"])
def test_scores_are_those_of_a_row_read_from_its_start(family: str) -> None:
    model = model_of(family)
    memory = Memory(model)
    rows = [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6], [1, 2, 7], [1, 2, 7], [9], [9, *range(40)] * 20, [9, 0, 1, 2]]
    for row in rows:
        with torch.no_grad():
            expected = model(torch.tensor([row]))[:, -1]
        torch.testing.assert_close(memory.read(row), expected, rtol=1e-4, atol=1e-4)


def test_only_what_is_new_is_read() -> None:
    memory = Memory(model_of("llama"))
    counts = []
    for row in ([1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 9], [1, 2, 9]):
        before = memory.n_read
        memory.read(row)
        counts.append(memory.n_read - before)
    assert counts == [3, 2, 1, 1]
    memory.forget()
    memory.read([1, 2])
    assert memory.n_read == sum(counts) + 2


def test_a_recurrent_state_that_cannot_go_back_reads_from_the_start() -> None:
    memory = Memory(model_of("recurrent"))
    for row, n in (([1, 2, 3], 3), ([1, 2, 3, 4], 1), ([1, 2, 5], 3)):
        before = memory.n_read
        memory.read(row)
        assert memory.n_read - before == n


def test_a_reading_that_failed_leaves_nothing_half_read() -> None:
    model = model_of("llama")
    memory = Memory(model)
    memory.read([1, 2, 3])
    with pytest.raises(DataError):
        memory.read([1, 2, 3, 99])
    torch.testing.assert_close(memory.read([1, 2, 4]), Memory(model).read([1, 2, 4]))


def test_a_cache_is_never_longer_than_the_context() -> None:
    model = model_of("llama")
    model.config = dataclasses.replace(model.config, max_len=40)
    memory = Memory(model)
    memory.read([1, 2])
    memory.read([1] * 40)
    assert memory._cache is not None
    assert memory._cache.max_len == 40
