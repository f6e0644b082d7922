import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard

from luban.data.readers.archives import Names, safe_name
from tests.data.readers.reading import read, texts

BOMB = bytes(12_000_000)
MIT = "Permission is hereby granted, free of charge, to any person ... without restriction"


def zipped(members: dict[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(members: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            raw = data.encode() if isinstance(data, str) else data
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return buffer.getvalue()


def test_members_of_every_kind_of_archive_become_sources(tmp_path: Path) -> None:
    members: dict[str, bytes | str] = {
        "a.txt": "one",
        "中/b.jsonl": '{"text": "二"}\n',
        "c/d.html": "<p>three",
    }
    tar = tarred(members)
    packings = {"tar.gz": gzip.compress(tar), "tgz": gzip.compress(tar), "tar.bz2": bz2.compress(tar)}
    packings |= {"tar.xz": lzma.compress(tar), "tar.zst": zstandard.compress(tar), "tar": tar}
    packings |= {"zip": zipped(members), "stored.zip": zipped(members, zipfile.ZIP_STORED)}
    for suffix, data in packings.items():
        path = tmp_path / f"x.{suffix}"
        path.write_bytes(data)
        expected = {
            f"{path.name}/a.txt": "one",
            f"{path.name}/中/b.jsonl": "二",
            f"{path.name}/c/d.html": "<p>three",
        }
        assert texts(path) == expected


def test_packed_members_and_archives_in_archives_are_read_down_to_a_depth(tmp_path: Path) -> None:
    inner = zipped({"deep.txt": "deep", "d.txt.gz": gzip.compress(b"packed")})
    middle = tarred({"inner.zip": inner, "m.txt": "middle"})
    (tmp_path / "outer.zip").write_bytes(zipped({"middle.tar.gz": gzip.compress(middle), "o.txt": "outer"}))
    documents, rejects = read(tmp_path)
    assert {d.source: d.text for d in documents} == {
        "outer.zip/middle.tar.gz/m.txt": "middle",
        "outer.zip/o.txt": "outer",
    }
    assert rejects == [
        ("outer.zip/middle.tar.gz/inner.zip", None, "an archive deeper inside archives than max_depth = 2")
    ]
    deeper = texts(tmp_path, max_depth=3)
    assert deeper["outer.zip/middle.tar.gz/inner.zip/deep.txt"] == "deep"
    assert deeper["outer.zip/middle.tar.gz/inner.zip/d.txt.gz"] == "packed"


def test_tables_and_books_inside_archives_are_read_as_on_the_disk(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["six", "seven"]}), tmp_path / "t.parquet")
    table = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").unlink()
    (tmp_path / "a.tar").write_bytes(tarred({"t.parquet": table}))
    (tmp_path / "b.zip").write_bytes(zipped({"t.parquet": table}))
    documents, rejects = read(tmp_path)
    assert [d.text for d in documents] == ["six", "seven"] * 2
    assert rejects == []


def test_a_bomb_is_rejected_and_its_neighbours_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"1.txt": "before", "bomb.txt": BOMB, "z.txt": "after"}))
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b" " * len(BOMB)))
    (tmp_path / "c.tar.gz").write_bytes(
        gzip.compress(tarred({"1.txt": "in tar", "bomb.txt": BOMB, "z.txt": "z"}))
    )
    (tmp_path / "d.jsonl.zst").write_bytes(zstandard.compress(b'{"text": "ok"}\n' + b" " * len(BOMB)))
    documents, rejects = read(tmp_path)
    assert [d.text for d in documents] == ["before", "after", "in tar", "ok"]
    assert "max_ratio = 200" in rejects[0][2] or "not text" in rejects[0][2]
    for name in ("b.txt.gz", "c.tar.gz", "d.jsonl.zst"):
        assert any(file.startswith(name) and "max_ratio = 200" in reason for file, _, reason in rejects), name


