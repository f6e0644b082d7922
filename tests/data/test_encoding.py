import bz2
import gzip
import io
import lzma
from pathlib import Path

import pytest

from luban.data.encoding import (
    Lines,
    Unreadable,
    as_utf8,
    decode_html,
    detect,
    detect_encoding,
    guess,
    open_text,
    text_blocks,
)

SIMPLIFIED = "红楼梦是中国古典小说的巅峰之作，作者曹雪芹。\n第二行：甄士隐梦幻识通灵。\n"
TRADITIONAL = "紅樓夢是中國古典小說的巔峰之作，作者曹雪芹。\n第二行：甄士隱夢幻識通靈。\n"
JAPANESE = "吾輩は猫である。名前はまだ無い。\nどこで生れたかとんと見当がつかぬ。\n"
KOREAN = "나라의 말이 중국과 달라 문자와 서로 통하지 아니하므로\n어린 백성이 이르고자 할 바가 있어도\n"
GERMAN = "Der Bär läuft über die Straße, und größere Füchse möchten Äpfel.\n"
FRENCH = "L'été dernier, nous étions à Besançon près de la forêt; le garçon a mangé des crêpes.\n"
ENGLISH = "I don’t think that “smart quotes” are rare — not at £5 each.\n"


def read(data: bytes, encoding: str | None = None) -> str:
    return "".join(text_blocks(io.BytesIO(data), encoding))


@pytest.mark.parametrize("times", [1, 200])
@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *(
            (SIMPLIFIED, e)
            for e in ("utf-8", "utf-8-sig", "gb18030", "gbk", "gb2312", "utf-16-le", "utf-16-be")
        ),
        *((SIMPLIFIED, e) for e in ("utf-16", "utf-32", "utf-32-le", "utf-32-be")),
        *((TRADITIONAL, e) for e in ("utf-8", "big5", "big5hkscs", "gb18030", "utf-16-le")),
        *((JAPANESE, e) for e in ("utf-8", "cp932", "shift_jis", "euc_jp", "utf-16-be")),
        *((KOREAN, e) for e in ("utf-8", "cp949", "euc_kr", "utf-16-le")),
        *((GERMAN, e) for e in ("utf-8", "latin-1", "cp1252", "utf-16-le")),
        *((FRENCH, e) for e in ("utf-8", "latin-1", "cp1252", "utf-16-be", "utf-32-le")),
        *((ENGLISH, e) for e in ("utf-8", "cp1252", "utf-16-le", "utf-32-be")),
    ],
)
def test_text_is_read_whatever_it_is_encoded_in(text: str, encoding: str, times: int) -> None:
    assert read((text * times).encode(encoding)) == text * times


def test_a_text_cut_into_blocks_inside_a_character_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luban.data.encoding.HEAD_BYTES", 64)
    monkeypatch.setattr("luban.data.encoding.BLOCK_BYTES", 7)
    monkeypatch.setattr("luban.data.encoding.LINE_BYTES", 50)
    for text, encoding in ((SIMPLIFIED, "utf-8"), (SIMPLIFIED, "gb18030"), (JAPANESE, "utf-16")):
        assert read((text * 5).encode(encoding)) == text * 5
    without_lines = "没有换行的长文本" * 50
    assert read(without_lines.encode()) == without_lines


def test_lines_in_other_encodings_than_the_rest_are_read_in_their_own() -> None:
    lines = [
        SIMPLIFIED.encode("gb18030"),
        SIMPLIFIED.encode("utf-8"),
        b"plain ascii\n",
        TRADITIONAL.encode("big5"),
        GERMAN.encode("cp1252"),
        JAPANESE.encode("cp932"),
        SIMPLIFIED.encode("gb18030"),
    ]
    whole = SIMPLIFIED + SIMPLIFIED + "plain ascii\n" + TRADITIONAL + GERMAN + JAPANESE + SIMPLIFIED
    assert read(b"".join(lines)) == whole
    assert read(b"".join(lines[1:])) == whole[len(SIMPLIFIED) :]


def test_an_ascii_beginning_does_not_decide() -> None:
    text = "english first\n" * 90_000 + SIMPLIFIED * 9
    assert read(text.encode("gb18030")) == text


