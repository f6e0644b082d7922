from __future__ import annotations

import os
from pathlib import Path

import pytest

from luban.data.crawl.warc import Capture, WarcWriter, digest_of, read_member, response_records, whole_length

ABOUT = (("software", "Luban/1"), ("date", "2026-01-31T12:00:00Z"))


def capture(url: str = "http://a.example/", body: bytes = b"<p>body", **headers: str) -> Capture:
    return Capture(
        url, "2026-01-31T12:00:00Z", "8.8.8.8", b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.1 200 OK",
        tuple(headers.items()), body, digest_of(body), (("charset", "utf-8"),),
    )  # fmt: skip


def writer(folder: Path, max_bytes: int = 10_000) -> WarcWriter:
    return WarcWriter(folder, "crawl", max_bytes, ABOUT)


def test_a_record_is_read_back_with_its_body_decoded_and_its_headers_true(tmp_path: Path) -> None:
    archive = pytest.importorskip("warcio.archiveiterator").ArchiveIterator
    out = writer(tmp_path)
    headers = {
        "Content-Encoding": "gzip",
        "Content-Length": "3",
        "Evil": "a\r\nWARC-Type: x",
        "Content-Type": "a/b",
    }
    records, length = response_records(capture(body="<p>鲁班".encode(), **headers))
    number, place = out.write(records)
    out.close()
    assert read_member(out.path(number), place, length) == records[:length]
    with out.path(number).open("rb") as f:
        found = [(r.rec_type, r.rec_headers, r.http_headers, r.content_stream().read()) for r in archive(f)]
    assert [kind for kind, *_ in found] == ["warcinfo", "response", "request", "metadata"]
    _, head, http, body = found[1]
    assert body.decode() == "<p>鲁班"
    assert http.get_header("X-Crawl-Content-Encoding") == "gzip"
    assert http.get_header("Content-Encoding") is None
    assert http.get_header("Content-Length") == str(len(body))
    assert head.get_header("WARC-IP-Address") == "8.8.8.8"
    assert head.get_header("WARC-Type") == "response"
    assert found[2][1].get_header("WARC-Concurrent-To") == head.get_header("WARC-Record-ID")


def test_a_file_that_is_full_gives_way_to_the_next(tmp_path: Path) -> None:
    out = writer(tmp_path, max_bytes=1000)
    places = [out.write(response_records(capture(body=os.urandom(900)))[0]) for _ in range(3)]
    out.close()
    assert [number for number, _ in places] == [0, 1, 2]
    assert len(list(tmp_path.glob("crawl-*.warc.gz"))) == 3


def test_what_was_not_committed_is_cut_off_and_writing_goes_on_there(tmp_path: Path) -> None:
    out = writer(tmp_path)
    out.write(response_records(capture())[0])
    committed = out.flush()
    out.write(response_records(capture("http://a.example/2"))[0])
    out.close()
    (tmp_path / "crawl-00001.warc.gz").write_bytes(b"later")
    again = writer(tmp_path)
    assert again.go_on(committed, (0, 0)) == committed
    assert again.write(b"next") == committed
    again.close()
    assert (tmp_path / "crawl-00000.warc.gz").stat().st_size == committed[1] + 4
    assert not (tmp_path / "crawl-00001.warc.gz").exists()


def test_what_a_power_cut_tore_is_cut_off_at_the_last_whole_record(tmp_path: Path) -> None:
    out = writer(tmp_path)
    first = out.write(response_records(capture())[0])
    synced = out.flush()
    second, length = response_records(capture("http://a.example/2"))
    _, place = out.write(second)
    committed = out.flush()
    out.close()
    path = out.path(0)
    data = path.read_bytes()
    path.write_bytes(data[: place + length] + b"\0" * (committed[1] - place - length))
    assert whole_length(path, synced[1], committed[1]) == place + length
    assert writer(tmp_path).go_on(committed, synced) == (0, place + length)
    path.unlink()
    assert writer(tmp_path).go_on(committed, synced) == (0, 0)
    assert first == (0, first[1])


def test_a_write_that_the_disk_refuses_leaves_no_torn_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = writer(tmp_path)
    out.write(response_records(capture())[0])
    whole = out.flush()
    write, calls = os.write, []

    def full(handle: int, data: bytes) -> int:
        calls.append(1)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return write(handle, data[:10])

    out.write(response_records(capture("http://a.example/2"))[0])
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        out.flush()
    assert out.path(0).stat().st_size == whole[1]
