"""Bits per byte, by hand and against a plain loop."""

import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from luban.data.batches import PackedWindows
from luban.data.shards import TOKEN_BYTES, ShardWriter
from luban.errors import DataError
from luban.evaluate.language_model import bits_per_byte, document_bits
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.records import IGNORE

VOCAB = 32


def write(folder, sizes):
    draw = random.Random(1)
    with ShardWriter(folder, "validation", VOCAB) as writer:
        for i, size in enumerate(sizes):
            writer.add(f"doc {i}", [draw.randrange(2, VOCAB) for _ in range(size)] + [1], 2 * size)
    token_bytes = np.full(VOCAB, 2.0)
    token_bytes[1] = 0
    np.save(folder / TOKEN_BYTES, token_bytes)
    return PackedWindows(folder / "validation", context=8, batch_size=3, seed=1)


@pytest.fixture
def windows(tmp_path):
    return write(tmp_path, [3, 17, 5, 30, 2])


def tiny() -> nn.Module:
    return build_model(
        FAMILIES["llama"].config("tiny", vocab_size=VOCAB, dim=16, n_layers=1, n_heads=2, n_kv_heads=1)
    )


def test_a_model_that_knows_nothing_pays_the_vocabulary_for_every_target(windows):
    model = tiny()
    nn.init.zeros_(model.head.weight)  # also the tied embedding: all scores are equal
    scores = bits_per_byte(model, windows)
    targets = torch.cat([b.targets.flatten() for b in windows.in_order()])
    n_targets = int((targets != IGNORE).sum())
    n_bytes = 2 * int((targets > 1).sum())  # the end of a document stands for no bytes, but must be paid
    assert scores["loss"] == pytest.approx(math.log(VOCAB))
    assert scores["bits_per_byte"] == pytest.approx(n_targets * math.log2(VOCAB) / n_bytes)


def test_documents_add_up_to_the_whole(windows):
    model = tiny()
    rows = document_bits(model, windows)
    assert [row["id"] for row in rows] == [f"doc {i}" for i in range(5)]
    assert sum(r["bits"] for r in rows) / sum(r["bytes"] for r in rows) == pytest.approx(
        bits_per_byte(model, windows)["bits_per_byte"], rel=1e-5
    )
    # Each loses its first token; where a window begins inside a document, nothing more.
    assert [row["targets"] for row in rows] == [3, 17, 5, 30, 2]


def test_a_document_alone_in_its_windows_is_scored_as_a_plain_loop_would(tmp_path):
    windows, model = write(tmp_path, [16]), tiny().eval()
    (row,) = document_bits(model, windows)
    tokens = torch.from_numpy(windows.shard.tokens.astype(np.int64))
    with torch.no_grad():
        nats = sum(
            F.cross_entropy(model(tokens[None, s : s + 8])[0], tokens[s + 1 : s + 9], reduction="sum").item()
            for s in (0, 8)
        )
    assert row["bits"] == pytest.approx(nats / math.log(2), rel=1e-5)


def test_a_sample_of_windows_is_spread_over_the_split(windows):
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = tiny()
            self.head = self.inner.head

        def hidden(self, tokens, documents):
            seen.extend(tokens[:, 0].tolist())
            return self.inner.hidden(tokens, documents)

    bits_per_byte(Spy(), windows, max_windows=3)
    last = -(-(windows.n_tokens - 1) // 8) - 1
    assert len(seen) == 3
    assert (seen[0], seen[-1]) == (windows.shard.tokens[0], windows.shard.tokens[8 * last])


def test_text_without_a_predictable_token_is_an_error(tmp_path):
    with pytest.raises(DataError, match="none of them can be predicted"):
        bits_per_byte(tiny(), write(tmp_path, [0, 0, 0]))
