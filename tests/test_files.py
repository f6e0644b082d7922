import errno
import os
from pathlib import Path

import pytest

from luban import files
from luban.errors import BusyError, CheckpointError, DataError, DiskError
from luban.files import Manifest


def test_a_failed_write_leaves_the_old_content_and_no_crumbs(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match=r"no space left while writing .*a\.json \(\d+ MB free\)"):
        files.write_json(path, {"new": 2})
    assert files.read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_folder_one_may_not_write_is_named() -> None:
    with pytest.raises(DiskError, match="cannot write /proc"):
        files.write_text(Path("/proc/version/x"), "x")


def test_hashes_follow_content_and_names_only(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text("same")
    assert files.hash_path(tmp_path / "a") == files.hash_path(tmp_path / "b")
    (tmp_path / "b" / "x.txt").rename(tmp_path / "b" / "y.txt")
    assert files.hash_path(tmp_path / "a") != files.hash_path(tmp_path / "b")
    (tmp_path / "b" / "y.txt").rename(tmp_path / "b" / "x.txt")
    (tmp_path / "b" / "x.txt").write_text("more")
    assert files.hash_path(tmp_path / "a") != files.hash_path(tmp_path / "b")


def test_a_second_holder_of_a_lock_is_refused_and_the_first_keeps_it(tmp_path: Path) -> None:
    with files.locked(tmp_path / "x", naming=tmp_path / "run"):
        with (
            pytest.raises(BusyError, match=rf"another run \(process {os.getpid()}\) is writing .*run"),
            files.locked(tmp_path / "x", naming=tmp_path / "run"),
        ):
            pass
        with pytest.raises(BusyError), files.locked(tmp_path / "x"):
            pass
    with files.locked(tmp_path / "x"):
        pass


def test_publishing_replaces_a_folder_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for text in ("one", "two"):
        partial = files.partial_folder(out, text * 12)
        partial.mkdir()
        (partial / "f").write_text(text)
        files.publish(partial, out)
        assert (out / "f").read_text() == text
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_manifest_knows_whether_its_files_are_whole(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("abc")
    manifest = Manifest("s", "n", "k", {}, {}, {}, files.list_files(tmp_path), 0.0, "now")
    assert manifest.is_whole(tmp_path)
    (tmp_path / "f").write_text("ab")
    assert not manifest.is_whole(tmp_path)
    (tmp_path / "manifest.json").write_text("{broken")
    assert Manifest.read(tmp_path) is None


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_json_lines_round_trip(tmp_path: Path, name: str) -> None:
    rows = [{"text": "鲁班 ß \u2028 end"}, {"text": ""}]
    assert files.write_jsonl(tmp_path / name, rows) == 2
    assert list(files.read_jsonl(tmp_path / name)) == rows


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"c\.json is not JSON"):
        files.read_json(tmp_path / "c.json")


def test_a_folder_with_a_closed_file_has_a_hash_that_tells_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("x")
    whole = files.hash_path(tmp_path)
    open_path = Path.open

    def closed(self: Path, *args: str) -> object:
        if self.name == "a":
            raise PermissionError(13, "Permission denied")
        return open_path(self, *args)

    monkeypatch.setattr(Path, "open", closed)
    assert files.hash_path(tmp_path) != whole
    with pytest.raises(DataError, match="may not be read"):
        files.hash_path(tmp_path / "a")


def test_a_file_larger_than_allowed_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskError, match="larger than this account or disk allows"),
        files.disk_errors(tmp_path),
    ):
        raise OSError(errno.EFBIG, "File too large")


def test_a_path_below_a_closed_folder_is_an_error_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(self: Path, **_: object) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "exists", closed)
    with pytest.raises(DataError, match="may not be opened"):
        files.is_there(tmp_path / "a")
