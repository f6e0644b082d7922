import re
from pathlib import Path
from typing import Any

import pytest

from luban.report.bars import bar_table, histogram
from luban.report.data_page import draw_data_page, write_data_page
from tests.report.test_page import HOSTILE, Outline


def spread(n: int = 10) -> dict[str, Any]:
    marks = dict.fromkeys(
        ("least", "tenth", "quarter", "median", "three quarters", "nine tenths", "most"), 12
    )
    return {"n": n, "mean": 12.0, **marks, "bars": [[10, 16, n]]}


def facts(word: str = "灯塔", n: int = 30) -> dict[str, Any]:
    sample = {"id": word, "source": word, "language": "zh", "detail": word, "chars": 9, "text": word}
    step = {
        "step": word,
        "documents_in": 9,
        "documents_out": 7,
        "bytes_in": 90,
        "bytes_out": 60,
        "example": None,
    }
    tables = {
        name: {word: {"documents": n, "bytes": 1000}} for name in ("language", "source", "year", "label")
    }
    return {
        "stage": "dedup", "lengths": {"median": 12},
        "census": {
            "documents": n, "bytes": 1000, "empty": 0, "tables": tables, "lengths": {"zh": spread(n)},
            "quality": {"symbols": {"of": word, "languages": {"zh": spread(n)}}},
            "word_lengths": {"en": spread(n)}, "sampled": {"zh": {"documents": n, "bytes": 1000}},
            "phrases": {"zh": {"2 characters": [[word, 12_345]]}},
            "tokens": {"zh": {"documents": n, "tokens_estimated": 300, "bytes_per_token": 3.3, "per_document": spread()}},
            "samples": {"zh": [sample]},
            "cluster_sizes": {"clusters": n, "alone": n, "most": 1, "sizes": spread(n)},
        },
        "losses": {
            "dropped": [{"stage": "dedup", "step": "near-duplicates", "reason": "near-duplicate", "documents": 2,
                         "chars": 20, "samples": [sample]}],
            "rejected": [{"reason": word, "rows": 2, "example": word}], "jaccard": spread(2),
        },
        "history": [{"stage": "dedup", "folder": f"/data/{word}", "seconds": 1.5, "started": "2026-01-01T00:00:00Z",
                     "counts": {"documents_in": 9, "documents_kept": 7}, "funnel": [step], "rejects": 2}],
    }  # fmt: skip


def test_every_part_is_there_and_chinese_is_marked_as_such(tmp_path: Path) -> None:
    page = write_data_page("clean", facts(), tmp_path / "page.html").read_text("utf-8")
    ids = Outline(page).ids
    parts = ("funnel", "data", "lengths", "quality", "duplicates", "tokens", "phrases", "samples", "dropped")
    assert set(parts) | {"rejects", "stages"} <= set(ids)
    assert len(ids) == len(set(ids))
    assert re.search(r'<span lang="zh">灯塔</span>', page)
    assert "12.3 k" in page
    assert "10 to 16 characters: 30 documents, 100 %" in page


def test_hostile_names_and_texts_break_nothing() -> None:
    page = draw_data_page(HOSTILE, facts(HOSTILE))
    outline = Outline(page)
    assert not outline.open
    assert [tag for tag, _ in outline.tags].count("script") == 1
    assert not [a for _, a in outline.tags if any(name.startswith("on") for name in a)]
    for tag, attributes in outline.tags:
        assert tag not in ("img", "iframe", "form"), tag
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith("#") or value == "data:,"


@pytest.mark.parametrize("junk", [None, 3, "x", [], {}, [None], [["x"]], {"zh": None}, {"zh": {"n": "many"}}])
def test_no_shape_of_facts_breaks_the_page(junk: Any) -> None:
    whole = facts()
    for part in ("census", "losses", "history", "lengths", "shards"):
        assert not Outline(draw_data_page("x", whole | {part: junk})).open
    for name in whole["census"]:
        assert not Outline(draw_data_page("x", whole | {"census": whole["census"] | {name: junk}})).open


def test_an_empty_folder_says_so_and_one_document_is_one() -> None:
    assert "This folder holds no documents." in draw_data_page("x", {"census": {"documents": 0, "bytes": 0}})
    assert "Chinese: 1 document<" in draw_data_page("x", facts(n=1))


def test_shards_have_their_own_parts() -> None:
    shards = {
        "tables": {"language": {"zh": {"documents": 3, "tokens": 90}}}, "lengths": {"train": spread(3)},
        "vocabulary": {"size": 9, "used": 7, "rare": 2, "half": 1, "top": [[" the", 70], ["的", 20]]},
        "samples": {"train": [{"id": "train 0", "tokens": 30, "text": "灯塔"}]}, "problem": "",
    }  # fmt: skip
    page = draw_data_page("x", {"shards": shards, "counts": {"tokens": 90, "documents": 3, "bytes": 270}})
    assert {"data", "lengths", "vocabulary", "samples"} <= set(Outline(page).ids)
    assert "␣the" in page
    assert "30 tokens" in page


def test_bars_are_as_tall_as_their_share_and_labels_do_not_meet() -> None:
    page = histogram([(i, i + 1, n) for i, n in enumerate((1, 0, 4, 2))], unit="documents in a cluster")
    tall = [float(h) for h in re.findall(r'height="([\d.]+)" rx', page)]
    assert tall[3] == tall[2] / 2
    many = histogram([(10 ** (i / 5), 10 ** ((i + 1) / 5), 1) for i in range(40)], unit="characters")
    places = [float(x) for x in re.findall(r'<text x="([\d.]+)" y="167"', many)]
    assert len(places) <= 9
    assert min(b - a for a, b in zip(places, places[1:], strict=False)) > 45
    assert "Nothing to draw" in histogram([], unit="x")


def test_a_table_of_bars_of_nothing_is_a_table() -> None:
    assert bar_table(("a", "b"), [("x", ("0",), 0.0)]).count("width:0.0%") == 1