def test_a_few_broken_bytes_do_not_turn_utf8_into_something_else() -> None:
    data = (SIMPLIFIED * 20).encode()
    assert read(data[:97] + b"\xff" + data[97:]).replace("\ufffd", "") == SIMPLIFIED * 20


def test_bytes_that_could_be_utf8_by_chance_follow_the_rest_of_the_file() -> None:
    short = "帽\n".encode("gb18030")  # C3 B1, which in UTF-8 is a letter with a tilde
    assert short.decode("utf-8") == "ñ\n"
    assert Lines("gb18030").decode(short) == "帽\n"
    assert Lines("utf-8").decode(short) == "ñ\n"


def test_the_encoding_that_is_told_is_believed() -> None:
    assert read("naïve".encode("latin-1"), "cp1251") == "naпve"
    assert read(b"a\xff", "utf-8") == "a\ufffd"


@pytest.mark.parametrize(
    "data", [b"\x7fELF\x00\x01", bytes(range(1, 27)) * 9, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"]
)
def test_binary_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(Unreadable, match="not text"):
        detect_encoding(tmp_path / "a.txt")


def test_a_stray_zero_byte_does_not_make_a_text_binary() -> None:
    assert read(SIMPLIFIED.encode() * 20 + b"a\0b\n") == SIMPLIFIED * 20 + "a\0b\n"


def test_names_of_encodings_are_pythons() -> None:
    assert detect(b"") == detect(b"ascii") == "utf-8"
    assert detect(SIMPLIFIED.encode("utf-8-sig")) == "utf-8-sig"
    assert detect(GERMAN.encode("latin-1")) == "cp1252"
    assert guess(TRADITIONAL.encode("big5")) == "big5hkscs"


def test_what_is_likely_decides_where_a_few_characters_do_not() -> None:
    few = "市場".encode("euc_jp")
    assert guess(few) == "gb18030"
    assert guess(few, "euc_jp") == "euc_jp"
    assert guess(SIMPLIFIED.encode("gb18030"), "euc_jp") == "gb18030"


def test_packed_text_is_opened_as_a_text_file(tmp_path: Path) -> None:
    text = SIMPLIFIED.replace("\n", "\r\n")
    for suffix, pack in ((".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)):
        path = tmp_path / f"a.txt{suffix}"
        path.write_bytes(pack(text.encode("gb18030")))
        with open_text(path) as f:
            assert f.read() == SIMPLIFIED
        with open_text(path, newline="") as f:
            assert f.read() == text


def test_any_text_is_a_stream_of_utf8() -> None:
    assert as_utf8(io.BytesIO(JAPANESE.encode("euc_jp"))).read() == JAPANESE.encode()


def test_a_page_is_read_in_its_own_charset_unless_that_is_wrong() -> None:
    page = f'<meta charset="gb2312"><p>{SIMPLIFIED}'
    assert decode_html(page.encode("gb18030")) == page
    wrong = f'<meta http-equiv="Content-Type" content="text/html; charset=ascii"><p>{SIMPLIFIED}'
    assert decode_html(wrong.encode()) == wrong
    assert decode_html(page.encode("big5", "ignore"), "big5") == page.encode("big5", "ignore").decode("big5")
    assert decode_html(b"\xef\xbb\xbf" + page.encode(), "latin-1").endswith(page)
    assert decode_html(f"<p>{ENGLISH}".encode("cp1252"), "iso-8859-1") == f"<p>{ENGLISH}"
    assert decode_html(f"<p>{SIMPLIFIED}".encode(), "no-such-charset") == f"<p>{SIMPLIFIED}"


def test_lines_of_one_chinese_encoding_after_lines_of_the_other_are_read() -> None:
    simplified = "春天来了，小河边的柳树发出了新芽，孩子们在田野里奔跑"
    traditional = "春天來了，小河邊的柳樹發出了新芽，孩子們在田野裡奔跑"
    for more, less in ((5, 60), (60, 5), (30, 30)):
        gb = [f"{simplified}{i}" for i in range(more)]
        big5 = [f"{traditional}{i}" for i in range(less)]
        lines = [*((line, "gb18030") for line in gb), *((line, "big5hkscs") for line in big5)]
        for order in (lines, lines[::-1]):
            data = b"".join(f"{line}\n".encode(name) for line, name in order)
            assert "".join(text_blocks(io.BytesIO(data))).splitlines() == [line for line, _ in order]
