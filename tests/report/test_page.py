import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from luban.report.page import write_report

HOSTILE = (
    "<script>alert(1)</script> \"'& <img src=x onerror=alert(2)> \x00\x1b[31m\ud800 مرحبا 🐉 鲁班 "
    + "w" * 900
)
VOID = {"meta", "link", "br"}


class Outline(HTMLParser):
    """Collects tags and attributes, and checks that every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [str(v) for k, v in attrs if k == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def draw(folder: Path) -> str:
    return write_report(folder, folder / "report.html").read_text("utf-8")


def test_the_page_asks_nothing_of_any_network(run_folder: Path) -> None:
    page = draw(run_folder)
    for tag, attributes in Outline(page).tags:
        assert tag not in ("iframe", "img", "object", "embed", "base", "form"), tag
        for name in ("src", "href", "action", "data", "srcset", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith("#") or value == "data:,", (tag, value)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket|sendBeacon|import\(", page)


def test_the_policy_lets_only_the_own_script_run(run_folder: Path) -> None:
    tags = Outline(draw(run_folder)).tags
    policy = next(a["content"] for t, a in tags if t == "meta" and "http-equiv" in a)
    assert policy
    assert policy.startswith("default-src 'none'")
    assert re.search(r"script-src 'sha256-[\w+/=]+'$", policy)
    assert [t for t, _ in tags].count("script") == 1
    assert not [a for _, a in tags if any(name.startswith("on") for name in a)]


def test_a_whole_run_fills_every_section_and_stays_small(run_folder: Path) -> None:
    page = draw(run_folder)
    for title in ("Funnel", "Data and licences", "Tokenizer", "Learning curves", "Samples over time", "The ladder",
                  "Model by model", "Golden check", "Chain of stages", "Commands", "Settings"):  # fmt: skip
        assert f">{title}</a>" in page
    assert "What could not be read" not in page
    assert "春天来了" in page
    assert "0.842 [0.814, 0.870]" in page
    assert len(page.encode()) < 600_000


def test_elements_close_in_order_and_links_lead_somewhere(run_folder: Path) -> None:
    outline = Outline(draw(run_folder))
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    for _, attributes in outline.tags:
        href = attributes.get("href")
        if href and href.startswith("#"):
            assert href[1:] in outline.ids


@pytest.mark.parametrize(
    ("use", "facts"),
    [
        ("pretrain", {"family": "llama", "samples": [{"step": 0, "prompt": "She", "text": "She said"}]}),
        ("classify", {"family": "bert", "best": {"step": 3, "loss": 0.4, "accuracy": 0.8}}),
        ("bag", {}),
        ("clean", {"funnel": []}),
        ("evaluate", {"metrics": {"accuracy": {"value": 0.5, "low": None, "high": None, "n": 4}}}),
        ("golden", {"copies": [], "passed": True}),
        ("a stage from the future", {}),
    ],
)
def test_a_single_stage_gives_a_page(run_writer: Any, use: str, facts: dict[str, Any]) -> None:
    folder = run_writer.stage("only", use, {}, facts)
    for page in (draw(run_writer.folder), draw(folder)):
        assert Outline(page).open == []
        assert "Chain of stages" in page
        assert "What could not be read" not in page


def hostile(value: Any) -> Any:
    """Put hostile text in place of every text and every key that names something of the user's."""
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, list):
        return [hostile(v) for v in value]
    if isinstance(value, dict):
        return {k: hostile(v) for k, v in value.items()} | {
            HOSTILE: {"documents": 3, "value": 1.0, "precision": 1}
        }
    return value