def test_text_that_unpacks_to_too_much_ends_the_archive_with_a_reason(tmp_path: Path) -> None:
    members: dict[str, bytes | str] = {f"{i}.txt": f"{i} " * 2000 for i in range(5)}
    (tmp_path / "a.zip").write_bytes(zipped(members))
    (tmp_path / "b.tar").write_bytes(tarred(members))
    documents, rejects = read(tmp_path, max_unpacked_bytes=9000)
    assert [d.source for d in documents if d.source.startswith("a")] == ["a.zip/0.txt", "a.zip/1.txt"]
    assert ("a.zip", None, "unpacks to more than max_unpacked_bytes = 9000; the rest was not read") in rejects
    documents, rejects = read(tmp_path, max_members=3)
    assert len(documents) == 6
    assert rejects == [
        (n, None, "more than max_members = 3; the rest was not read") for n in ("a.zip", "b.tar")
    ]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/abs/a.txt", "abs/a.txt"),
        ("C:\\x\\..\\a.txt", "x/a.txt"),
        ("a/./b//c.txt", "a/b/c.txt"),
        ("..", "unnamed"),
        ("a\nb.txt", "a_b.txt"),
        ("a\udcffb.txt", "a\\xffb.txt"),
    ],
)
def test_names_stay_inside_the_archive(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_members_with_one_name_are_told_apart() -> None:
    names = Names("a.zip")
    assert [names.of(n) for n in ("x/b.txt", "../x/b.txt", "x/b.txt")] == [
        "a.zip/x/b.txt",
        "a.zip/x/b~2.txt",
        "a.zip/x/b~3.txt",
    ]


def test_nothing_is_written_under_a_members_name(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.zip").write_bytes(zipped({"../evil.txt": "evil", "/tmp/evil-too.txt": "too"}))
    (raw / "b.tar").write_bytes(tarred({"../evil.txt": "evil"}))
    assert set(texts(raw)) == {"a.zip/evil.txt", "a.zip/tmp/evil-too.txt", "b.tar/evil.txt"}
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip", "b.tar", "raw"]


def test_links_and_devices_in_a_tar_are_not_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("link.txt", tarfile.SYMTYPE), ("pipe.txt", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    documents, rejects = read(tmp_path)
    assert not documents
    assert [file for file, _, _ in rejects] == ["a.tar/link.txt", "a.tar/pipe.txt"]


def test_broken_archives_say_so_and_what_came_before_is_kept(tmp_path: Path) -> None:
    tar = tarred({"a.txt": "kept", "b.txt": "x" * 5000})
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 no zip at all")
    (tmp_path / "b.tar").write_bytes(tar[:3000])
    (tmp_path / "c.tar.gz").write_bytes(gzip.compress(tar, 0)[:3000])
    (tmp_path / "d.tar.zst").write_bytes(zstandard.compress(tar)[:-20])
    (tmp_path / "e.tar").write_bytes(b"no tar" * 200)
    documents, rejects = read(tmp_path)
    assert {d.source for d in documents} >= {"b.tar/a.txt", "c.tar.gz/a.txt"}
    assert {file.partition("/")[0] for file, _, _ in rejects} == {
        "a.zip",
        "b.tar",
        "c.tar.gz",
        "d.tar.zst",
        "e.tar",
    }
    assert all(reason for _, _, reason in rejects)


def test_a_broken_or_locked_member_leaves_the_others(tmp_path: Path) -> None:
    data = bytearray(
        zipped({"a.txt": "good", "b.txt": "spoilt" * 50, "c.txt": "good too"}, zipfile.ZIP_STORED)
    )
    data[data.index(b"spoilt")] ^= 1
    (tmp_path / "a.zip").write_bytes(data)
    documents, rejects = read(tmp_path)
    assert {d.text for d in documents} >= {"good", "good too"}
    assert [(file, "CRC" in reason) for file, _, reason in rejects] == [("a.zip/b.txt", True)]
    locked = bytearray(zipped({"a.txt": "secret"}, zipfile.ZIP_STORED))
    locked[6] |= 1  # the flag of encryption, in the member's header and in the directory
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(locked)
    documents, rejects = read(tmp_path)
    assert not documents
    assert "password" in rejects[0][2]


def test_hidden_members_are_passed_over_and_patterns_choose_members(tmp_path: Path) -> None:
    members: dict[str, bytes | str] = {".git/x.txt": "1", "__MACOSX/y.txt": "2", "a.txt": "3", "b.md": "4"}
    (tmp_path / "a.zip").write_bytes(zipped(members))
    assert set(texts(tmp_path)) == {"a.zip/a.txt", "a.zip/b.md"}
    assert set(texts(tmp_path, include=("*.md",))) == {"a.zip/b.md"}
    assert set(texts(tmp_path, exclude=("*.md",))) == {"a.zip/a.txt"}
    assert set(texts(tmp_path, include=("a.zip",))) == {"a.zip/a.txt", "a.zip/b.md"}


def test_a_licence_in_an_archive_speaks_for_what_is_below_it(tmp_path: Path) -> None:
    members: dict[str, bytes | str] = {"p/src/a.py": "print(1)", "p/LICENSE": MIT, "q/b.py": "print(2)"}
    (tmp_path / "a.zip").write_bytes(zipped(members))
    documents, _ = read(tmp_path)
    assert {d.source: d.licence for d in documents} == {"a.zip/p/src/a.py": "MIT", "a.zip/q/b.py": "unknown"}
    assert {d.extra["code_language"] for d in documents} == {"Python"}


def test_a_name_that_the_packer_wrote_in_its_own_encoding_is_read(tmp_path: Path) -> None:
    name = "红楼梦与西游记/第一回.txt"
    raw = name.encode("gb18030")
    data = zipped({"x" * len(raw): "text"}).replace(b"x" * len(raw), raw)
    (tmp_path / "a.zip").write_bytes(data)
    assert texts(tmp_path) == {f"a.zip/{name}": "text"}


def test_no_two_members_share_a_name_whatever_they_are_called() -> None:
    names = Names("z.zip")
    found = [names.of(name) for name in ("a.txt", "a.txt", "a~2.txt", "a~2.txt", "a.txt")]
    assert len(set(found)) == 5
    assert found[0] == "z.zip/a.txt"


def test_many_members_that_are_small_each_are_held_to_the_ratio_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luban.data.readers.records.RATIO_BYTES", 100_000)
    small = ("好 text. " * 9_000).encode()
    members: dict[str, bytes | str] = {f"{i}.txt": small for i in range(9)}
    (tmp_path / "flat.zip").write_bytes(zipped(members))
    (tmp_path / "nested.zip").write_bytes(zipped({f"{i}.zip": zipped(members) for i in range(9)}))
    (tmp_path / "packed.tar").write_bytes(tarred({f"{i}.txt.gz": gzip.compress(small) for i in range(9)}))
    for name, size in (("flat.zip", 99_001), ("nested.zip", 99_001), ("packed.tar", 99_001)):
        documents, rejects = read(tmp_path / name, max_ratio=2.0)
        assert sum(len(d.text.encode()) for d in documents) <= max(size, 2 * (tmp_path / name).stat().st_size)
        assert rejects[-1][0] == name
        assert "over max_ratio = 2; the rest was not read" in rejects[-1][2]
