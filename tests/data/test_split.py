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


def write_rows(folder: Path, rows: list[dict[str, str]]) -> Path:
    folder.mkdir()
    fixed = {"licence": "b", "language": "en", "time": "", "source": "a"}
    write_documents(folder, [{**fixed, "text": f"text {row['id']}", **row} for row in rows])
    return folder


def part_of(folder: Path, out: Path, previous: Path | None = None, **changes: object) -> dict[str, str]:
    out.mkdir()
    inputs = {"documents": folder} | ({"previous": previous} if previous else {})
    split(SplitSettings(**changes), inputs, out, Log(quiet=True))  # type: ignore[arg-type]
    return {row["id"]: row["split"] for row in read_documents(out)}


def test_a_group_is_never_parted_nor_what_a_cluster_links_to_it(tmp_path: Path) -> None:
    rows = [{"id": f"d{i}", "cluster": f"c{i // 2}", "author": f"作者{i % 40}"} for i in range(400)]
    parts = part_of(write_rows(tmp_path / "in", rows), tmp_path / "out", group="author", test=0.3)
    for key in ("author", "cluster"):
        families: dict[str, set[str]] = {}
        for row in rows:
            families.setdefault(row[key], set()).add(parts[row["id"]])
        assert all(len(found) == 1 for found in families.values())
    assert set(parts.values()) == {"train", "validation", "test"}


def test_pages_of_a_site_can_be_kept_together(tmp_path: Path) -> None:
    rows = [{"id": f"d{i}", "source": f"https://s{i % 30}.org/{i}"} for i in range(300)]
    parts = part_of(write_rows(tmp_path / "in", rows), tmp_path / "out", group="site", test=0.2)
    sites: dict[int, set[str]] = {}
    for i in range(300):
        sites.setdefault(i % 30, set()).add(parts[f"d{i}"])
    assert all(len(found) == 1 for found in sites.values())
    files = write_rows(tmp_path / "files", [{"id": f"d{i}", "source": "one.jsonl"} for i in range(300)])
    assert len(set(part_of(files, tmp_path / "parts", group="site", test=0.2).values())) == 3


def test_each_stratum_has_its_share_of_every_part(tmp_path: Path) -> None:
    rows = [{"id": f"d{i}", "label": "rare" if i % 20 == 0 else "usual"} for i in range(2000)]
    parts = part_of(write_rows(tmp_path / "in", rows), tmp_path / "out", stratify="label", test=0.2)
    for label, n in (("rare", 100), ("usual", 1900)):
        found = Counter(parts[row["id"]] for row in rows if row["label"] == label)
        assert found["test"] / n == pytest.approx(0.2, abs=0.08)
        assert found["validation"] > 0


def test_a_stratum_too_small_to_split_trains(tmp_path: Path) -> None:
    rows = [{"id": f"d{i}", "language": "la" if i == 0 else "en"} for i in range(50)]
    parts = part_of(write_rows(tmp_path / "in", rows), tmp_path / "out", stratify="language")
    assert parts["d0"] == "train"


def test_by_time_the_newest_are_the_test_and_what_has_no_time_trains(tmp_path: Path) -> None:
    rows = [{"id": f"d{i:03}", "time": f"{1900 + i}-01-01"} for i in range(100)] + [{"id": "x"}]
    parts = part_of(write_rows(tmp_path / "in", rows), tmp_path / "out", by="time", validation=0.1, test=0.2)
    order = [parts[f"d{i:03}"] for i in range(100)]
    assert order == ["train"] * 70 + ["validation"] * 10 + ["test"] * 20
    assert parts["x"] == "train"


def test_an_earlier_split_is_kept_and_what_would_bridge_it_is_dropped(tmp_path: Path) -> None:
    rows = [{"id": f"d{i}", "cluster": f"d{i}"} for i in range(200)]
    before = part_of(write_rows(tmp_path / "in", rows), tmp_path / "old", test=0.3)
    train = next(i for i, part in before.items() if part == "train")
    test = next(i for i, part in before.items() if part == "test")
    joined = [{**row, "cluster": train if row["id"] == test else row["cluster"]} for row in rows]
    new = [{"id": "bridge", "cluster": train}, *({"id": f"n{i}", "cluster": f"n{i}"} for i in range(100))]
    folder = write_rows(tmp_path / "more", [*joined, *new])
    after = part_of(folder, tmp_path / "new", previous=tmp_path / "old", test=0.3, seed=9)
    assert {i: after[i] for i in before} == before
    assert "bridge" not in after
    assert {after[f"n{i}"] for i in range(100)} == {"train", "validation", "test"}
    assert (tmp_path / "new" / "dropped.jsonl").read_text().count("\n") == 1


def test_a_column_that_is_not_there_is_an_error_that_names_those_that_are(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "in", [{"id": f"d{i}", "author": "a"} for i in range(9)])
    with pytest.raises(DataError, match="column writer, and no document has it; they have: author"):
        part_of(folder, tmp_path / "out", group="writer")
    with pytest.raises(DataError, match="asks for the column time"):
        part_of(folder, tmp_path / "out2", by="time")


def test_times_of_other_zones_are_compared_as_moments(tmp_path: Path) -> None:
    late = {"id": "late", "time": "2024-05-01T01:00:00-08:00"}
    rows = [late, *({"id": f"d{i}", "time": f"2024-05-01T0{i}:30:00+00:00"} for i in range(9))]
    parts = part_of(write_rows(tmp_path / "in", rows), tmp_path / "out", by="time", validation=0.0, test=0.1)
    assert [name for name, part in parts.items() if part == "test"] == ["late"]


def test_groups_that_an_earlier_split_parted_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": f"d{i}", "author": f"作者{i % 2}"} for i in range(60)]
    folder = write_rows(tmp_path / "in", rows)
    part_of(folder, tmp_path / "old", test=0.3)
    (tmp_path / "new").mkdir()
    inputs = {"documents": folder, "previous": tmp_path / "old"}
    split(SplitSettings(group="author"), inputs, tmp_path / "new", Log())
    printed = capsys.readouterr()
    assert "2 groups of documents stay parted" in printed.out + printed.err
