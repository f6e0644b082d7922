"""Every training stage gets its certificate, and a run that failed one is refused."""

import dataclasses
from pathlib import Path

import pytest

import luban.models.attention
import luban.train.saving
from luban.cli.stage import one_stage
from luban.config import Tree
from luban.errors import ConfigError, DataError, GateError
from luban.files import read_json, write_jsonl
from luban.log import Log
from luban.recipe import Recipe, build_recipe
from luban.runner import run_recipe
from luban.tasks.certify import PROOFS, Certificate, certify, divided_otherwise, training_stages
from luban.tasks.classify_settings import ClassifySettings
from luban.tasks.settings import PretrainSettings
from luban.train.certificate import CERTIFICATE
from tests.tasks.test_chat import inputs
from tests.tasks.test_classify import rows
from tests.tasks.test_pretrain import write_shards

QUIET = Log(quiet=True)
__all__ = ["inputs"]
COMMON = ["train.threads=1", "train.device=cpu"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certify")
    write_shards(folder / "shards")
    write_jsonl(folder / "rows.jsonl", rows())
    # Numbers make lines that no filter takes for repeated.
    lines = (f"the old cat {i} sat on the red mat and the dog {i * 7} saw the cat\n" for i in range(200))
    (folder / "texts.txt").write_text("".join(lines))
    return folder


def recipe(data: Path, out: Path, stage: str) -> Recipe:
    inputs: dict[str, Path | str | None] = {
        "pretrain": {"shards": data / "shards"},
        "classify": {"data": data / "rows.jsonl"},
        "vectors": {"data": data / "texts.txt"},
    }[stage]
    sets = {
        "pretrain": ["model={family: bert, dim: 32, n_layers: 1, n_heads: 2, max_len: 64, dropout: 0.1}",
                     "context=16", "batch_size=4", "steps=4"],
        "classify": ["model={family: recurrent, dim: 16}", "vocab_size=300", "tokens_per_batch=256", "steps=4"],
        "vectors": ["steps=4", "dim=16", "min_count=1", "context=16", "batch_size=8"],
    }[stage]  # fmt: skip
    return one_stage(stage, "train", inputs, out, sets=[*COMMON, *(f"train.{s}" for s in sets)])


def certificate(graph: Recipe, name: str = "train") -> Certificate:
    *_, last = certify(graph, name, QUIET)
    assert isinstance(last, Certificate)
    return last


def verdicts(made: Certificate) -> dict[str, str]:
    return {p.name: p.verdict for p in made.properties}


@pytest.mark.parametrize("stage", ["pretrain", "classify", "vectors"])
def test_every_stage_that_trains_is_certified(data, tmp_path, stage):
    made = certificate(recipe(data, tmp_path / "out", stage))
    wrong = [p for p in made.properties if p.verdict == "fails"]
    assert not wrong
    assert made.holds
    assert list(verdicts(made)) == list(PROOFS)
    held = {name for name, verdict in verdicts(made).items() if verdict == "holds"}
    assert held >= {"packed", "accumulated", "sampled", "resumed", "exported"}
    assert made.model["small"]["parameters"] <= made.model["own"]["parameters"]
    assert not (tmp_path / "out").exists()


def test_chat_with_adapters_is_certified(inputs, tmp_path):
    sets = [f"train.{s}" for s in ("steps=4", "tokens_per_batch=256", "lora.rank=4", "recompute=all")]
    made = certificate(one_stage("chat", "train", dict(inputs), tmp_path / "out", sets=[*COMMON, *sets]))
    assert verdicts(made) == dict.fromkeys(PROOFS, "holds") | {"compiled": "does not apply"}, made.properties


def test_a_run_that_was_refuted_is_refused_until_it_names_the_property(data, tmp_path, monkeypatch):
    graph = recipe(data, tmp_path / "out", "classify")
    with monkeypatch.context() as planted:
        planted.setattr(luban.train.saving, "load_optimizer", lambda *args: None)
        made = certificate(graph)
    assert verdicts(made)["resumed"] == "fails"
    assert not made.holds
    with pytest.raises(GateError, match="train is not resumed"):
        run_recipe(graph, QUIET)
    task = graph.tasks[0]
    forced = dataclasses.replace(task, settings=dataclasses.replace(task.settings, unproven=("resumed",)))
    run_recipe(dataclasses.replace(graph, tasks=(forced,)), QUIET)
    assert read_json(tmp_path / "out" / CERTIFICATE)["holds"] is False


def test_a_certificate_that_holds_stands_in_the_run_that_follows(data, tmp_path):
    graph = recipe(data, tmp_path / "out", "pretrain")
    made = certificate(graph)
    run_recipe(graph, QUIET)
    kept = read_json(tmp_path / "out" / CERTIFICATE)
    assert kept["key"] == made.key
    assert kept["properties"][0]["name"] == "packed"


def test_a_leaking_mask_fails_the_packed_property_of_a_real_stage(data, tmp_path, monkeypatch):
    mask = luban.models.attention._mask
    monkeypatch.setattr(
        luban.models.attention,
        "_mask",
        lambda layout, *rest: mask(dataclasses.replace(layout, documents=None), *rest),
    )
    made = certificate(recipe(data, tmp_path / "out", "pretrain"))
    assert verdicts(made)["packed"] == "fails"


def graph_of(data: Path, out: Path) -> Recipe:
    stages = Tree(
        {
            "clean": {"use": "clean", "from": {"raw": str(data / "texts.txt")}},
            "words": {"use": "vectors", "from": {"data": "clean"}},
            "bag": {"use": "bag", "from": {"data": str(data / "rows.jsonl")}},
        }
    )
    return build_recipe("toy", out, stages)


def test_the_stages_that_train_are_found_by_name(data, tmp_path):
    graph = graph_of(data, tmp_path)
    assert training_stages(graph) == ["words"] == training_stages(graph, "words")
    with pytest.raises(ConfigError, match="toy has no training stage bag; those that train: words"):
        training_stages(graph, "bag")


def test_an_input_that_is_not_made_yet_names_its_stage(data, tmp_path):
    with pytest.raises(DataError, match="the stage clean has not made it") as e:
        certificate(graph_of(data, tmp_path), "words")
    assert "luban run toy" in e.value.fix


def test_an_input_that_is_out_of_date_is_taken_as_it_is(data, tmp_path, capsys):
    graph = graph_of(data, tmp_path)
    run_recipe(dataclasses.replace(graph, tasks=graph.tasks[:1]), QUIET)
    clean = dataclasses.replace(graph.task("clean").settings, min_chars=1)
    changed = [dataclasses.replace(t, settings=clean) if t.name == "clean" else t for t in graph.tasks]
    next(certify(dataclasses.replace(graph, tasks=tuple(changed)), "words", Log()))
    assert "taken as it is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "n", "size"),
    [
        (PretrainSettings(batch_size=8), 2, 4),
        (PretrainSettings(batch_size=4, n_micro_batches=2), 1, 8),
        (PretrainSettings(batch_size=9), 3, 3),
        (PretrainSettings(batch_size=1), 1, 1),
        (ClassifySettings(tokens_per_batch=2048), 2, 1024),
    ],
)
def test_steps_are_divided_into_another_number_of_parts(settings, n, size):
    found = divided_otherwise(settings)
    assert found.n_micro_batches == n
    assert getattr(found, "batch_size", None) or found.tokens_per_batch == size
    assert getattr(found, "batch_size", size) == size


@pytest.mark.parametrize(
    "method",
    ["prefix", *(pytest.param(name, marks=pytest.mark.slow) for name in ("prompt", "bottleneck"))],
)
def test_what_is_tuned_beside_the_weights_is_proven_too(method, data, tmp_path):
    sets = ["model={family: bert, dim: 16, n_layers: 1, n_heads: 2, max_len: 64}", "vocab_size=300", "steps=4",
            "tokens_per_batch=256", f"method={method}", "front.n=4", "bottleneck.width=4"]  # fmt: skip
    graph = one_stage(
        "classify", "train", {"data": data / "rows.jsonl"}, tmp_path / "out",
        sets=[*COMMON, *(f"train.{s}" for s in sets)],
    )  # fmt: skip
    found = {p.name: p for p in certificate(graph).properties}
    assert {name: p.words for name, p in found.items() if p.verdict == "fails"} == {}
    assert {"accumulated", "resumed", "exported"} <= {n for n, p in found.items() if p.verdict == "holds"}
    assert "transformers alone does not read it" in found["exported"].words
