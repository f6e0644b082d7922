"""Documents labelled by rules and by classifiers; the classifier as a filter, from two folders to kept texts."""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from luban.data.convert.run import convert_stage
from luban.data.convert.settings import ConvertSettings
from luban.data.documents import read_documents, write_documents
from luban.errors import ConfigError
from luban.files import read_jsonl
from luban.log import Log
from luban.tasks.bag import bag
from luban.tasks.label import label
from luban.tasks.label_settings import LabelSettings
from luban.tasks.predict import load_classifier
from luban.tasks.settings import BagSettings

RULES = {
    "rules": [
        {"name": "adverts", "label": "bad", "words": ["casino", "博彩"]},
        {"name": "shouting", "label": "bad", "any": ["!!!", "！！！"]},
        {"name": "reasons", "label": "good", "words": ["because", "因为"], "weight": 2},
    ]
}
TEXTS = {
    "1": "a casino for you!!!",
    "2": "来博彩",
    "3": "it rains because of clouds",
    "4": "因为下雨！！！",
    "5": "nothing",
}
GOLD = {"1": "bad", "2": "bad", "3": "good", "4": "bad", "5": "good"}


def folder(path: Path, texts: dict[str, str], **columns: dict[str, str]) -> Path:
    path.mkdir()
    rows = (
        {"id": i, "text": t, "source": "s", "licence": "MIT", "language": "und", "time": ""}
        | {name: values[i] for name, values in columns.items()}
        for i, t in texts.items()
    )
    write_documents(path, rows)
    return path


def run(documents: Path, out: Path, settings: LabelSettings, **inputs: Path) -> dict[str, Any]:
    out.mkdir()
    return label(settings, {"documents": documents, **inputs}, out, Log())


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(RULES, allow_unicode=True), encoding="utf-8")
    return path


def test_rules_label_documents_and_their_votes_are_reported(tmp_path: Path, rules: Path) -> None:
    documents = folder(tmp_path / "in", TEXTS, truth=GOLD)
    facts = run(documents, tmp_path / "out", LabelSettings(gold="truth"), rules=rules)
    rows = {row["id"]: row for row in read_documents(tmp_path / "out")}
    assert {i: row["label"] for i, row in rows.items()} == {
        "1": "bad",
        "2": "bad",
        "3": "good",
        "4": "good",
        "5": None,
    }
    assert rows["4"]["confidence"] == pytest.approx(2 / 3)
    assert rows["1"]["votes"] == '["adverts", "shouting"]'
    assert rows["5"]["confidence"] == 0.0
    assert facts["counts"]["documents_in"] == facts["counts"]["documents_kept"] == 5
    by_name = {rule["rule"]: rule for rule in facts["rules"]}
    assert by_name["shouting"]["coverage"] == 0.4
    assert by_name["shouting"]["conflict"] == 0.2
    assert by_name["reasons"]["accuracy"] == 0.5
    assert (facts["coverage"], facts["accuracy"]) == (0.8, 0.75)


def test_documents_without_the_wanted_label_are_dropped_with_value_and_threshold(
    tmp_path: Path, rules: Path
) -> None:
    documents = folder(tmp_path / "in", TEXTS)
    settings = LabelSettings(keep=("good",), min_confidence=0.8)
    facts = run(documents, tmp_path / "out", settings, rules=rules)
    assert [(r["id"], r["score"]) for r in read_documents(tmp_path / "out")] == [("3", 1.0)]
    dropped = {
        row["id"]: (row["reason"], row["detail"]) for row in read_jsonl(tmp_path / "out" / "dropped.jsonl")
    }
    assert dropped["1"] == ("labelled bad", "0.0000 for good, at least 0.8 is needed")
    assert dropped["4"] == ("labelled good", "0.6667 for good, at least 0.8 is needed")
    assert dropped["5"] == ("no label", "no rule votes on it, only good is wanted")
    assert facts["counts"]["documents_dropped"] == len(dropped) == 4
    assert facts["labels"] == {"bad": 2, "good": 2}  # counted over dropped ones, too


GOOD = "the study shows that rivers change slowly because rain and rock resist each other 河流 因为 雨水 缓慢 改变".split()
BAD = "buy cheap now click here best price free offer winner 点击 购买 优惠 免费 现在 最低价 中奖".split()


