"""A stream holds the documents chosen, whole and in order, and windows of it are what a loop would cut."""

import random
from pathlib import Path

import numpy as np
import pytest

from luban.data.shards import open_shard
from luban.data.streams import Stream, chosen, whole
from luban.records import IGNORE
from tests.data.shard_folders import write_folder


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("streams") / "a", 80, longest=12) / "train"


def plain(stream: Stream) -> tuple[list[int], list[int]]:
    """Return each token of the stream and the number of its document in it, by a loop."""
    tokens: list[int] = []
    owners: list[int] = []
    n = len(stream.offsets) - 1
    for nth in range(n):
        document = stream.document(nth)
        its = stream.shard.tokens[stream.shard.offsets[document] : stream.shard.offsets[document + 1]]
        tokens += its.tolist()
        owners += [nth] * len(its)
    return tokens, owners


def check(stream: Stream, starts: list[int], context: int) -> None:
    tokens, owners = plain(stream)
    assert stream.n_tokens == len(tokens)
    into = tuple(np.full((len(starts), context), 77, np.int64) for _ in range(3))
    stream.fill(np.array(starts), (into[0], into[1], into[2]))
    for row, start in enumerate(starts):
        for t in range(context):
            place = start + t
            if place >= len(tokens):
                assert [int(part[row, t]) for part in into] == [0, 0, IGNORE]
                continue
            same = place + 1 < len(tokens) and owners[place + 1] == owners[place]
            expected = [
                tokens[place],
                owners[place] - owners[start] + 1,
                tokens[place + 1] if same else IGNORE,
            ]
            assert [int(part[row, t]) for part in into] == expected


@pytest.mark.parametrize("context", [1, 2, 7, 33])
def test_windows_of_all_documents_are_what_a_loop_cuts(prefix: Path, context: int) -> None:
    stream = whole(open_shard(prefix))
    last = (stream.n_tokens - 1) // context * context
    check(stream, [*range(0, 5 * context, context), last], context)


@pytest.mark.parametrize("seed", range(12))
def test_windows_of_chosen_documents_are_what_a_loop_cuts(prefix: Path, seed: int) -> None:
    draw = random.Random(seed)
    shard = open_shard(prefix)
    n = len(shard.offsets) - 1
    kept = sorted(draw.sample(range(n), draw.randrange(1, n)))
    stream = chosen(shard, np.array(kept))
    assert [stream.document(i) for i in range(len(kept))] == kept
    context = draw.randrange(1, 40)
    check(stream, list(range(0, max(1, stream.n_tokens - 1), context)), context)


def test_neighbours_are_read_in_one_stretch(prefix: Path) -> None:
    stream = chosen(open_shard(prefix), np.array([3, 4, 5, 9, 10]))
    assert len(stream.places) == 2
