"""Scored models side by side: the rungs of one ladder share their rows."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from itertools import count

from luban.report.chain import StageRun
from luban.report.reading import Part, language_of, read_rows

MAX_MISTAKES = 6


@dataclass(frozen=True, slots=True)
class Score:
    """A value with its bootstrap interval."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """One scored row."""

    id: str
    text: str
    label: str
    predicted: str
    probability: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows with a probability between low and high: how sure, and how often right."""

    low: float
    high: float
    confidence: float
    accuracy: float
    n: int


@dataclass(frozen=True, slots=True)
class Rung:
    """One scored model."""

    stage: StageRun
    model: StageRun | None
    title: str
    order: int
    metrics: dict[str, Score]
    parameters: float | None
    train_seconds: float | None
    latency_ms: float | None
    signature: str
    per_class: dict[str, dict[str, float]]
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration: tuple[Bin, ...]
    mistakes: tuple[Prediction, ...]
    """The wrong predictions that the model was surest of."""
    language: str


@dataclass(frozen=True, slots=True)
class Ladder:
    """Rungs that were scored on the same rows, from the simplest model up."""

    data: str
    split: str
    language: str
    rungs: tuple[Rung, ...]

    @property
    def best(self) -> Rung | None:
        """The rung with the highest accuracy."""
        scored = [r for r in self.rungs if "accuracy" in r.metrics]
        return max(scored, key=lambda r: r.metrics["accuracy"].value, default=None)


def read_rungs(stages: tuple[StageRun, ...], notes: list[str]) -> tuple[Rung, ...]:
    """Return every scored model of a run."""
    return tuple(_read(s, stages, notes) for s in stages if s.use == "evaluate")


def build_ladders(rungs: tuple[Rung, ...]) -> tuple[Ladder, ...]:
    """Group scored classifiers by the rows they were scored on."""
    groups: dict[tuple[str, str], list[Rung]] = {}
    for rung in rungs:
        if "accuracy" in rung.metrics:
            data = rung.stage.source("data")
            split = rung.stage.facts.text("split", "test")
            groups.setdefault((data.key or data.label if data else "", split), []).append(rung)
    ladders = []
    for (_, split), members in groups.items():
        data = members[0].stage.source("data")
        language = next((r.language for r in members if r.language), "")
        ordered = sorted(members, key=lambda r: (r.order, r.parameters or 0))
        ladders.append(Ladder(data.label if data else "?", split, language, _distinct(ordered)))
    return tuple(ladders)


def _distinct(rungs: list[Rung]) -> tuple[Rung, ...]:
    """Tell rungs of the same kind apart by their folders."""
    kinds = [r.title for r in rungs]
    return tuple(
        replace(r, title=f"{r.title}, {(r.model or r.stage).name}") if kinds.count(r.title) > 1 else r
        for r in rungs
    )


def _read(stage: StageRun, stages: tuple[StageRun, ...], notes: list[str]) -> Rung:
    facts, source = stage.facts, stage.source("model")
    model = next((s for s in stages if source and s.name == source.stage), None)
    title, order = _title(facts, model, source.label if source else "model")
    trained = model.facts if model else Part({}, stage.name, notes)
    counts = trained.part("counts")
    mistakes, language = _read_predictions(stage, notes)
    return Rung(
        stage=stage,
        model=model,
        title=title,
        order=order,
        metrics={k: s for k, p in facts.part("metrics").children().items() if (s := _score(p))},
        parameters=facts.number("parameters") or counts.number("parameters") or counts.number("features"),
        train_seconds=trained.number("train_seconds") or (model.seconds if model else None),
        latency_ms=facts.number("latency_ms"),
        signature=facts.text("signature"),
        per_class={k: p.numbers() for k, p in facts.part("per_class").children().items()},
        labels=facts.part("confusion").texts("labels"),
        confusion=_confusion(facts.part("confusion")),
        calibration=tuple(b for p in facts.parts("calibration") if (b := _bin(p))),
        mistakes=mistakes,
        language=language,
    )


def _title(facts: Part, model: StageRun | None, label: str) -> tuple[str, int]:
    """Name a rung in words, and say how high it stands."""
    family = facts.text("family") or (model.facts.text("family") if model else "")
    if family == "bag":
        return "Bag of words", 0
    start = model.source("model") if model else None
    if start is not None:
        return f"Pretrained {family}, fine-tuned".replace("  ", " "), 3
    if model is None:
        return label, 4
    if family == "recurrent":
        return "Recurrent network from scratch", 1
    return f"Transformer ({family or '?'}) from scratch", 2


def _score(part: Part) -> Score | None:
    value = part.number("value")
    if value is None:
        return None
    return Score(value, part.number("low"), part.number("high"), part.count("n"))


def _confusion(part: Part) -> tuple[tuple[int, ...], ...]:
    """Return the counts, or nothing where they do not form a square over the labels."""
    n = len(part.texts("labels"))
    rows = [r for r in part.values("counts") if isinstance(r, list) and all(isinstance(c, int) for c in r)]
    if len(rows) != n or any(len(r) != n for r in rows):
        part.notes.append(f"{part.where}: counts do not fit the {n} labels")
        return ()
    return tuple(tuple(r) for r in rows)


def _bin(part: Part) -> Bin | None:
    low, high, n = part.number("low"), part.number("high"), part.count("n")
    confidence, accuracy = part.number("confidence"), part.number("accuracy")
    if low is None or high is None or confidence is None or accuracy is None or not n:
        return None  # an empty bin has no confidence and no accuracy
    return Bin(low, high, confidence, accuracy, n)


def _read_predictions(stage: StageRun, notes: list[str]) -> tuple[tuple[Prediction, ...], str]:
    """Return the surest mistakes, and the language that most of the first rows are in."""
    surest: list[tuple[float, int, Prediction]] = []
    number, seen = count(), list[str]()
    for row in read_rows(stage.folder / "predictions.jsonl", f"{stage.name}/predictions.jsonl", notes):
        made = Prediction(
            row.text("id"),
            row.text("text"),
            row.text("label"),
            row.text("predicted"),
            row.number("probability"),
        )
        if len(seen) < 60:
            seen.append(language_of(made.text))
        if made.label != made.predicted:
            entry = (made.probability or 0.0, -next(number), made)
            (heapq.heappushpop if len(surest) >= MAX_MISTAKES else heapq.heappush)(surest, entry)
    language = max(("zh", "en"), key=seen.count) if seen else ""
    return tuple(e[2] for e in sorted(surest, reverse=True)), language if language in seen else ""
