"""Mixtures: exact shares, each window once an epoch of its part, and a pure function of (seed, step)."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from luban.data.batches import PackedWindows
from luban.data.mixture import MixedWindows
from luban.data.mixture_settings import MixtureSettings, PhaseSettings
from luban.data.parts import folder_names
from luban.errors import ConfigError, DataError
from luban.records import IGNORE
from tests.data.shard_folders import END, write_folder

ORIGINS = (("web", "CC0", "en"), ("百科", "CC-BY-SA", "zh"), ("books", "CC0", "zh"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("mixture")
    return [
        write_folder(root / "large", 90, seed=1, origins=ORIGINS),
        write_folder(root / "小", 30, seed=2, origins=ORIGINS[1:]),
    ]


def mixed(folders: list[Path], *, context: int = 8, batch_size: int = 4, **mixture: object) -> MixedWindows:
    settings = MixtureSettings(**mixture)  # type: ignore[arg-type]
    return MixedWindows(folders, "train", settings, context=context, batch_size=batch_size, seed=1)


def ids(windows: MixedWindows, steps: range) -> list[int]:
    return [i for step in steps for batch in windows.at(step) for i in batch.ids]


def test_without_weights_every_window_comes_once_an_epoch(folders: list[Path]) -> None:
    windows = mixed(folders, batch_size=1)
    n = int(windows.sizes.sum())
    first, second = ids(windows, range(1, n + 1)), ids(windows, range(n + 1, 2 * n + 1))
    assert len(set(first)) == n
    assert sorted(first) == sorted(second)
    assert first != second


def test_one_folder_reads_as_if_it_were_not_mixed(folders: list[Path]) -> None:
    one = PackedWindows(folders[0] / "train", context=8, batch_size=4, seed=1)
    same = mixed(folders[:1])
    for step in (1, 7, 100, 333):
        [a], [b] = one.at(step), same.at(step)
        assert a.ids == b.ids
        for x, y in zip((a.tokens, a.documents, a.targets), (b.tokens, b.documents, b.targets), strict=True):
            assert torch.equal(x, y)
    assert [b.ids for b in one.in_order()] == [b.ids for b in same.in_order()]


@pytest.mark.parametrize("by", ["folder", "source", "licence", "language", "length", "quality"])
def test_parts_hold_all_documents_once_and_windows_stay_inside_a_part(folders: list[Path], by: str) -> None:
    windows = mixed(folders, by=by)
    held = Counter(
        (stream.shard.prefix, stream.document(i))
        for stream in windows.streams
        for i in range(len(stream.offsets) - 1)
    )
    assert len(held) == 120
    assert set(held.values()) == {1}
    documents = {}  # token → part, for the tokens tell the document
    for part in windows.parts:
        for stream in part.streams:
            for i in range(len(stream.offsets) - 1):
                documents[int(stream.shard.tokens[stream.shard.offsets[stream.document(i)]])] = part.name
    for batch in windows.in_order():
        for row, window in enumerate(batch.ids):
            seen = set(batch.tokens[row][batch.documents[row] > 0].tolist()) - {END}
            assert {documents[token] for token in seen} <= {windows.place(window)[0]}
    n_targets = sum(int((b.targets != IGNORE).sum()) for b in windows.in_order())
    assert n_targets == windows.n_tokens - 120


def test_labels_are_those_that_were_sharded(folders: list[Path]) -> None:
    assert sorted(p.name for p in mixed(folders, by="source").parts) == ["books", "web", "百科"]
    assert sorted(p.name for p in mixed(folders, by="language").parts) == ["en", "zh"]
    assert [p.name for p in mixed(folders, by="folder").parts] == ["large", "小"]
    lengths = mixed(folders, by="length", buckets=3)
    means = [np.mean(np.concatenate([np.diff(s.offsets) for s in p.streams])) for p in lengths.parts]
    assert [p.name for p in lengths.parts] == ["1", "2", "3"]
    assert means == sorted(means)
    n_tokens = [sum(s.n_tokens for s in p.streams) for p in lengths.parts]
    assert max(n_tokens) < 2 * min(n_tokens)  # documents of one length share a bucket


@pytest.mark.parametrize("weights", [{"en": 3, "zh": 1}, {"en": 0.123, "zh": 0.877}, {"en": 1, "zh": 0}])
def test_weights_hold_over_an_epoch_to_within_one_window(
    folders: list[Path], weights: dict[str, float]
) -> None:
    windows = mixed(folders, batch_size=1, by="language", weights=weights)
    n = int(windows.sizes.sum())
    counts = Counter(windows.place(i)[0] for i in ids(windows, range(1, n + 1)))
    for name, weight in weights.items():
        assert abs(counts[name] - n * weight / sum(weights.values())) < 1
    assert {r.name: r.read for r in windows.reads(n)} == {name: counts[name] for name in weights}


def test_each_window_of_a_part_comes_once_before_any_comes_again(folders: list[Path]) -> None:
    windows = mixed(folders, weights={"large": 1, "小": 4}, batch_size=5)
    seen: dict[int, list[int]] = {0: [], 1: []}
    for i in ids(windows, range(1, 200)):
        part, number = windows.source_of(i)
        seen[part].append(number)
    for part, numbers in seen.items():
        n = int(windows.sizes[part])
        for start in range(0, len(numbers) - n, n):
            assert sorted(numbers[start : start + n]) == list(range(n))


def test_temperature_makes_parts_alike(folders: list[Path]) -> None:
    plain, warm = mixed(folders), mixed(folders, temperature=2.0)
    sizes = plain.sizes / plain.sizes.sum()
    shares = [r.share for r in warm.reads(400)]
    assert shares == pytest.approx(np.sqrt(sizes) / np.sqrt(sizes).sum(), abs=0.01)


def test_phases_change_at_their_steps(folders: list[Path]) -> None:
    phases = (
        PhaseSettings(weights={"large": 1, "小": 0}, until_step=20),
        PhaseSettings(weights={"large": 1, "小": 3}),
    )
    windows = mixed(folders, phases=phases)
    names = [windows.place(i)[0] for i in ids(windows, range(1, 61))]
    assert set(names[:80]) == {"large"}
    assert Counter(names[80:240])["小"] == pytest.approx(120, abs=2)


def test_steps_are_the_same_in_any_order_from_any_thread_divided_anyhow(folders: list[Path]) -> None:
    phases = (
        PhaseSettings(weights={"en": 1, "zh": 2}, until_step=13),
        PhaseSettings(weights={"en": 2, "zh": 1}),
    )
    given = MixtureSettings(by="language", phases=phases, blend=True)

    def make(batch_size: int, n: int) -> MixedWindows:
        return MixedWindows(
            folders, "train", given, context=8, batch_size=batch_size, seed=4, n_micro_batches=n
        )

    walked, fresh, divided = make(6, 1), make(6, 1), make(2, 3)
    expected = {step: ids(walked, range(step, step + 1)) for step in range(1, 80)}
    for step in random.Random(1).sample(range(1, 80), 40):
        assert ids(fresh, range(step, step + 1)) == ids(divided, range(step, step + 1)) == expected[step]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda step: ids(fresh, range(step, step + 1)), range(1, 80)))
    assert together == list(expected.values())
    other = MixedWindows(folders, "train", given, context=8, batch_size=6, seed=5)
    assert ids(other, range(1, 9)) != ids(walked, range(1, 9))


def test_folders_of_one_name_are_told_apart() -> None:
    assert folder_names([Path("a/shards"), Path("b/shards"), Path("c")]) == ["shards", "shards:2", "c"]


def test_weights_that_cannot_be_are_refused(folders: list[Path]) -> None:
    with pytest.raises(ConfigError, match="no part is named 'larg'\n  fix: did you mean large"):
        mixed(folders, weights={"larg": 1})
    with pytest.raises(ConfigError, match="say nothing of 小"):
        mixed(folders, weights={"large": 1})
    with pytest.raises(ConfigError, match="leave nothing"):
        mixed(folders, weights={"large": 0, "小": 0})
    with pytest.raises(ConfigError, match="mixture.weights and mixture.temperature both"):
        MixtureSettings(weights={"a": 1}, temperature=2.0)
    with pytest.raises(ConfigError, match="which do not grow"):
        MixtureSettings(phases=(PhaseSettings(weights={"a": 1}), PhaseSettings(weights={"a": 1})))
    with pytest.raises(ConfigError, match="end at step 5"):
        MixtureSettings(phases=(PhaseSettings(weights={"a": 1}, until_step=5),))
    with pytest.raises(DataError, match=r"has no column colour .*\n  fix: .*shard.columns"):
        mixed(folders, by="colour")
    with pytest.raises(DataError, match="give 小 1, and its text does not fill one window"):
        mixed(
            folders, context=mixed(folders).streams[1].n_tokens, batch_size=1, weights={"large": 1, "小": 1}
        )
    with pytest.raises(DataError, match="a step takes batch_size × n_micro_batches = 5000 windows"):
        mixed(folders, batch_size=5000)


def test_shards_of_another_tokenizer_or_an_earlier_version_are_refused(
    folders: list[Path], tmp_path: Path
) -> None:
    other = write_folder(tmp_path / "other")
    (other / "tokenizer" / "tokenizer.json").write_text('{"other": 1}')
    with pytest.raises(DataError, match="number their tokens differently"):
        mixed([folders[0], other])
    (other / "train.rows.npy").unlink()
    with pytest.raises(DataError, match="does not say where its documents came from"):
        mixed([other], by="source")
