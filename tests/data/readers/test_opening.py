"""Whatever is done to a file of any kind, reading it ends, and each outcome is a document or a reject."""

import bz2
import gzip
import json
import lzma
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import zstandard

from luban.data.readers.opening import READERS, chosen, is_licence_file, kind_of
from luban.data.settings import ReadSettings
from tests.data.readers import test_markup, test_pdf, test_warc
from tests.data.readers.reading import read
from tests.data.readers.test_archives import tarred, zipped

ROWS = [{"text": f"第{i}行 of text", "date": "2024-05-01"} for i in range(30)]
LINES = "\n".join(map(json.dumps, ROWS)).encode()


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table, folder / "a.parquet")
    pa.feather.write_feather(table, folder / "a.feather")
    with pa.ipc.new_stream(folder / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    word = f"<w:document {test_markup.W}><w:body><w:p><w:r><w:t>文</w:t></w:r></w:p></w:body></w:document>"
    test_markup.package(folder / "a.docx", {"word/document.xml": word, "docProps/core.xml": test_markup.CORE})
    pages = test_warc.response(b"<p>one</p>") + test_warc.response("<p>二</p>".encode("gb18030"))
    members: dict[str, bytes | str] = {"x.jsonl": LINES, "y/z.txt": "text " * 99, "w.csv": "text,n\na,1\n"}
    plain = {
        "jsonl": LINES,
        "json": json.dumps(ROWS).encode(),
        "csv": "\n".join(["text,n", *(f"行{i},1" for i in range(30))]).encode("gb18030"),
        "txt": ("一段中文。\n\nA paragraph.\n" * 40).encode("utf-16"),
        "html": test_warc.CHINESE.encode("gb18030"),
        "xml": b"<a><b>one</b> two <c>three</c></a>" * 1,
        "pdf": test_pdf.pdf(["page one", "page two"]),
        "warc": pages,
        "warc.gz": gzip.compress(pages),
        "zip": zipped(members),
        "tar": tarred(members),
        "tar.gz": gzip.compress(tarred(members)),
        "jsonl.zst": zstandard.compress(LINES),
        "jsonl.bz2": bz2.compress(LINES),
        "jsonl.xz": lzma.compress(LINES),
        "jsonl.gz": gzip.compress(LINES),
    }
    for suffix, data in plain.items():
        (folder / f"a.{suffix}").write_bytes(data)
    return folder


def spoil(data: bytes, draw: random.Random) -> bytes:
    """Cut, overwrite, double or leave out a part of a file."""
    start, size = draw.randrange(len(data)), draw.randrange(1, 60)
    return draw.choice(
        (
            data[:start],
            data[:start] + draw.randbytes(size) + data[start + size :],
            data[:start] + data[start : start + size] * 3 + data[start + size :],
            data[:start] + data[start + size :],
            data + draw.randbytes(size),
        )
    )


@pytest.mark.parametrize("seed", range(4))
def test_spoilt_files_never_end_the_reading(samples: Path, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    for i in range(6):
        folder = tmp_path / str(i)
        folder.mkdir()
        for path in samples.iterdir():
            (folder / path.name).write_bytes(spoil(path.read_bytes(), draw))
        documents, rejects = read(folder)
        told = {d.extra.get("archive", d.source.split("/")[0]) for d in documents}
        told |= {file.split("/")[0] for file, _, _ in rejects}
        assert told == {path.name for path in samples.iterdir()}
        assert all(reason for _, _, reason in rejects)
        assert not [r for r in rejects if "the reader failed" in r[2]]
        assert all(d.text.strip() for d in documents)
        shutil.rmtree(folder)


def test_whole_samples_have_no_rejects(samples: Path) -> None:
    documents, rejects = read(samples)
    assert rejects == []
    assert len(documents) > 300


def test_a_kind_is_told_by_the_name_under_any_packing() -> None:
    assert kind_of("a/b.JSONL.zst") == (".jsonl", ".zst")
    assert kind_of("README") == (".txt", "")
    assert kind_of("x/CMakeLists.txt")[0] in READERS
    assert kind_of("a.unknown") == (".unknown", "")
    assert is_licence_file("a/LICENSE")
    assert is_licence_file("COPYING.txt")
    assert not is_licence_file("license.csv")


def test_patterns_match_names_or_their_ends() -> None:
    settings = ReadSettings(include=("*.txt", "news/*"), exclude=("*/draft*",))
    assert chosen("a/b.txt", settings)
    assert chosen("news/c.md", settings)
    assert not chosen("c.md", settings)
    assert not chosen("news/draft.txt", settings)
    assert chosen("a.zip", settings, archive=True)
