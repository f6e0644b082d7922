import io
import zipfile
from pathlib import Path

import pytest

from tests.data.readers.reading import read, texts

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
CORE = (
    '<cp:coreProperties xmlns:cp="c" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="t">'
    "<dc:title>标题</dc:title><dc:language>zh-CN</dc:language>"
    "<dcterms:created>2024-05-01T08:00:00Z</dcterms:created></cp:coreProperties>"
)


def package(path: Path, members: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)


def test_a_word_file_gives_its_paragraphs_tables_and_what_it_says_of_itself(tmp_path: Path) -> None:
    def cell(text: str) -> str:
        return f"<w:tc><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>"

    body = (
        "<w:p><w:r><w:t>第一章 </w:t></w:r><w:r><w:t>Heading</w:t></w:r></w:p>"
        "<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t></w:r></w:p>"
        f"<w:tbl><w:tr>{cell('名')}{cell('x')}</w:tr><w:tr>{cell('2')}{cell('3')}</w:tr></w:tbl>"
    )
    document = f"<w:document {W}><w:body>{body}</w:body></w:document>"
    package(tmp_path / "a.docx", {"word/document.xml": document, "docProps/core.xml": CORE})
    (found,), rejects = read(tmp_path, carry=("title",))
    assert rejects == []
    assert found.text.split("\n") == ["第一章 Heading", "", "a\tb", "c", "", "名 | x", "2 | 3", "", ""]
    assert (found.language, found.time, found.extra) == ("zh", "2024-05-01T08:00:00Z", {"title": "标题"})


def test_an_open_document_text_gives_headings_paragraphs_and_tables(tmp_path: Path) -> None:
    o = 'xmlns:o="o" xmlns:text="text" xmlns:table="table"'
    cells = "<table:table-cell><text:p>甲</text:p></table:table-cell><table:table-cell><text:p>b</text:p></table:table-cell>"
    body = (
        '<text:h>Title</text:h><text:p>one<text:s text:c="2"/>two<text:note>9</text:note> <text:span>three</text:span></text:p>'
        f"<table:table><table:table-row>{cells}</table:table-row></table:table>"
    )
    content = f"<o:document {o}><o:body><o:text>{body}</o:text></o:body></o:document>"
    package(tmp_path / "a.odt", {"content.xml": content})
    assert texts(tmp_path)["a.odt"].split("\n") == ["Title", "", "one  two three", "", "甲 | b", "", ""]


def test_a_book_is_read_in_the_order_of_its_spine(tmp_path: Path) -> None:
    opf = (
        '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:language>en</dc:language>'
        "<dc:date>1813</dc:date><dc:rights>Public domain</dc:rights></metadata>"
        '<manifest><item id="b" href="two%20b.xhtml"/><item id="a" href="one.xhtml"/></manifest>'
        '<spine><itemref idref="a"/><itemref idref="b"/></spine></package>'
    )
    one = "<html><head><title>no</title></head><body><h1>Chapter 1</h1><p>It is a <b>truth</b>\nknown.</p><script>x</script></body></html>"
    container = '<container><rootfiles><rootfile full-path="OPS/c.opf"/></rootfiles></container>'
    package(
        tmp_path / "a.epub",
        {
            "META-INF/container.xml": container,
            "OPS/c.opf": opf,
            "OPS/one.xhtml": one,
            "OPS/two b.xhtml": "<html><body><p>第二章</p></body></html>",
        },
    )
    (found,), rejects = read(tmp_path)
    assert rejects == []
    assert found.text.split() == ["Chapter", "1", "It", "is", "a", "truth", "known.", "第二章"]
    assert (found.language, found.time, found.licence) == ("en", "1813", "Public domain")


def test_xml_gives_its_text_in_order_an_element_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        "<tei><head>标题</head><p>one <hi>two</hi> three</p><!-- no --><p>four\n five</p>tail</tei>"
    )
    assert texts(tmp_path)["a.xml"] == "标题\none two three\nfour five\ntail\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_xml_is_read_in_its_own_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.xml").write_bytes(
        f'<?xml version="1.0" encoding="{encoding}"?><a>红楼梦</a>'.encode(encoding)
    )
    assert texts(tmp_path)["a.xml"] == "红楼梦\n"


