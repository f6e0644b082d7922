from pathlib import Path

import pytest

from luban.data import documents
from luban.data.documents import JsonLines, read_documents, write_documents
from luban.errors import DataError
from luban.files import read_jsonl

ROW = {"source": "a.txt", "licence": "MIT", "language": "zh", "time": ""}


def test_rows_come_back_as_they_were_from_several_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "GROUP_CHARS", 50)
    monkeypatch.setattr(documents, "PART_CHARS", 200)
    rows = [
        {"id": str(i), "text": f"第{i}篇" * 9, **ROW, "cluster": "c", "split": "train"} for i in range(40)
    ]
    assert write_documents(tmp_path, iter(rows)) == 40
    assert len(list(tmp_path.glob("documents-*.parquet"))) > 3
    assert list(read_documents(tmp_path)) == rows
    assert list(read_documents(tmp_path, "test")) == []


def test_no_rows_make_a_folder_that_can_be_read(tmp_path: Path) -> None:
    assert write_documents(tmp_path, []) == 0
    assert list(read_documents(tmp_path)) == []


def test_other_folders_and_unsplit_ones_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a documents folder"):
        list(read_documents(tmp_path))
    write_documents(tmp_path, [{"id": "1", "text": "x", **ROW}])
    with pytest.raises(DataError, match="is not split"):
        list(read_documents(tmp_path, "train"))
    (tmp_path / "documents-00000.parquet").write_bytes(b"broken")
    with pytest.raises(DataError, match="cannot be read"):
        list(read_documents(tmp_path))


def test_json_lines_hold_any_text_and_appear_with_the_first(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with JsonLines(path):
        pass
    assert not path.exists()
    with JsonLines(path) as lines:
        lines.add({"text": "中\n文"})
        lines.add({"text": "lone \ud800"})
    assert lines.n == 2
    assert [row["text"] for row in read_jsonl(path)][0] == "中\n文"
