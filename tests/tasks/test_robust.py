"""Perturbed copies and sets from elsewhere are scored beside the rows, by the same scorer."""

import pytest

import luban
from luban.errors import ConfigError
from luban.files import read_json, write_jsonl
from luban.log import Log
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.runner import run_recipe
from luban.tasks.robust_settings import RobustSettings
from luban.tasks.score import score
from luban.tasks.settings import ScoreSettings
from luban.tokenizer.train import train_bpe

QUIET = Log(quiet=True)
GOOD, BAD = ("wonderful", "lovely", "brilliant"), ("terrible", "dreadful", "boring")


def rows(n=80, part="test"):
    return [
        {
            "text": f"{('A', 'The')[i % 3 % 2]} {(GOOD, BAD)[i % 2][i // 2 % 3]} film, number {i}",
            "label": ("good", "bad")[i % 2],
            "split": part if i >= n // 2 else "train",
        }
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    pytest.importorskip("sklearn", reason="the quickest model to score is the baseline")
    from luban.cli.stage import one_stage

    folder = tmp_path_factory.mktemp("bag")
    write_jsonl(
        folder / "rows.jsonl",
        [{**r, "split": ("dev", "test")[i % 3 > 0] if i >= 40 else "train"} for i, r in enumerate(rows())],
    )
    words = ["train.characters=0"]  # counts of characters would see through typos
    inputs = {"data": folder / "rows.jsonl"}
    run_recipe(one_stage("bag", "train", inputs, folder / "model", sets=words), QUIET)
    return folder / "model", folder / "rows.jsonl"


def scored(trained, out, *domains, **settings):
    out.mkdir(exist_ok=True)
    inputs = {"model": trained[0], "data": trained[1]}
    inputs |= {f"domain:{i}" if i > 1 else "domain": path for i, path in enumerate(domains, 1)}
    return score(ScoreSettings(resamples=50, **settings), inputs, out, QUIET)


def test_typos_cost_a_bag_of_words_its_score_and_only_test_rows_are_perturbed(trained, tmp_path):
    facts = scored(trained, tmp_path / "s", robust=RobustSettings(kinds=("typos", "case"), share=1.0))
    typos, case = facts["robust"]["typos"], facts["robust"]["case"]
    n = facts["counts"]["n"]
    assert typos["n"] == case["n"] == typos["changed"] == n < 40
    lost = typos["metrics"]["accuracy"]
    assert lost["first"] == facts["metrics"]["accuracy"]["value"] == 1
    assert lost["second"] < 0.9
    assert lost["value"] == pytest.approx(lost["second"] - 1)
    assert lost["low"] <= lost["value"] <= lost["high"] < 0
    assert case["metrics"]["accuracy"]["value"] == 0  # it does not see case
    assert read_json(tmp_path / "s" / "scores.json") == facts


def test_the_same_seed_makes_the_same_copies(trained, tmp_path):
    found = [
        scored(trained, tmp_path / str(i), robust=RobustSettings(kinds=("typos",), share=0.5, seed=seed))[
            "robust"
        ]
        for i, seed in enumerate((3, 3, 4))
    ]
    assert found[0] == found[1] != found[2]


def test_a_set_from_elsewhere_stands_beside_the_one_in_domain(trained, tmp_path):
    other = [
        {"text": f"a {('superb', 'ghastly')[i % 2]} meal", "label": ("good", "bad")[i % 2]} for i in range(30)
    ]
    write_jsonl(tmp_path / "meals.jsonl", other)
    facts = scored(trained, tmp_path / "s", tmp_path / "meals.jsonl", domains=("meals",))
    found = facts["domains"]["meals"]
    assert found["n"] == 30
    drop = found["drop"]["accuracy"]
    assert drop["second"] == found["metrics"]["accuracy"]["value"] < 1
    assert drop["value"] == pytest.approx(drop["second"] - facts["metrics"]["accuracy"]["value"])
    assert drop["high"] < 0
    with pytest.raises(ConfigError, match=r"domains = \['a', 'b'\] does not name 1 sets"):
        scored(trained, tmp_path / "s", tmp_path / "meals.jsonl", domains=("a", "b"))


def test_questions_with_choices_are_perturbed_and_their_choices_are_not(tmp_path):
    """Rows without an id are found again by their lines, also where a split column leaves some out."""
    tokenizer = train_bpe(
        ["Which city is it really? 哪个城市 北京 上海 north south"] * 3, 300, template=False
    )
    config = FAMILIES["gpt2"].config("tiny", dim=16, n_layers=1, max_len=64, vocab_size=tokenizer.vocab_size)
    luban.save(build_model(config), tokenizer, tmp_path / "model")
    table = [
        {"question": f"Which city is it, {i}?", "choices": ["north", "south"], "answer": 0, "split": ("train", "test")[i % 2]}
        for i in range(8)
    ]  # fmt: skip
    write_jsonl(tmp_path / "q.jsonl", table)
    facts = scored(
        (tmp_path / "model", tmp_path / "q.jsonl"),
        tmp_path / "s",
        robust=RobustSettings(kinds=("case", "script")),
    )
    assert facts["robust"]["case"]["n"] == facts["robust"]["case"]["changed"] == 4
    assert "script" not in facts["robust"]
