import pytest

from luban.errors import DataError
from luban.tasks.asking import checked, row_of_json, rows_of_file, rows_of_texts


def texts(path, column=None):
    return [row["text"] for row in rows_of_file(path, ("text",), column)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "first\n\n第二\n"),
        ("a.csv", "id,text\n1,first\n2,第二\n"),
        ("a.tsv", "id\t文本\n1\tfirst\n2\t第二\n"),
        ("a.jsonl", '{"text": "first"}\n{"text": "第二"}\n'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_texts_are_read_from_lines_or_a_column(tmp_path, name, content, encoding):
    (tmp_path / name).write_text(content, encoding=encoding)
    assert texts(tmp_path / name) == ["first", "第二"]


def test_a_table_without_a_known_column_names_those_it_has(tmp_path):
    (tmp_path / "a.csv").write_text("id,words\n1,first\n")
    with pytest.raises(
        DataError, match="has no column with text; it has: id, words\n  fix: name it with --column"
    ):
        texts(tmp_path / "a.csv")
    assert texts(tmp_path / "a.csv", "words") == ["first"]


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(bytes(range(256)) * 10)
    with pytest.raises(DataError, match="cannot be read: not text"):
        texts(tmp_path / "a.txt")
    with pytest.raises(DataError, match="does not exist"):
        texts(tmp_path / "b.txt")


def test_a_row_that_lacks_a_column_names_it(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"question": "Who?", "text": "Lu Ban came."}\n')
    with pytest.raises(DataError, match="a.jsonl:1 has no context; it has: question, text"):
        rows_of_file(tmp_path / "a.jsonl", ("question", "context"))
    assert checked({"question": "谁？", "context": "鲁班"}, ("question", "context"), "x")["context"] == "鲁班"


def test_texts_alone_are_no_rows_of_two_columns():
    with pytest.raises(DataError, match="holds texts alone, and this model reads question, context"):
        rows_of_texts(["Who?"], ("question", "context"), "--text")
    assert rows_of_texts(["好"], ("text",), "--text") == [{"text": "好"}]


@pytest.mark.parametrize(("given", "problem"), [("{", "is not JSON"), ("[1]", "is no object")])
def test_a_row_of_broken_json_is_refused(given, problem):
    with pytest.raises(DataError, match=problem):
        row_of_json(given, ("text",))
