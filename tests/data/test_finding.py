import os
from pathlib import Path

import pytest

from luban.data.finding import find_places
from tests.data.readers.reading import read


def test_links_that_go_in_circles_or_nowhere_are_told_and_links_to_files_read(tmp_path: Path) -> None:
    raw, outside = tmp_path / "raw", tmp_path / "outside"
    (raw / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "far.txt").write_text("from outside")
    (raw / "a.txt").write_text("a text")
    (raw / "sub" / "up").symlink_to(raw)
    (raw / "sub" / "self").symlink_to(raw / "sub" / "self")
    (raw / "sub" / "nowhere.txt").symlink_to(tmp_path / "missing.txt")
    (raw / "sub" / "one.txt").symlink_to(raw / "a.txt")
    (raw / "there").symlink_to(outside)
    documents, rejects = read(raw)
    assert [(d.source, d.text) for d in documents] == [("a.txt", "a text"), ("sub/one.txt", "a text")]
    followed = "a link to a folder, which is not followed: name the folder itself"
    assert [(file, reason) for file, _, reason in rejects] == [
        ("sub/nowhere.txt", "a link to nothing"),
        ("sub/self", "cannot be opened: Too many levels of symbolic links"),
        ("sub/up", followed),
        ("there", followed),
    ]
    assert [d.text for d in read(raw / "there")[0]] == ["from outside"]


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "a.txt").write_text("text")
    documents, rejects = read(tmp_path)
    assert [d.text for d in documents] == ["text"]
    assert rejects == [("pipe.txt", None, "not a file: a device or a pipe")]


def test_closed_files_and_folders_are_told_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("closed/x.txt", "a.txt", "b.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    scandir, open_path = os.scandir, Path.open

    def guarded_scan(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    def guarded_open(self: Path, *args: str, **more: str) -> object:
        if self.name == "a.txt":
            raise PermissionError(13, "Permission denied")
        return open_path(self, *args, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", guarded_scan)
    monkeypatch.setattr(Path, "open", guarded_open)
    documents, rejects = read(tmp_path)
    assert [d.text for d in documents] == ["b.txt"]
    assert rejects == [(n, None, "cannot be opened: Permission denied") for n in ("a.txt", "closed")]


def test_hidden_files_and_licences_are_passed_over_and_the_order_is_stable(tmp_path: Path) -> None:
    for name in (
        "b/z.txt",
        "a.txt",
        ".git/x.txt",
        ".hidden.txt",
        "b.txt",
        "LICENSE",
        "b/COPYING.md",
        "SOURCES.yaml",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    names = [place.path.relative_to(tmp_path).as_posix() for place in find_places(tmp_path)]
    assert names == ["a.txt", "b/z.txt", "b.txt"]


def test_a_name_that_is_no_text_is_written_out(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.txt")).write_text("text")
    (document,), _ = read(tmp_path)
    assert document.source == "\\xff.txt"
