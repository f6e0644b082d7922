import csv
import gzip
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from luban.data.examples import read_examples
from luban.errors import DataError


@dataclass(frozen=True)
class Columns:
    text: str | None = None
    label: str | None = None
    split: str | None = None


FOUND = Columns()


def sentence(i: int) -> str:
    rng = random.Random(i)
    return " ".join("".join(rng.choices("abcdefghij", k=5)) for _ in range(8))


def rows_of(n: int = 60, **more: Any) -> list[dict[str, Any]]:
    return [{"text": sentence(i), "label": ["neg", "pos"][i % 2], **more} for i in range(n)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
    return path


def with_splits(n: int = 30) -> list[dict[str, Any]]:
    rows = rows_of(n)
    for i, row in enumerate(rows):
        row["split"] = ["train", "train", "train", "validation", "test"][i % 5]
    return rows


def test_the_same_rows_read_alike_from_every_format(tmp_path: Path) -> None:
    rows = with_splits()
    write(tmp_path / "a.jsonl", rows)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    for name, delimiter in (("a.csv", ","), ("b.csv", ";"), ("a.tsv", "\t")):
        with (tmp_path / name).open("w", newline="") as f:
            writer = csv.DictWriter(f, list(rows[0]), delimiter=delimiter)
            writer.writeheader(), writer.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    seen = []
    for name in ("a.jsonl", "a.jsonl.gz", "a.csv", "b.csv", "a.tsv", "a.parquet"):
        found = read_examples(tmp_path / name, FOUND)
        assert not found.rejects
        assert not found.warnings
        seen.append(
            [[(e.text, e.label) for e in part] for part in (found.train, found.validation, found.test)]
        )
    assert all(one == seen[0] for one in seen)
    assert [len(part) for part in seen[0]] == [18, 6, 6]


def test_chinese_and_odd_column_names_are_found_and_named_ones_used(tmp_path: Path) -> None:
    rows = [{"编号": i, "评论": f"第{i}条{sentence(i)}", "标签": i % 2} for i in range(40)]
    found = read_examples(write(tmp_path / "a.jsonl", rows), FOUND)
    assert found.labels == ["0", "1"]
    other = [{"Review": r["评论"], "stars": r["标签"]} for r in rows]
    path = write(tmp_path / "b.jsonl", other)
    assert read_examples(path, Columns(label="stars")).labels == ["0", "1"]
    with pytest.raises(DataError, match="no column known to hold the label; it has: Review, stars"):
        read_examples(path, FOUND)
    with pytest.raises(DataError, match="has no column mood; it has: Review, stars"):
        read_examples(path, Columns(label="mood"))


def test_labels_of_any_type_become_names_in_their_own_order(tmp_path: Path) -> None:
    def labels(values: list[Any]) -> list[str]:
        rows = [{"text": sentence(i), "label": values[i % len(values)]} for i in range(80)]
        return read_examples(write(tmp_path / "a.jsonl", rows), FOUND).labels

    assert labels([10, 9, 2]) == ["2", "9", "10"]
    assert labels([1.0, 0]) == ["0", "1"]
    assert labels([True, False]) == ["false", "true"]
    assert labels(["好", " 差 "]) == ["好", "差"] or labels(["好", " 差 "]) == ["差", "好"]


def test_without_a_split_column_rows_are_parted_by_their_text_alone(tmp_path: Path) -> None:
    rows = rows_of(300)
    one = read_examples(write(tmp_path / "a.jsonl", rows), FOUND)
    two = read_examples(write(tmp_path / "b.jsonl", rows[::-1]), FOUND)
    for name in ("train", "validation", "test"):
        assert {e.text for e in one.part(name)} == {e.text for e in two.part(name)}
    assert len(one.train) + len(one.validation) + len(one.test) == 300
    assert 10 <= len(one.test) <= 60


def test_near_duplicates_are_not_parted(tmp_path: Path) -> None:
    rows = [
        {"text": " ".join(sentence(i * 9 + j) for j in range(4)) + f" version {v}", "label": "ab"[i % 2]}
        for i in range(40)
        for v in range(3)
    ]
    found = read_examples(write(tmp_path / "a.jsonl", rows), FOUND)
    homes: dict[str, set[str]] = {}
    for name in ("train", "validation", "test"):
        for e in found.part(name):
            homes.setdefault(e.text.rpartition(" version")[0], set()).add(name)
    again = read_examples(write(tmp_path / "b.jsonl", rows[::-1]), FOUND)
    assert {e.text for e in again.test} == {e.text for e in found.test}
    assert len(homes) == 40
    assert all(len(h) == 1 for h in homes.values())


def test_names_of_splits_are_understood_and_dev_is_tested_where_there_is_no_test(tmp_path: Path) -> None:
    rows = rows_of(100)
    for i, row in enumerate(rows):
        row["split"] = "Training" if i < 80 else " dev"
    found = read_examples(write(tmp_path / "a.jsonl", rows), FOUND)
    assert {e.text for e in found.test} == {r["text"] for r in rows[80:]}
    assert found.validation
    assert len(found.train) + len(found.validation) == 80
    assert "the dev part is tested" in found.warnings[0]


def test_an_eval_file_is_the_test_part(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", rows_of(80))
    dev = write(
        tmp_path / "dev.jsonl", [{"text": f"new {sentence(500 + i)}", "label": "pos"} for i in range(7)]
    )
    found = read_examples(train, FOUND, eval_path=dev)
    assert [e.text for e in found.test] == [f"new {sentence(500 + i)}" for i in range(7)]
    assert found.validation
    assert all(e.id.startswith("train.jsonl:") for e in (*found.train, *found.validation))


def test_rows_without_text_or_label_are_set_aside(tmp_path: Path) -> None:
    bad: list[dict[str, Any]] = [
        {"text": "no label here"}, {"text": "", "label": "pos"}, {"text": None, "label": "pos"},
        {"text": "empty label", "label": ""}, {"text": 5, "label": "neg"}, {"text": "a", "label": ["x"]},
    ]  # fmt: skip
    path = write(tmp_path / "a.jsonl", bad + rows_of(40))
    with path.open("a") as f:
        f.write('\n{"text": "cut')
    found = read_examples(path, FOUND)
    assert [r["line"] for r in found.rejects] == [1, 2, 3, 4, 5, 6, 47]
    assert len(found.train) + len(found.validation) + len(found.test) == 40


def test_a_label_only_in_test_is_named_and_set_aside(tmp_path: Path) -> None:
    rows = [*with_splits(), {"text": "never seen", "label": "neutral", "split": "test"}]
    found = read_examples(write(tmp_path / "a.jsonl", rows), FOUND)
    assert found.labels == ["neg", "pos"]
    assert found.warnings == ["labels only in test, set aside: neutral (1)"]
    assert found.rejects[0]["reason"] == "the label neutral is not in train"
    assert len(found.test) == 6


def test_train_rows_that_are_in_test_are_removed(tmp_path: Path) -> None:
    rows = with_splits()
    copy = {**rows[4], "text": rows[4]["text"].upper(), "split": "train"}
    found = read_examples(write(tmp_path / "a.jsonl", [*rows, copy]), FOUND)
    assert found.warnings == ["1 train rows were removed: the same text is in validation or test"]
    assert len(found.train) == 18
    assert len(found.test) == 6


def test_one_text_with_two_labels_is_reported(tmp_path: Path) -> None:
    rows = with_splits()
    rows.append({**rows[0], "label": "pos"})
    found = read_examples(write(tmp_path / "a.jsonl", rows), FOUND)
    assert found.warnings[0].startswith("1 texts carry different labels in different rows, such as")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"text": sentence(i), "label": "same"} for i in range(30)],
            "one label only in its train part: same",
        ),
        (
            [{"text": "a b", "label": "x"}, {"text": "c d", "label": "y"}],
            "too few to carve validation and test",
        ),
        ([{"text": "", "label": "x"}], "has no usable row"),
        ([{"text": "a", "label": "x", "split": "test"}], "has no rows for training"),
    ],
)
def test_rows_that_cannot_train_are_an_error(
    tmp_path: Path, rows: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_examples(write(tmp_path / "a.jsonl", rows), FOUND)


def test_files_that_are_no_tables_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="is not a table of examples"):
        read_examples(tmp_path / "a.txt", FOUND)
    (tmp_path / "a.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match="cannot be read: broken gzip"):
        read_examples(tmp_path / "a.jsonl.gz", FOUND)


def test_folds_share_out_all_rows_but_the_tested_ones_and_keep_similar_texts_together(tmp_path: Path) -> None:
    rows = with_splits(60)
    twins = [{**row, "text": row["text"] + "!"} for row in rows if row["split"] != "test"]
    path = write(tmp_path / "a.jsonl", rows + twins)
    folds = [read_examples(path, FOUND, fold=(i, 4)) for i in (1, 2, 3, 4)]
    validated = [e.text for f in folds for e in f.validation]
    assert sorted(validated) == sorted(r["text"] for r in rows + twins if r["split"] != "test")
    for found in folds:
        assert len(found.test) == 12
        texts = {e.text.rstrip("!") for e in found.validation}
        assert not texts & {e.text.rstrip("!") for e in found.train}
        assert 20 <= len(found.validation) <= 28
