import random
from pathlib import Path
from typing import Any

import pytest

from luban.data import census
from luban.data.census import Ways, sample_share, sample_shares, take_census
from luban.data.census_facts import census_facts
from luban.data.cluster_sizes import cluster_sizes
from luban.data.documents import write_documents
from luban.data.engine import open_engine
from luban.data.settings import WorkSettings
from luban.tokenizer.train import train_bpe

ENGLISH = "The keeper of the lighthouse wrote the weather of the night in a ledger.\n"
CHINESE = "灯塔看守人把夜里的天气写进了账本。\n"


def rows(n: int = 60) -> list[dict[str, Any]]:
    return [
        {
            "id": f"d{i}",
            "text": (CHINESE if i % 3 == 0 else ENGLISH) * (1 + i % 5) + f"{i}",
            "source": f"https://host-{i % 2}.example/page/{i}",
            "licence": "CC0-1.0" if i % 2 else "MIT",
            "language": "zh" if i % 3 == 0 else "en",
            "time": "2024-05-01T00:00:00Z" if i % 2 else "",
            "split": "train" if i % 10 else "test",
            "cluster": f"c{i // 2 if i < 20 else i}",
        }
        for i in range(n)
    ]


def facts_of(path: Path, some: list[dict[str, Any]], **ways: Any) -> dict[str, Any]:
    path.mkdir()
    write_documents(path, some)
    with open_engine(WorkSettings(workers=1), path.parent) as engine:
        return census_facts(take_census(engine, path, Ways(**ways)))


def test_every_document_is_counted_in_every_table(tmp_path: Path) -> None:
    some = rows()
    facts = facts_of(tmp_path / "a", some)
    sizes = [len(row["text"].encode()) for row in some]
    assert (facts["documents"], facts["bytes"], facts["empty"]) == (60, sum(sizes), 0)
    for table in facts["tables"].values():
        assert sum(v["documents"] for v in table.values()) == 60
        assert sum(v["bytes"] for v in table.values()) == sum(sizes)
    assert facts["tables"]["language"]["zh"]["documents"] == 20
    assert list(facts["tables"]["source"]) == ["host-0.example", "host-1.example"]
    assert facts["tables"]["year"]["2024"]["documents"] == 30
    assert facts["tables"]["split"]["test"]["documents"] == 6
    assert facts["lengths"]["zh"]["most"] == max(len(r["text"]) for r in some if r["language"] == "zh")


def test_words_of_english_and_runs_of_chinese_are_found(tmp_path: Path) -> None:
    facts = facts_of(tmp_path / "a", rows())
    assert list(facts["phrases"]["en"]) == ["words", "3 words"]
    assert {"keeper", "lighthouse"} <= {word for word, _ in facts["phrases"]["en"]["words"]}
    assert facts["phrases"]["en"]["3 words"][0][1] == 120
    assert list(facts["phrases"]["zh"]) == ["2 characters", "3 characters", "4 characters"]
    shorter = {text for text, _ in facts["phrases"]["zh"]["3 characters"]}
    assert "看守人" not in shorter  # all of them are within a longer run
    assert any(text == "灯塔看守" for text, _ in facts["phrases"]["zh"]["4 characters"])


def test_quality_is_measured_in_both_languages(tmp_path: Path) -> None:
    facts = facts_of(tmp_path / "a", rows())
    repeated = facts["quality"]["repeated lines"]["languages"]
    assert repeated["en"]["least"] == 0 == repeated["zh"]["least"]
    assert 70 < repeated["en"]["most"] < 81  # four of five lines
    assert facts["word_lengths"]["en"]["median"] == pytest.approx(4.2, abs=0.3)
    assert "zh" not in facts["word_lengths"]


def test_the_same_comes_out_whatever_the_order_and_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = rows()
    one = facts_of(tmp_path / "a", some)
    random.Random(1).shuffle(some)
    assert facts_of(tmp_path / "b", some) == one
    monkeypatch.setattr(census, "TABLE_ROWS", 7)
    assert facts_of(tmp_path / "c", some) == one


def test_tokens_of_a_sample_estimate_those_of_all(tmp_path: Path) -> None:
    some = rows(400)
    train_bpe([ENGLISH, CHINESE], 300, template=True).save(tmp_path / "tokenizer")
    folder = str(tmp_path / "tokenizer")
    whole = facts_of(tmp_path / "a", some, tokenizer=folder)["tokens"]
    assert whole["en"]["tokens"] == whole["en"]["tokens_estimated"]
    sampled = facts_of(tmp_path / "b", some, tokenizer=folder, shares={"en": 0.3})["tokens"]
    assert 0.15 < sampled["en"]["documents"] / whole["en"]["documents"] < 0.45
    assert sampled["en"]["tokens_estimated"] == pytest.approx(whole["en"]["tokens"], rel=0.05)
    assert sampled["zh"] == whole["zh"]


def test_small_languages_are_counted_whole_and_large_ones_share_the_rest() -> None:
    assert sample_shares({"en": 90, "af": 10}, 40) == {"af": 1.0, "en": pytest.approx(1 / 3)}
    assert sample_shares({"en": 90, "zh": 90}, 90) == {"en": 0.5, "zh": 0.5}
    assert sample_shares({"en": 0}, 90) == {"en": 1.0}
    assert sample_shares({}) == {}


def test_without_a_word_on_languages_about_the_budget_is_sampled(tmp_path: Path) -> None:
    some = rows(200)
    total = sum(len(row["text"].encode()) for row in some)
    write_documents(tmp_path, some)
    assert sample_share(tmp_path, total // 4) == pytest.approx(0.25, rel=0.1)
    assert sample_share(tmp_path) == 1.0
    sampled = facts_of(tmp_path / "a", some, share=0.25)["sampled"]
    assert 25 < sum(one["documents"] for one in sampled.values()) < 75


def test_documents_without_text_or_language_are_counted(tmp_path: Path) -> None:
    facts = facts_of(tmp_path / "a", [{"id": "a", "text": ""}, {"id": "b", "text": " \n", "time": "12345"}])
    assert (facts["documents"], facts["empty"]) == (2, 2)
    assert facts["tables"]["language"] == {"und": {"documents": 2, "bytes": 2}}
    assert list(facts["tables"]["year"]) == ["unknown"]
    nothing = facts_of(tmp_path / "b", [])
    assert (nothing["documents"], nothing["tables"], nothing["all_lengths"]) == (0, {}, {"n": 0})


def test_clusters_are_counted_by_their_size(tmp_path: Path) -> None:
    write_documents(tmp_path, rows())
    with open_engine(WorkSettings(workers=1), tmp_path) as engine:
        found = cluster_sizes(engine, tmp_path)
        assert (found["clusters"], found["alone"], found["most"]) == (50, 40, 2)
        assert (found["sizes"]["mean"], found["sizes"]["least"]) == (1.2, 1)
    (tmp_path / "b").mkdir()
    write_documents(tmp_path / "b", [{"id": "a", "text": "t"}])
    with open_engine(WorkSettings(workers=1), tmp_path) as engine:
        assert cluster_sizes(engine, tmp_path / "b") == {}
