"""Rules that vote: each condition alone and together, in both languages; and how they are counted."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from luban.errors import ConfigError
from luban.tasks.rules import Tally, Voter, read_rules, tally


def rules(tmp_path: Path, *given: dict[str, Any]) -> tuple[Voter, ...]:
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"rules": list(given)}, allow_unicode=True), encoding="utf-8")
    return read_rules(path)


@pytest.mark.parametrize(
    ("rule", "votes_on", "silent_on"),
    [
        ({"any": ["buy now", "加.信"]}, ["please BUY NOW", "快加微信"], ["buy it now", "微信"]),
        ({"all": ["a+b", "^z"]}, ["x aab\nzoo"], ["aab", "zoo"]),
        ({"none": ["lorem", "乱码"]}, ["fine", "好"], ["Lorem", "有乱码"]),
        ({"words": ["win", "彩票"]}, ["You WIN!", "买彩票吧", "win"], ["winter", "twin", "彩虹"]),
        ({"words": ["c++", ".net"]}, ["use c++ here", "a.net"], ["c+", "net"]),
        ({"words": ["and", "of", "的"], "min_words": 2}, ["of x And", "and 的"], ["and and AND", "的的"]),
        ({"words": ["US"], "match_case": True}, ["the US is"], ["tell us"]),
        ({"min_chars": 3, "max_chars": 4}, ["abc", "一二三四"], ["ab", "abcde"]),
    ],
)
def test_a_rule_votes_where_its_condition_holds(
    rule: Any, votes_on: list[str], silent_on: list[str], tmp_path: Path
) -> None:
    (voter,) = rules(tmp_path, {"label": "x", **rule})
    assert all(voter.votes({"text": text}) for text in votes_on)
    assert not any(voter.votes({"text": text}) for text in silent_on)


def test_all_conditions_must_hold_and_languages_and_sources_are_conditions(tmp_path: Path) -> None:
    (voter,) = rules(tmp_path, {"label": "x", "any": ["a"], "languages": ["zh"], "source": "forum/*"})
    row = {"text": "a", "language": "zh", "source": "forum/1.html"}
    assert voter.votes(row)
    for change in ({"text": "b"}, {"language": "en"}, {"source": "news/1.html"}):
        assert not voter.votes({**row, **change})


def test_votes_are_weighed_and_a_tie_goes_to_the_rule_that_stands_first() -> None:
    bad, good, fine = (
        Voter(n, label, w, ()) for n, label, w in (("a", "bad", 1), ("b", "good", 2), ("c", "good", 1))
    )
    assert tally([bad, good, fine], {}, 1) == {"bad": 0.25, "good": 0.75}
    assert tally([], {}, 1) == {}
    tied = tally([bad, fine], {}, 1)
    assert max(tied, key=lambda label: tied[label]) == "bad"
    assert tally([fine], {"good": 0.5, "bad": 0.5}, 3) == {"good": 0.625, "bad": 0.375}


def test_coverage_overlap_conflict_and_accuracy_are_counted() -> None:
    counted = Tally({"a": "x", "b": "x", "c": "y"})
    counted.add(["a", "b"], "x", "x")
    counted.add(["a", "c"], "x", "y")
    counted.add(["c"], "y", "y")
    counted.add([], None, "x")
    facts = counted.facts()
    a, b, c = facts["rules"]
    assert (a["coverage"], a["overlap"], a["conflict"], a["accuracy"]) == (0.5, 0.5, 0.25, 0.5)
    assert (b["votes"], b["conflict"], b["accuracy"]) == (1, 0.0, 1.0)
    assert (c["coverage"], c["overlap"], c["accuracy"]) == (0.5, 0.25, 1.0)
    assert (facts["coverage"], facts["labels"]) == (0.75, {"x": 2, "y": 1})
    assert facts["accuracy"] == pytest.approx(2 / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([], "has no list of rules"),
        ([{"label": "x"}], "rule x-1 has no condition"),
        ([{"label": "x", "any": ["("]}], r"rule x-1: '\(' is no regular expression"),
        ([{"label": "x", "words": ["a"], "min_words": 2}], "min_words = 2, and it has 1 words"),
        ([{"label": "x", "words": [" "]}], "one of its words is empty"),
        ([{"label": "x", "words": ["a"], "weight": 0}], r"rules.1.weight = 0"),
        ([{"label": "x", "word": ["a"]}], "did you mean words"),
        ([{"words": ["a"]}], "rules.1.label is not given"),
        (["bad"], "rule bad-1 has no condition"),
        (
            [{"label": "x", "words": ["a"], "name": "n"}, {"label": "y", "words": ["b"], "name": "n"}],
            "the name n",
        ),
    ],
)
def test_a_rule_that_cannot_be_is_an_error_that_names_it(given: Any, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=problem):
        rules(tmp_path, *given)


@pytest.mark.parametrize("label", ["", "  "])
def test_a_rule_without_a_label_is_refused(label: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rules\.2\.label is empty"):
        rules(tmp_path, {"label": "好", "words": ["a"]}, {"label": label, "words": ["b"]})