def test_entities_are_neither_blown_up_nor_fetched(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    raw = tmp_path / "raw"
    raw.mkdir()
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    (raw / "a.xml").write_text(f'<!DOCTYPE a [<!ENTITY l0 "ha">{laughs}]><a>one<b>&l9;</b></a>')
    (raw / "b.xml").write_text(f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{secret}">]><a>two<b>&x;</b></a>')
    documents, rejects = read(raw)
    assert all(len(d.text) < 100 and "the secret" not in d.text for d in documents)
    assert len(documents) + len(rejects) >= 2


def test_a_wiki_dump_gives_its_articles_as_plain_text(tmp_path: Path) -> None:
    page = "<page><title>{}</title><ns>{}</ns>{}<revision><timestamp>2024-05-01T00:00:00Z</timestamp><text>{}</text></revision></page>"
    pages = [
        page.format("茶", 0, "", "'''茶'''是一种[[饮料|饮品]]。{{来源请求}}"),
        page.format("Tee", 0, '<redirect title="茶"/>', "#REDIRECT [[茶]]"),
        page.format("Talk:茶", 1, "", "talk"),
        page.format("Tea", 0, "", "== History ==\nTea is [[hot]].&lt;ref&gt;x&lt;/ref&gt;"),
    ]
    dump = f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/">{"".join(pages)}</mediawiki>'
    (tmp_path / "a.xml").write_text(dump)
    documents, rejects = read(tmp_path, carry=("title",))
    assert [r[2] for r in rejects] == ["passed over: 1 redirects, 1 pages of other name spaces than articles"]
    assert [(d.text, d.time, d.extra["title"]) for d in documents] == [
        ("茶是一种饮品。", "2024-05-01T00:00:00Z", "茶"),
        ("History\n\nTea is hot.", "2024-05-01T00:00:00Z", "Tea"),
    ]


def test_broken_books_and_trees_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(b"not a zip")
    package(tmp_path / "b.docx", {"other.xml": "<a/>"})
    package(tmp_path / "c.docx", {"word/document.xml": "<a><b>"})
    package(tmp_path / "d.epub", {"META-INF/container.xml": "<container/>"})
    (tmp_path / "e.xml").write_text("<a><b>text</a>")
    (tmp_path / "f.xml").write_text("")
    (tmp_path / "g.xml").write_text("<a>" * 5000)
    documents, rejects = read(tmp_path)
    assert [file for file, _, _ in rejects] == [
        "a.docx",
        "b.docx",
        "c.docx",
        "d.epub",
        "e.xml",
        "f.xml",
        "g.xml",
    ]
    assert not documents or documents[0].source == "e.xml"


def test_a_bomb_inside_a_book_is_rejected(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", f"<a>{' ' * 12_000_000}</a>")
    (tmp_path / "a.docx").write_bytes(buffer.getvalue())
    documents, rejects = read(tmp_path)
    assert not documents
    assert "max_ratio = 200" in rejects[0][2]
    assert "unpacks to more than 1 MB" in read(tmp_path, max_file_bytes=1_000_000)[1][0][2]


def test_a_page_of_a_dump_without_an_end_is_not_held(tmp_path: Path) -> None:
    page = "<page><title>t</title><text>good</text></page>"
    (tmp_path / "a.xml").write_text(f"<mediawiki>{page}<page>{'<b/>' * 200_000}")
    documents, rejects = read(tmp_path, max_file_bytes=100_000)
    assert [d.text for d in documents] == ["good"]
    assert rejects[0][2] == "a page of more than 0.1 MB"


def test_inline_elements_without_a_line_end_are_passed_on_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luban.data.readers.markup._LINE_CHARS", 100)
    monkeypatch.setattr("luban.data.readers.markup._BLOCK_BYTES", 64)
    (tmp_path / "a.xml").write_text(f"<a>{'<b>word </b>' * 200}</a>")
    assert texts(tmp_path)["a.xml"].split() == ["word"] * 200


def test_a_book_without_one_of_its_chapters_is_read_and_the_chapter_rejected(tmp_path: Path) -> None:
    items = "".join(f'<item id="c{i}" href="{i}.xhtml"/>' for i in range(3))
    spine = "".join(f'<itemref idref="c{i}"/>' for i in range(3))
    with zipfile.ZipFile(tmp_path / "a.epub", "w") as archive:
        archive.writestr("META-INF/container.xml", '<c><rootfile full-path="b.opf"/></c>')
        archive.writestr("b.opf", f"<package>{items}<spine>{spine}</spine></package>")
        archive.writestr("0.xhtml", "<html><body><p>First.</p></body></html>")
        archive.writestr("2.xhtml", "<html><body><p>第三章。</p></body></html>")
    documents, rejects = read(tmp_path)
    assert ["First." in d.text and "第三章。" in d.text for d in documents] == [True]
    assert rejects == [("a.epub/1.xhtml", None, "broken file: it has no 1.xhtml")]
