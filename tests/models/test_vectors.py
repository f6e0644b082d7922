"""Files of word vectors: what is written is read, and what is broken is said to be."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
import torch
from torch import Tensor

from luban.errors import DataError
from luban.log import Log
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.models.vectors import load_vectors_into, read_vectors, write_vectors

WORDS = ["the", "café", "北京", "don't"]
MATRIX = torch.tensor([[0.1, -2.5, 3e-8], [1.0, 0.0, -0.0], [1 / 3, 2 / 3, 1e30], [7.0, 8.0, 9.0]])


def text_of(words: list[str], matrix: Tensor, header: bool) -> bytes:
    rows = [f"{w} {' '.join(repr(x) for x in v)}\n" for w, v in zip(words, matrix.tolist(), strict=True)]
    return ((f"{len(words)} {matrix.shape[1]}\n" if header else "") + "".join(rows)).encode()


def binary_of(words: list[str], matrix: Tensor, end: bytes = b"\n") -> bytes:
    rows = (
        w.encode() + b" " + struct.pack(f"<{matrix.shape[1]}f", *v) + end
        for w, v in zip(words, matrix.tolist(), strict=True)
    )
    return f"{len(words)} {matrix.shape[1]}\n".encode() + b"".join(rows)


def put(folder: Path, data: bytes, name: str = "vectors.txt") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def problem(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read_vectors(path)
    return error.value.problem.replace(str(path.parent) + "/", "")


class Heard(Log):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        object.__setattr__(self, "lines", [])

    def say(self, text: str, **fields: object) -> None:
        self.lines.append(text)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["out.txt", "out.txt.gz"])
def test_what_is_written_is_read_again_bit_for_bit(tmp_path: Path, name: str) -> None:
    matrix = torch.cat([MATRIX, torch.randn(50, 3) * 1e-3])
    words = [*WORDS, *(f"w{i}" for i in range(50))]
    write_vectors(words, matrix, tmp_path / name)
    again, found = read_vectors(tmp_path / name)
    assert again == words
    assert torch.equal(found, matrix)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "data",
    [
        text_of(WORDS, MATRIX, header=True),
        text_of(WORDS, MATRIX, header=False),
        text_of(WORDS, MATRIX, header=True).replace(b"\n", b" \r\n"),
        binary_of(WORDS, MATRIX),
        binary_of(WORDS, MATRIX, end=b""),
    ],
    ids=["word2vec", "GloVe", "trailing spaces", "binary", "binary of gensim"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_each_format_is_told_from_its_content(tmp_path: Path, data: bytes, packed: bool) -> None:
    path = put(tmp_path, gzip.compress(data) if packed else data, "v.gz" if packed else "v.bin")
    words, matrix = read_vectors(path)
    assert words == WORDS
    assert torch.equal(matrix, MATRIX)


@pytest.mark.parametrize("dim", [1, 2, 7, 300])
def test_binary_and_text_are_told_apart_at_every_width(tmp_path: Path, dim: int) -> None:
    words, matrix = [f"w{i}" for i in range(5)], torch.randn(5, dim)
    for data in (binary_of(words, matrix), text_of(words, matrix, header=True)):
        found, vectors = read_vectors(put(tmp_path, data))
        assert found == words
        assert torch.equal(vectors, matrix)


@pytest.mark.parametrize("word", ["the", "7"])
@pytest.mark.parametrize("place", range(8))
def test_a_line_end_among_packed_floats_ends_nothing(tmp_path: Path, place: int, word: str) -> None:
    packed = bytearray(struct.pack("<2f", 0.3, -1.7))
    packed[place] = 10
    words, matrix = read_vectors(put(tmp_path, f"2 2\n{word} ".encode() + packed + b"\nof " + packed + b"\n"))
    assert words == [word, "of"]
    assert struct.pack("<2f", *matrix[1]) == packed


def test_gensim_reads_what_is_written_and_the_other_way_round(tmp_path: Path) -> None:
    gensim = pytest.importorskip("gensim.models", reason="gensim is not installed")
    write_vectors(WORDS, MATRIX, tmp_path / "ours.txt")
    theirs = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / "ours.txt"))
    assert theirs.index_to_key == WORDS
    for binary in (False, True):
        theirs.save_word2vec_format(str(tmp_path / "theirs"), binary=binary)
        words, matrix = read_vectors(tmp_path / "theirs")
        assert words == WORDS
        torch.testing.assert_close(matrix, MATRIX)


def test_words_may_hold_spaces(tmp_path: Path) -> None:
    words, matrix = read_vectors(put(tmp_path, b"the 1 2\nNew York 3 4\n. . . 5 6\n"))
    assert words == ["the", "New York", ". . ."]
    assert matrix.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_the_first_of_repeated_words_counts_and_the_log_says_so(tmp_path: Path) -> None:
    log = Heard()
    words, matrix = read_vectors(put(tmp_path, b"3 2\na 1 2\na 3 4\nb 5 6\n"), log)
    assert words == ["a", "b"]
    assert matrix.tolist() == [[1, 2], [5, 6]]
    assert any("1 words stand there again" in line for line in log.lines)


def test_broken_utf8_is_read_as_replacement_and_the_log_says_so(tmp_path: Path) -> None:
    log = Heard()
    words, _ = read_vectors(put(tmp_path, b"2 2\nna\xffve 1 2\n\xe5\x8c 3 4\n"), log)
    assert words == ["na\ufffdve", "\ufffd"]
    assert any("2 words are not UTF-8" in line for line in log.lines)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "v is empty"),
        (b"\n", "v:1 is empty"),
        (b"just some text\n", "v:1 is neither a word with its numbers nor a header"),
        (b"a 1 2 3\nb 1 2\n", "v:2 has 2 numbers, the rows before 3"),
        (b"a 1 2 3\nb 1 2 3 4\n", "v:2 has 4 numbers, the rows before 3"),
        (b"2 3\na 1 2 3\nb 1 2\n", "v:3 has 2 numbers, the rows before 3"),
        (b"a 1 2\nb 1 x2\n", "v:2: 'x2' is no number"),
        (b"a 1 2\nb 1 nan\n", "v:2: the vector of 'b' is not finite"),
        (b"a 1 2\nb inf 1\n", "v:2: the vector of 'b' is not finite"),
        (b"3 2\na 1 2\nb 3 4\n", "v holds 2 words; its first line says 3"),
        (b"1 2\na 1 2\nb 3 4\n", "v holds 2 words; its first line says 1"),
        (b"0 2\n", "v:1 promises 0 words of 2 numbers"),
        (b"2 99999999\na 1\n", "v:1 promises 2 words of 99999999 numbers"),
        (
            b"99999999999 300\na 1\n",
            "v:1 promises 99999999999 words of 300 numbers, at least 59999999999400 bytes; the file has 20",
        ),
        (b"1" * 5000 + b" 3\na 1 2 3\n", "v:1 promises "),
        (binary_of(WORDS, MATRIX)[:-8], "v ends inside word 4 of 4: 5 of its 12 bytes are there"),
        (binary_of(WORDS, MATRIX) + b"more", "v goes on after its 4 words"),
        (b"1 3\n" + b"\xff" * 9000, "v: word 1 does not end"),
        (b"a 1 2\n" + b"x" * (1 << 22), "v:2 is no line of word vectors: too long"),
    ],
)
def test_a_broken_file_is_refused_with_its_place_and_values(tmp_path: Path, data: bytes, says: str) -> None:
    assert problem(put(tmp_path, data, "v")).startswith(says)


def test_a_packed_file_that_breaks_off_is_refused(tmp_path: Path) -> None:
    data = gzip.compress(text_of(WORDS, MATRIX, header=False))
    assert "broken gzip" in problem(put(tmp_path, data[:-12], "v.gz"))
    assert "broken gzip" in problem(put(tmp_path, b"a 1 2\n", "v.gz"))


def test_a_packed_file_with_a_hostile_header_takes_no_memory(tmp_path: Path) -> None:
    data = gzip.compress(b"99999999999 300\n" + binary_of(["a"], torch.randn(1, 300))[6:])
    assert "ends inside word 2 of 99999999999" in problem(put(tmp_path, data, "v.gz"))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert problem(tmp_path / "none") == "none does not exist"
    assert problem(tmp_path).endswith("is a folder")


def test_a_word_that_the_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    for word in ("New York", "", "a\u00a0b"):
        with pytest.raises(DataError, match="cannot be written"):
            write_vectors([word], torch.zeros(1, 2), tmp_path / "v")
    assert not list(tmp_path.glob("*v*"))


def test_the_stem_takes_the_vectors_of_words_that_are_known_and_keeps_the_others(tmp_path: Path) -> None:
    write_vectors(["cat", "狗", "cow"], torch.arange(24.0).view(3, 8), tmp_path / "v.txt")
    model = build_model(FAMILIES["recurrent"].config("tiny", vocab_size=4, dim=8))
    before = model.stem.tokens.weight.clone()
    log = Heard()
    assert load_vectors_into(model, ["", "狗", "hen", "cat"], tmp_path / "v.txt", log) == 2
    after = model.stem.tokens.weight
    assert after[1].tolist() == list(range(8, 16))
    assert after[3].tolist() == list(range(8))
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    assert log.lines == ["vectors: 2 of 4 tokens found, 2 keep their own"]  # type: ignore[attr-defined]
    assert after.requires_grad