def test_hostile_text_stays_text_wherever_it_stands(run_writer: Any, row_writer: Any) -> None:
    sample = {"step": 0, "prompt": "p", "text": "t"}
    name = 'a"<script>alert(3)'
    drop = {"id": "i", "reason": "r", "detail": "d", "text": "t"}
    step = {
        "step": "s",
        "documents_in": 2,
        "documents_out": 1,
        "bytes_in": 2,
        "bytes_out": 1,
        "example": drop,
    }
    about = {"languages": {}, "licences": {HOSTILE: 2}, "sources": {"s": {"licence": "l", "documents": 1}}}
    run_writer.stage("clean", "clean", {"raw": HOSTILE}, hostile({"funnel": [step], **about}))
    model = run_writer.stage(
        name, "pretrain", {"shards": "clean"}, hostile({"family": "f", "samples": [sample]})
    )
    row_writer(model / "metrics.jsonl", [{"step": 1, "loss": 2}, {"step": 1, "sample": hostile(sample)}])
    label = HOSTILE[:30]
    scores = {"metrics": {"accuracy": {"value": 0.5}}, "confusion": {"labels": [label], "counts": [[2]]},
              "per_class": {label: {"f1": 1}}, "signature": HOSTILE, "family": HOSTILE, "split": HOSTILE}  # fmt: skip
    score = run_writer.stage(
        "score", "evaluate", {"model": name, "data": HOSTILE}, scores, settings={HOSTILE: HOSTILE}
    )
    row_writer(
        score / "predictions.jsonl", [{"id": HOSTILE, "text": HOSTILE, "label": label, "predicted": HOSTILE}]
    )
    run_writer.stage("golden", "golden", {"model": name}, {"copies": [{"copy": HOSTILE, "note": HOSTILE}]},
                     started=HOSTILE, command=[HOSTILE, HOSTILE], versions={HOSTILE: HOSTILE})  # fmt: skip
    page = draw(run_writer.folder)
    outline = Outline(page)
    assert outline.open == []
    assert [t for t, _ in outline.tags].count("script") == 1
    assert "img" not in [t for t, _ in outline.tags]
    assert not [a for _, a in outline.tags if any(n.startswith("on") for n in a)]
    assert "\x00" not in page
    assert "\x1b" not in page
    assert "🐉" in page


def test_broken_parts_are_survived_and_named(run_folder: Path) -> None:
    (run_folder / "tokenizer" / "manifest.json").write_text("{")
    (run_folder / "gpt" / "metrics.jsonl").write_text('{"step": 1, "loss": "high"}\nnot json\n')
    (run_folder / "score-bag-en" / "predictions.jsonl").write_bytes(b"\xff\xfe\x00")
    page = draw(run_folder)
    assert "things could not be read" in page
    assert "tokenizer/manifest.json is broken" in page
    assert "gpt/metrics.jsonl: 1 unreadable line left out" in page
    assert "score-bag-en/predictions.jsonl" in page


@pytest.mark.parametrize("junk", [None, 3, "text", [1], {"a": [None]}, [[]], {"a": {"b": "c"}}, True])
def test_no_shape_of_facts_breaks_the_page(run_writer: Any, junk: Any) -> None:
    keys = ("funnel", "languages", "licences", "sources", "splits", "counts", "bytes_per_token", "samples", "best",
            "first", "metrics", "per_class", "confusion", "calibration", "copies", "passed", "rejects", "warnings",
            "family", "latency_ms", "signature", "train_seconds", "stopped", "matmul_share")  # fmt: skip
    for use in ("clean", "tokenizer", "shard", "pretrain", "classify", "evaluate", "golden"):
        run_writer.stage(f"{use}-all", use, {}, dict.fromkeys(keys, junk))
        run_writer.stage(
            f"{use}-facts", use, {}, junk if isinstance(junk, dict) else {}, settings=junk, versions=junk
        )
    assert Outline(draw(run_writer.folder)).open == []


def test_statuses_are_shown_where_they_are_known(run_folder: Path) -> None:
    page = write_report(run_folder, run_folder / "r.html", {"clean": "reused"}).read_text("utf-8")
    assert "<td>reused</td>" in page
    assert "<td>reused</td>" not in draw(run_folder)


def test_a_step_that_changed_nothing_takes_one_line(run_writer: Any) -> None:
    row = {
        "step": "symbols",
        "documents_in": 6,
        "documents_out": 6,
        "bytes_in": 90,
        "bytes_out": 90,
        "example": None,
    }
    run_writer.stage("clean", "clean", {}, {"funnel": [row, row | {"step": "spaces", "bytes_out": 80}]})
    page = draw(run_writer.folder)
    assert page.count('<li class="idle">') == 1
    assert page.count('class="step-bars"') == 1


def test_many_labels_become_a_list_of_confused_pairs(run_writer: Any) -> None:
    labels = [f"label-{i}" for i in range(40)]
    counts = [[9 if i == j else int(j == (i + 1) % 40) for j in range(40)] for i in range(40)]
    facts = {"metrics": {"accuracy": {"value": 0.9}}, "confusion": {"labels": labels, "counts": counts}}
    run_writer.stage("score", "evaluate", {}, facts)
    page = draw(run_writer.folder)
    assert "Labels most often confused" in page
    assert 'class="heat"' not in page
