import random
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("duckdb")

from luban.data.documents import read_documents
from luban.data.lines import weighed
from luban.data.settings import DedupSettings
from luban.native import minhash
from tests.data.test_dedup import dropped, run, run_folder

MENU = {False: "Home  |  News | About us", True: "首页 | 新闻 | 关于我们"}
FOOTER = {False: "Copyright by the town of Springfield", True: "版权归春田市所有"}


def pages(n: int, chinese: bool, seed: int = 1) -> list[str]:
    """Pages of one site: every one has its menu and footer around text of its own."""
    rng = random.Random(seed)
    found = []
    for _ in range(n):
        own = (
            "".join(chr(rng.randrange(0x4E00, 0x9000)) for _ in range(60))
            if chinese
            else " ".join(str(rng.random()) for _ in range(9))
        )
        menu = MENU[chinese].upper() if rng.random() < 0.5 else MENU[chinese]
        found.append(f"{menu}\n{own}\n---\n\n{FOOTER[chinese]}\n")
    return found


def texts(tmp_path: Path) -> list[str]:
    return [row["text"] for row in read_documents(tmp_path / "out")]


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("chinese", [False, True])
def test_boilerplate_stays_in_the_first_page_of_a_site_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chinese: bool, native: bool
) -> None:
    if not native:
        monkeypatch.setattr(minhash, "is_available", lambda: False)
    raw = pages(4, chinese)
    sources = [f"https://www.example.org/{i}" for i in range(3)] + ["https://other.example/"]
    run(tmp_path, raw, sources, lines="site", max_repeats=2)
    found = texts(tmp_path)
    assert found[0] == raw[0]
    assert found[3] == raw[3]
    for i in (1, 2):
        assert found[i] == raw[i].split("\n")[1] + "\n---"


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("chinese", [False, True])
def test_paragraphs_of_texts_from_windows_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chinese: bool, native: bool
) -> None:
    if not native:
        monkeypatch.setattr(minhash, "is_available", lambda: False)
    raw = [page.replace("\n", "\r\n") for page in pages(4, chinese)]
    run(tmp_path, raw, [f"https://site{i}.example/" for i in range(4)], paragraphs="all", max_repeats=3)
    assert [FOOTER[chinese] in text for text in texts(tmp_path)] == [True, False, False, False]


@pytest.mark.parametrize("chinese", [False, True])
def test_across_all_sites_a_line_counts_wherever_it_stands(tmp_path: Path, chinese: bool) -> None:
    raw = pages(4, chinese)
    sources = [f"https://site{i}.example/" for i in range(4)]
    run(tmp_path, raw, sources, paragraphs="all", max_repeats=3)
    assert [FOOTER[chinese] in text for text in texts(tmp_path)] == [True, False, False, False]
    assert all(MENU[chinese].lower() in text.lower() for text in texts(tmp_path))


@pytest.mark.parametrize("chinese", [False, True])
def test_a_second_pass_removes_nothing_more(tmp_path: Path, chinese: bool) -> None:
    raw = pages(9, chinese)
    rng = random.Random(3)
    raw += ["\n".join(rng.choices(raw[0].split("\n") + raw[1].split("\n"), k=6)) for _ in range(20)]
    settings: dict[str, Any] = {"lines": "all", "paragraphs": "all", "max_repeats": 1}
    run(tmp_path / "once", raw, **settings)
    run_folder(tmp_path / "twice", tmp_path / "once" / "out", **settings)
    assert texts(tmp_path / "once") == texts(tmp_path / "twice")
    assert len(texts(tmp_path / "once")) > 8


def test_a_page_of_nothing_but_boilerplate_is_dropped_with_a_reason(tmp_path: Path) -> None:
    raw = [*pages(3, chinese=False), f"{MENU[False]}\n{FOOTER[False]}\nshort"]
    facts = run(tmp_path, raw, lines="all", max_repeats=3)
    gone = dropped(tmp_path)["d3"]
    assert gone["reason"] == "nothing but repeated lines"
    assert gone["detail"] == (
        "5 characters left, at least 40 are needed; 2 lines stand in more than 3 documents"
    )
    assert gone["text"] == raw[3]
    assert facts["funnel"][0]["step"] == "repeated lines"


def test_lines_that_no_more_than_the_limit_have_and_short_ones_stay(tmp_path: Path) -> None:
    raw = pages(5, chinese=False)
    run(tmp_path, raw, lines="all", max_repeats=5)
    assert texts(tmp_path) == raw
    assert all("---" in text for text in texts(tmp_path))


def test_a_chinese_character_weighs_three() -> None:
    assert weighed("ab 中文é") == 3 + 6 + 1


def test_line_settings_are_off_unless_asked_for(tmp_path: Path) -> None:
    raw = pages(8, chinese=False)
    run(tmp_path, raw)
    assert texts(tmp_path) == raw
    assert DedupSettings().lines == DedupSettings().paragraphs == "off"
