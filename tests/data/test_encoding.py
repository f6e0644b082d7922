import gzip
from pathlib import Path

import pytest

from luban.data.encoding import Unreadable, decode_html, detect_encoding, open_text

CHINESE = "红楼梦是中国古典小说的巅峰之作，作者曹雪芹。\n第二行：甄士隐梦幻识通灵。\n"
FRENCH = "L'été dernier, nous étions à Besançon près de la forêt; le garçon a mangé des crêpes.\n"


@pytest.mark.parametrize(
    ("text", "encoding", "detected"),
    [
        (CHINESE, "utf-8", "utf-8"),
        (CHINESE, "utf-8-sig", "utf-8-sig"),
        (CHINESE, "utf-16", "utf-16"),
        (CHINESE * 50, "gb18030", "gb18030"),
        (FRENCH * 20, "utf-8", "utf-8"),
        (FRENCH * 20, "latin-1", "latin-1"),
        ("naïve coöperation reëlected zoölogists, ", "latin-1", "latin-1"),
        ("plain words\n", "ascii", "utf-8"),
        ("", "ascii", "utf-8"),
    ],
)
def test_the_encoding_is_told_from_the_bytes(tmp_path: Path, text: str, encoding: str, detected: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(encoding))
    packed = tmp_path / "a.txt.gz"
    packed.write_bytes(gzip.compress(text.encode(encoding)))
    for one in (path, packed):
        assert detect_encoding(one) == detected
        with open_text(one) as f:
            assert f.read() == text


def test_a_few_broken_bytes_do_not_turn_utf8_into_something_else(tmp_path: Path) -> None:
    data = (CHINESE * 20).encode()
    (tmp_path / "a.txt").write_bytes(data[:100] + b"\xff" + data[100:])
    assert detect_encoding(tmp_path / "a.txt") == "utf-8"


def test_an_ascii_beginning_does_not_decide(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"english first\n" * 90_000 + CHINESE.encode("gb18030") * 9)
    assert detect_encoding(tmp_path / "a.txt") == "gb18030"


@pytest.mark.parametrize("data", [b"\x7fELF\x00\x01", bytes(range(1, 27)) * 9])
def test_binary_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(Unreadable, match="not text"):
        detect_encoding(tmp_path / "a.txt")


def test_a_page_is_read_in_its_own_charset_unless_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    right = f'<meta charset="gb2312"><p>{CHINESE}'.encode("gb18030")
    path.write_bytes(right)
    assert CHINESE in decode_html(path, right)
    wrong = f'<meta http-equiv="Content-Type" content="text/html; charset=ascii"><p>{CHINESE}'.encode()
    path.write_bytes(wrong)
    assert CHINESE in decode_html(path, wrong)
