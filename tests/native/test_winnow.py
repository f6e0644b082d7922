from __future__ import annotations

import random

import numpy as np
import pytest

from luban.native import build, winnow


def laid_out(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    return np.frombuffer(b"".join(texts) + b"\0", np.uint8), np.cumsum([0, *map(len, texts)]).astype(np.int64)


def drawn(rng: random.Random, size: int) -> bytes:
    return bytes(rng.choices(b"ab \n", k=size)) if rng.random() < 0.5 else rng.randbytes(size)


@pytest.mark.skipif(not build.is_available(), reason="there is no compiler here")
@pytest.mark.parametrize("seed", range(4))
def test_fingerprints_are_the_twins(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = random.Random(seed)
    data, offsets = laid_out(
        [drawn(rng, rng.choice((0, 5, 24, 25, 26, 300))) for _ in range(12)] + [b"-" * 99]
    )
    native = winnow.winnow(data, offsets, 13, 12)
    monkeypatch.setattr(winnow, "is_available", lambda: False)
    for one, other in zip(native, winnow.winnow(data, offsets, 13, 12), strict=True):
        np.testing.assert_array_equal(one, other)


def test_texts_that_share_enough_share_a_fingerprint_and_few_are_kept() -> None:
    rng = random.Random(9)
    for _ in range(50):
        shared = rng.randbytes(40)
        texts = [
            rng.randbytes(rng.randrange(60)) + shared + rng.randbytes(rng.randrange(60)) for _ in range(2)
        ]
        hashes, places = winnow.winnow(*laid_out(texts), 20, 21)
        first, second = (set(hashes[places[:, 0] == t].tolist()) for t in range(2))
        assert first & second
    hashes, _ = winnow.winnow(*laid_out([rng.randbytes(20_000)]), 20, 21)
    assert len(hashes) < 2.2 * 20_000 / 22
