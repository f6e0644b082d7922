import gzip
from pathlib import Path

from tests.data.readers.reading import read

CHINESE = "<html><head><meta charset=gb2312></head><p>红楼梦是中国古典小说。</p></html>"


def record(kind: str, content: bytes, uri: str = "https://example.org/a", more: str = "") -> bytes:
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Date: 2024-05-01T08:00:00Z\r\nWARC-Target-URI: {uri}\r\n{more}"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content + b"\r\n\r\n"


def response(
    body: bytes,
    kind: str = "text/html",
    status: str = "200 OK",
    more: str = "",
    uri: str = "https://example.org/a",
) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}\r\n".encode()
    return record("response", head + body, uri, "Content-Type: application/http; msgtype=response\r\n")


def test_responses_become_pages_with_their_address_and_time(tmp_path: Path) -> None:
    body = CHINESE.encode("gb18030")
    records = [
        record("warcinfo", b"software: x"),
        response(body),
        response("naïve".encode("latin-1"), "text/plain; charset=iso-8859-1", uri="https://example.org/b"),
        response(
            gzip.compress(b"<p>packed</p>"), more="Content-Encoding: gzip\r\n", uri="https://example.org/c"
        ),
        response(b"4\r\n<p>c\r\n5\r\nhunks\r\n0\r\n\r\n", more="Transfer-Encoding: chunked\r\n"),
        record("request", b"GET / HTTP/1.1\r\n\r\n"),
        response(b"<p>other scheme</p>", uri="dat::page"),
    ]
    (tmp_path / "a.warc").write_bytes(b"".join(records))
    (tmp_path / "b.warc.gz").write_bytes(b"".join(map(gzip.compress, records)))
    documents, rejects = read(tmp_path)
    assert rejects == []
    half = len(documents) // 2
    assert [(d.source, d.text) for d in documents[:half]] == [
        ("https://example.org/a", CHINESE),
        ("https://example.org/b", "naïve"),
        ("https://example.org/c", "<p>packed</p>"),
        ("https://example.org/a", "<p>chunks"),
        ("dat::page", "<p>other scheme</p>"),
    ]
    assert [(d.source, d.text) for d in documents[half:]] == [(d.source, d.text) for d in documents[:half]]
    assert {d.time for d in documents} == {"2024-05-01T08:00:00Z"}
    assert documents[0].extra == {"archive": "a.warc", "format": "html"}
    assert documents[1].extra == {"archive": "a.warc"}


def test_texts_of_a_wet_file_are_read(tmp_path: Path) -> None:
    text = record("conversion", "已经提取的文本".encode(), more="Content-Type: text/plain\r\n")
    (tmp_path / "a.warc.wet.gz").write_bytes(gzip.compress(text))
    (found,), rejects = read(tmp_path)
    assert rejects == []
    assert (found.source, found.text) == ("https://example.org/a", "已经提取的文本")


def test_failed_requests_and_what_is_no_text_are_rejected_by_record(tmp_path: Path) -> None:
    records = [
        response(b"gone", status="404 Not Found"),
        response(b"\x89PNG", "image/png"),
        response(b""),
        response(b"not gzip at all", more="Content-Encoding: gzip\r\n"),
        response(b"<p>good</p>"),
    ]
    (tmp_path / "a.warc").write_bytes(b"".join(records))
    documents, rejects = read(tmp_path)
    assert [(line, reason.partition(": ")[2]) for _, line, reason in rejects][:3] == [
        (1, "status 404"),
        (2, "no text, but image/png"),
        (3, "no text in it"),
    ]
    assert documents[-1].text == "<p>good</p>"
    assert len(documents) + len(rejects) == 5


def test_a_broken_archive_keeps_what_came_before(tmp_path: Path) -> None:
    good = gzip.compress(response(b"<p>good</p>"))
    (tmp_path / "a.warc.gz").write_bytes(good + good[: len(good) // 2])
    (tmp_path / "b.warc").write_bytes(response(b"<p>good</p>") + b"WARC/1.0\r\nrubbish without an end")
    (tmp_path / "c.warc").write_bytes(b"no archive")
    (tmp_path / "d.warc").write_bytes(b"")
    documents, rejects = read(tmp_path)
    assert len(documents) >= 2
    assert {file for file, _, _ in rejects} == {"a.warc.gz", "b.warc", "c.warc", "d.warc"}


def test_a_page_that_ends_early_is_no_document(tmp_path: Path) -> None:
    whole = response(b"<p>good</p>") + response(b"<p>" + b"long " * 50 + b"</p>")
    (tmp_path / "a.warc").write_bytes(whole[:-40])
    documents, rejects = read(tmp_path)
    assert [d.text for d in documents] == ["<p>good</p>"]
    assert rejects[0][1:] == (2, "https://example.org/a: it ends 36 bytes early")
