"""Advice: the rules' boundaries as properties, and every model they name can be built."""

from __future__ import annotations

import itertools
import shlex
from dataclasses import asdict, replace
from typing import Any

import pytest

from luban.errors import ConfigError
from luban.models.choice import CLASSIFIERS, choose_classifier
from luban.models.families import FAMILIES
from luban.plan.advise import Advice, advise
from luban.plan.cost import cost_of
from luban.plan.facts import TASKS, Facts, Start, Wishes, read_languages
from luban.plan.rules import FEW_ROWS, MANY_ROWS, MEANWHILE, REMARKS, RULES, Outcome
from luban.tasks.task import all_tasks

ROWS = (1, 20, FEW_ROWS - 1, FEW_ROWS, 999, 5000, 19_999, 20_000, MANY_ROWS - 1, MANY_ROWS, 10_000_000)
TOKENS = (1, 10**5, 10**7, 25_000_000, 140_000_000, 675_000_000, 5_500_000_000, 10**12)
CLASSES = {"bag of words": 0, "from scratch": 1, "fine-tune": 2}
OWN = Start(name="mine", where="models/mine", family="bert", size="", parameters=40_000_000)


def labelled(rows: int, **more: Any) -> Facts:
    usual = {
        "classes": 2,
        "smallest": rows // 2,
        "mean_chars": 90.0,
        "mean_tokens": 25.0,
        "long_tokens": 40.0,
    }
    return Facts(rows=rows, **{**usual, **more})


def classified(rows: int, languages: tuple[str, ...] = ("en",), **wishes: Any) -> Advice:
    return advise(labelled(rows), Wishes(task="classify", languages=languages, **wishes))


def size_class(advice: Advice) -> tuple[int, int]:
    return CLASSES[advice.method], advice.parameters


@pytest.mark.parametrize("languages", [(), ("en",), ("zh",), ("en", "zh")])
@pytest.mark.parametrize("minutes", [0.01, 1.0, 60.0, 1e6])
@pytest.mark.parametrize("model_limit", [0.5, 10.0, 1e9])
def test_more_rows_never_advise_a_smaller_class_of_model(
    languages: tuple[str, ...], minutes: float, model_limit: float
) -> None:
    given = [
        classified(n, languages, minutes=minutes, model_limit=model_limit, data=f"{n}.csv") for n in ROWS
    ]
    classes = [size_class(advice) for advice in given]
    assert classes == sorted(classes)


@pytest.mark.parametrize("minutes", [1.0, 60.0, 1e4, 1e6, 1e9])
def test_more_text_or_time_never_advises_a_smaller_language_model(minutes: float) -> None:
    def parameters(tokens: int, minutes: float) -> int:
        return advise(Facts(tokens=tokens), Wishes(task="pretrain", minutes=minutes)).parameters

    sizes = [parameters(tokens, minutes) for tokens in TOKENS]
    assert sizes == sorted(sizes)
    assert all(parameters(tokens, 2 * minutes) >= size for tokens, size in zip(TOKENS, sizes, strict=True))


def test_enough_text_and_time_reach_every_size_of_the_ladder() -> None:
    advised = {advise(Facts(tokens=n), Wishes(task="pretrain", minutes=1e12)).parameters for n in TOKENS}
    assert len(advised) == sum(rule.task == "pretrain" and rule.when != () for rule in RULES)


@pytest.mark.parametrize("languages", [(), ("en",), ("zh",)])
def test_tiny_data_get_the_bag_of_words(languages: tuple[str, ...]) -> None:
    advice = classified(FEW_ROWS - 1, languages, minutes=1e9)
    assert (advice.method, advice.family, advice.parameters) == ("bag of words", "bag", 0)
    assert advice.reasons[0].text.startswith(f"{FEW_ROWS - 1} rows are too few")
    assert advise(labelled(5, classes=2), Wishes(task="classify")).method == "bag of words"


def test_the_language_decides_between_a_pretrained_model_and_word_counts() -> None:
    assert classified(FEW_ROWS).start == "MiniLM"
    chinese = classified(5000, ("zh",))
    assert chinese.method == "bag of words"
    assert any("MiniLM was trained on en, not zh" in reason.text for reason in chinese.reasons)
    own = advise(replace(labelled(5000), given=OWN), Wishes(task="classify", languages=("zh",)))
    assert (own.method, own.start) == ("fine-tune", "mine")
    assert shlex.split(own.command)[-2:] == ["--model", "models/mine"]


@pytest.mark.parametrize(
    ("facts", "wishes", "said"),
    [
        ({}, {"model_limit": 5.0}, "MiniLM is larger than --model-limit 5: 22.7 million parameters"),
        ({}, {"minutes": 0.1}, "longer than --minutes 0.1"),
        ({"memory": 900_000_000}, {}, "MiniLM takes 1.2 GB to train, and 0.9 GB are free"),
    ],
)
def test_a_model_beyond_a_limit_is_passed_over_and_why_is_said(
    facts: dict[str, Any], wishes: dict[str, Any], said: str
) -> None:
    advice = advise(labelled(5000, **facts), Wishes(task="classify", languages=("en",), **wishes))
    assert advice.method == "bag of words"
    assert any(said in reason.text for reason in advice.reasons)


def test_a_training_that_is_too_long_is_cut_to_the_minutes_allowed() -> None:
    whole, cut = (classified(400_000, minutes=minutes) for minutes in (1e6, 30.0))
    assert "train.steps" not in whole.command
    assert cut.start == whole.start
    assert cut.minutes == pytest.approx(30.0, rel=0.01)
    assert "train.steps=" in cut.command
    assert whole.minutes > 30.0