def texts(words: list[str], n: int, seed: int) -> dict[str, str]:
    chance = random.Random(seed)
    return {f"{words[0]}{seed}-{i}": " ".join(chance.choices(words, k=25)) for i in range(n)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A bag classifier of good and bad documents, by the stages of the recipe."""
    good, bad = folder(tmp_path / "good", texts(GOOD, 30, 1)), folder(tmp_path / "bad", texts(BAD, 30, 2))
    rows, out = tmp_path / "rows", tmp_path / "model"
    rows.mkdir()
    out.mkdir()
    convert_stage(ConvertSettings(labels=("good", "bad")), {"data": good, "data:2": bad}, rows, Log())
    bag(BagSettings(), {"data": rows / "rows.jsonl"}, out, Log())
    return out


def test_a_classifier_of_two_folders_filters_a_crawl(tmp_path: Path, model: Path) -> None:
    crawl = folder(tmp_path / "crawl", texts(GOOD, 20, 3) | texts(BAD, 20, 4))
    facts = run(crawl, tmp_path / "out", LabelSettings(keep=("good",), batch_size=7), model=model)
    kept = list(read_documents(tmp_path / "out"))
    assert {row["id"] for row in kept} == set(texts(GOOD, 20, 3))
    assert facts["drops"] == {"labelled bad": 20}
    probabilities = load_classifier(model).predict([row["text"] for row in kept])
    assert [row["confidence"] for row in kept] == pytest.approx([p.probability for p in probabilities])
    assert [row["score"] for row in kept] == [row["confidence"] for row in kept]
    assert "votes" not in kept[0]


def test_a_low_threshold_keeps_what_the_model_doubts(tmp_path: Path, model: Path) -> None:
    mixed = {"m": " ".join(GOOD[:6] + BAD[:6])}
    crawl = folder(tmp_path / "crawl", mixed)
    run(crawl, tmp_path / "a", LabelSettings(keep=("good",), min_confidence=0.01), model=model)
    run(crawl, tmp_path / "b", LabelSettings(keep=("good",), min_confidence=0.99), model=model)
    assert len(list(read_documents(tmp_path / "a"))) == 1
    assert not list(read_documents(tmp_path / "b"))


def test_rules_and_a_model_vote_together(tmp_path: Path, rules: Path, model: Path) -> None:
    crawl = folder(tmp_path / "crawl", {"1": " ".join(GOOD) + " casino"})
    run(crawl, tmp_path / "a", LabelSettings(), rules=rules, model=model)
    run(crawl, tmp_path / "b", LabelSettings(model_weight=0.1), rules=rules, model=model)
    (a,), (b,) = list(read_documents(tmp_path / "a")), list(read_documents(tmp_path / "b"))
    assert (a["label"], b["label"]) == ("good", "good")  # "because" and 因为 weigh two, the advert one
    assert a["confidence"] > b["confidence"] > 0.6


def test_workers_label_as_one_process_does(
    tmp_path: Path, rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luban.data.local_engine.FIRST_BYTES", 0)
    many = {f"{i}-{n}": text for n in range(500) for i, text in TEXTS.items()}
    documents = folder(tmp_path / "in", many)
    run(documents, tmp_path / "one", LabelSettings(workers=1), rules=rules)
    run(documents, tmp_path / "two", LabelSettings(workers=2), rules=rules)
    assert list(read_documents(tmp_path / "one")) == list(read_documents(tmp_path / "two"))


def test_changed_rules_are_read_again(tmp_path: Path, rules: Path) -> None:
    documents = folder(tmp_path / "in", TEXTS)
    run(documents, tmp_path / "a", LabelSettings(), rules=rules)
    rules.write_text("rules: [{label: all, min_chars: 0}]")
    run(documents, tmp_path / "b", LabelSettings(), rules=rules)
    assert {row["label"] for row in read_documents(tmp_path / "b")} == {"all"}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"keep": ("god",)}, "no rule and no model gives god"),
        ({"column": "source"}, "have a column source already"),
        ({"column": "truth"}, "have a column truth already"),
        ({"column": "votes"}, "have a column votes already"),
        ({"gold": "trut"}, "have no column trut"),
    ],
)
def test_settings_that_cannot_be_are_errors(settings: Any, problem: str, tmp_path: Path, rules: Path) -> None:
    documents = folder(tmp_path / "in", TEXTS, truth=GOLD)
    with pytest.raises(ConfigError, match=problem):
        run(documents, tmp_path / "out", LabelSettings(**settings), rules=rules)


def test_contradictions_in_the_settings_and_nothing_to_label_by_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no labels to hold for"):
        LabelSettings(min_confidence=0.5)
    with pytest.raises(ConfigError, match="are both label"):
        LabelSettings(gold="label")
    with pytest.raises(ConfigError, match="nothing says how to label"):
        run(folder(tmp_path / "in", TEXTS), tmp_path / "out", LabelSettings())
