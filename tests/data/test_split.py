from collections import Counter
from pathlib import Path

import pytest

from luban.data.documents import read_documents, write_documents
from luban.data.settings import SplitSettings
from luban.data.split import assign, fold_of, split
from luban.errors import ConfigError, DataError
from luban.log import Log

MANY = [f"c{i}" for i in range(4000)]


def test_shares_are_as_asked_and_the_order_does_not_matter() -> None:
    parts = assign(MANY, validation=0.1, test=0.2, seed=1)
    sizes = {
        name: sum(p == name for p in parts.values()) / len(MANY) for name in ("train", "validation", "test")
    }
    assert sizes["test"] == pytest.approx(0.2, abs=0.03)
    assert sizes["validation"] == pytest.approx(0.1, abs=0.03)
    assert assign(MANY[::-1], validation=0.1, test=0.2, seed=1) == parts
    assert assign(MANY, validation=0.1, test=0.2, seed=2) != parts


def test_new_documents_do_not_move_the_old_ones() -> None:
    before = assign(MANY[:2000], validation=0.1, test=0.1, seed=1)
    after = assign(MANY, validation=0.1, test=0.1, seed=1)
    assert all(after[c] == part for c, part in before.items())


@pytest.mark.parametrize("n", [3, 4, 5, 12])
def test_a_tiny_corpus_still_fills_every_part(n: int) -> None:
    parts = assign(MANY[:n], validation=0.01, test=0.01, seed=1)
    assert set(parts.values()) == {"train", "validation", "test"}
    assert set(assign(MANY[:n], validation=0.45, test=0.45, seed=1).values()) == {
        "train",
        "validation",
        "test",
    }
    assert set(assign(MANY[:n], validation=0, test=0, seed=1).values()) == {"train"}


def test_too_few_clusters_are_an_error_with_the_way_out() -> None:
    with pytest.raises(DataError, match=r"2 clusters .* cannot fill train, test and validation") as e:
        assign(["a", "b"], validation=0.1, test=0.1, seed=1)
    assert "split.test=0" in e.value.fix
    with pytest.raises(ConfigError, match="leave nothing to train on"):
        SplitSettings(validation=0.5, test=0.5)


def test_a_cluster_is_never_parted_and_nothing_is_lost(tmp_path: Path) -> None:
    folder, out = tmp_path / "documents", tmp_path / "out"
    folder.mkdir(), out.mkdir()
    rows = [
        {
            "id": f"d{i}",
            "text": f"text {i}",
            "source": "a",
            "licence": "b",
            "language": "en",
            "cluster": f"c{i // 4}",
        }
        for i in range(200)
    ]
    write_documents(folder, rows)
    facts = split(SplitSettings(validation=0.2, test=0.2), {"documents": folder}, out, Log(quiet=True))
    written = list(read_documents(out))
    assert [row["id"] for row in written] == [row["id"] for row in rows]
    parts: dict[str, set[str]] = {}
    for row in written:
        parts.setdefault(row["cluster"], set()).add(row["split"])
    assert all(len(p) == 1 for p in parts.values())
    for name in ("train", "validation", "test"):
        assert len(list(read_documents(out, name))) == facts["splits"][name]["documents"] > 0
    assert facts["counts"]["documents_in"] == facts["counts"]["documents_kept"] == 200


def test_folds_are_of_equal_size_and_do_not_depend_on_the_order():
    names = [f"c{i}" for i in range(23)]
    found = fold_of(names, 5, 1)
    assert sorted(Counter(found.values()).values()) == [4, 4, 5, 5, 5]
    assert fold_of(reversed(names), 5, 1) == found
    assert fold_of(names, 5, 2) != found
    with pytest.raises(DataError, match="23 clusters of similar texts cannot fill 24 folds"):
        fold_of(names, 24, 1)