@pytest.mark.parametrize("rows", ROWS)
def test_classify_left_to_choose_builds_what_is_advised_from_scratch(rows: int) -> None:
    pytest.importorskip("torch", reason="classify trains with it")
    from luban.tasks.classify import advise as chosen_by_classify

    choice = choose_classifier(rows)
    settings, why = chosen_by_classify(rows)
    assert {**choice.changes, "family": choice.family, "size": choice.size}.items() <= asdict(
        settings
    ).items()
    assert str(rows) in why
    advice = classified(rows, ("zh",))
    if advice.method == "from scratch":
        assert (advice.family, advice.size, advice.changes) == (choice.family, choice.size, choice.changes)


def test_the_choices_go_from_few_rows_to_any_number() -> None:
    limits = [choice.below for choice in CLASSIFIERS]
    assert limits == sorted(set(limits))
    assert limits[-1] == float("inf")


def outcomes() -> list[Outcome]:
    return [rule.outcome for rule in RULES if rule.outcome.family not in ("", "bag")]


@pytest.mark.parametrize("outcome", outcomes(), ids=lambda o: f"{o.family}-{o.size}-{o.objective}")
def test_every_family_and_size_of_the_table_is_built(outcome: Outcome) -> None:
    config = FAMILIES[outcome.family].config(outcome.size, vocab_size=300, **dict(outcome.changes))
    assert config.family == outcome.family
    assert cost_of(outcome, Facts(rows=100, tokens=1000, mean_tokens=5.0)).parameters > 0


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_advised_on_whatever_the_facts(task: str) -> None:
    grid = itertools.product((0, 50, 10**6), (0, 10**9), (None, OWN), ((), ("zh",), ("de", "en")))
    for rows, tokens, given, languages in grid:
        facts = replace(labelled(rows), tokens=tokens, given=given, memory=10**9)
        advice = advise(facts, Wishes(task=task, languages=languages, model_limit=1.0, minutes=0.5))
        assert advice.reasons
        assert all(reason.text and reason.source for reason in advice.reasons)
        assert not any("{" in reason.text for reason in advice.reasons)


def test_only_tasks_that_luban_trains_have_a_command() -> None:
    """When a stage for such a task is written, its rules have to name it."""
    for rule in RULES:
        assert rule.outcome.trains in ("", *all_tasks())
    missing = {rule.task for rule in RULES if not rule.outcome.trains}
    assert missing == set(MEANWHILE)
    assert not missing & set(all_tasks())
    for task in missing:
        advice = advise(Facts(), Wishes(task=task))
        assert (advice.is_available, advice.command) == (False, "")
        assert advice.first == (MEANWHILE[task],)


def test_every_rule_and_remark_names_its_source_and_can_hold() -> None:
    assert {rule.task for rule in RULES} == set(TASKS)
    for entry in (*RULES, *REMARKS):
        assert entry.source
        assert all(hasattr(Facts(), name) and least < limit for name, least, limit in entry.when)


def test_text_is_prepared_from_the_stage_on_that_it_has_passed() -> None:
    def first(made_by: str) -> list[str]:
        facts = Facts(tokens=10**6, made_by=made_by)
        advice = advise(facts, Wishes(task="pretrain", data="here"))
        return [" ".join(shlex.split(line)[1:3]) for line in advice.first]

    steps = ["data clean", "data dedup", "data split", "tokenizer train", "data shard"]
    assert [first(stage) for stage in ("", "clean", "dedup", "split", "shard")] == [
        steps, steps[1:], steps[2:], steps[3:], [],
    ]  # fmt: skip
    whole = advise(Facts(tokens=10**6, made_by="shard"), Wishes(task="pretrain", data="here"))
    assert "--data here" in whole.command


def test_what_is_odd_about_the_data_is_said() -> None:
    facts = labelled(500, smallest=7, duplicates=0.25, chinese=0.0, long_tokens=200.0)
    advice = advise(facts, Wishes(task="classify", languages=("zh", "en"), model_limit=1.0))
    text = "\n".join(reason.text for reason in advice.reasons)
    for said in ("rarest class has 7 of 500", "25% of the texts", "0% of the texts are Chinese", "chance"):
        assert said in text
    tuned = advise(facts, Wishes(task="classify", languages=("en",)))
    assert "train.max_len=256" in tuned.command


def test_languages_are_read_as_people_write_them() -> None:
    assert read_languages(["zh,en", "zh-CN", "pt_BR"]) == ("zh", "en", "pt")


@pytest.mark.parametrize(
    ("word", "fix"), [("cn", "did you mean zh?"), ("English", "did you mean en?"), ("xx", "use ISO 639-1")]
)
def test_an_unknown_language_is_refused(word: str, fix: str) -> None:
    with pytest.raises(ConfigError, match=f"--languages {word} is no language code") as e:
        read_languages([word])
    assert fix in e.value.fix


@pytest.mark.parametrize(
    ("wishes", "problem"),
    [
        ({"task": "clasify"}, "--task clasify"),
        ({"task": "classify", "minutes": 0.0}, "--minutes 0 is not positive"),
        ({"task": "classify", "minutes": float("nan")}, "--minutes nan is not positive"),
        ({"task": "classify", "model_limit": -1.0}, "--model-limit -1 is not positive"),
    ],
)
def test_wishes_that_cannot_be_are_refused(wishes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Wishes(**wishes)
