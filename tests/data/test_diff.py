from pathlib import Path
from typing import Any

from luban.data.diff import changed_words, diff_folders
from luban.data.documents import write_documents

FIXED = {"source": "a.txt", "licence": "MIT", "language": "en", "time": ""}


def folder_of(path: Path, *rows: dict[str, Any]) -> Path:
    path.mkdir()
    write_documents(path, [{**FIXED, **row} for row in rows])
    return path


def test_what_came_went_changed_moved_or_was_renamed_is_told_apart(tmp_path: Path) -> None:
    a = folder_of(
        tmp_path / "a",
        {"id": "same", "text": "one text", "split": "train"},
        {"id": "gone", "text": "a text that goes", "split": "train"},
        {"id": "changed", "text": "the cat sat down here", "split": "train"},
        {"id": "moved", "text": "a text that moves", "split": "train"},
        {"id": "old-name", "text": "一段换了名字的文字", "split": "train"},
    )
    b = folder_of(
        tmp_path / "b",
        {"id": "new-name", "text": "一段换了名字的文字", "split": "train"},
        {"id": "changed", "text": "the dog sat down here", "split": "train"},
        {"id": "moved", "text": "a text that moves", "split": "test", "licence": "CC0-1.0"},
        {"id": "came", "text": "a text that comes", "split": "train"},
        {"id": "same", "text": "one text", "split": "train"},
    )
    found = diff_folders(a, b, tmp_path)
    assert found.counts == {
        "same": 1, "only in A": 1, "only in B": 1, "text": 1, "renamed": 1, "split": 1, "licence": 1
    }  # fmt: skip
    assert found.moves == {"split": {"train → test": 1}, "licence": {"MIT → CC0-1.0": 1}}
    assert found.samples["only in A"][0]["id"] == "gone"
    assert found.samples["renamed"][0]["id"] == "old-name → new-name"
    assert found.samples["text"][0]["text"] == "the [-cat-]{+dog+} sat down"
    assert found.samples["split"][0]["split"] == "train → test"
    assert not found.is_empty


def test_a_folder_does_not_differ_from_itself_whatever_its_order(tmp_path: Path) -> None:
    rows = [{"id": f"d{i}", "text": f"第 {i} 篇"} for i in range(50)]
    a, b = folder_of(tmp_path / "a", *rows), folder_of(tmp_path / "b", *rows[::-1])
    found = diff_folders(a, b, tmp_path)
    assert found.counts == {"same": 50}
    assert found.is_empty
    assert found.samples == {} == found.settings


def test_a_column_that_one_folder_lacks_changes_no_document(tmp_path: Path) -> None:
    a = folder_of(tmp_path / "a", {"id": "x", "text": "t"})
    b = folder_of(tmp_path / "b", {"id": "x", "text": "t", "split": "train", "cluster": "x"})
    assert diff_folders(a, b, tmp_path).is_empty


def test_every_document_is_counted_though_ids_or_texts_repeat(tmp_path: Path) -> None:
    a = folder_of(tmp_path / "a", *({"id": "x", "text": "t"} for _ in range(3)), {"id": "y", "text": "t"})
    b = folder_of(tmp_path / "b", {"id": "x", "text": "t"}, {"id": "z", "text": "t"})
    assert diff_folders(a, b, tmp_path).counts == {"same": 1, "renamed": 1, "only in A": 2}


def test_empty_folders_differ_from_full_ones_only(tmp_path: Path) -> None:
    empty, other = folder_of(tmp_path / "a"), folder_of(tmp_path / "b")
    assert diff_folders(empty, other, tmp_path).is_empty
    full = folder_of(tmp_path / "c", {"id": "x", "text": "t"})
    assert diff_folders(empty, full, tmp_path).counts == {"same": 0, "only in B": 1}


def test_changes_are_shown_in_their_surroundings_in_both_languages() -> None:
    assert changed_words("a b c", "a x c") == "a [-b-]{+x+} c"
    assert changed_words("灯塔看守人写天气", "灯塔看守人记天气") == "塔看守人[-写-]{+记+}天气"
    long = "word " * 5000
    assert "beyond the part" in changed_words(long + "a", long + "b")
