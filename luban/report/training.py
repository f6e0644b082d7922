"""What happened while a model trained: curves, samples, speed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from luban.report.chain import StageRun
from luban.report.gap import Gap, gap_of
from luban.report.reading import Part, language_of, read_rows

T = TypeVar("T")
Points = tuple[tuple[float, float], ...]

MAX_POINTS = 240
"""A curve with more points is thinned: a screen cannot show them and the page should stay small."""
MAX_LOOKS = 24


@dataclass(frozen=True, slots=True)
class Sample:
    """What the model wrote after a prompt at some step."""

    step: int
    prompt: str
    text: str

    @property
    def language(self) -> str:
        """Language of the prompt, or of what follows it."""
        return language_of(self.prompt) or language_of(self.text)


@dataclass(frozen=True, slots=True)
class Look:
    """One evaluation on the validation split, or the state that a manifest names."""

    step: int | None
    values: dict[str, float] = field(default_factory=dict)


METRICS = "metrics.jsonl"
TRAIN = {"pretrain": "target", "classify": "row", "chat": "target", "vectors": "pair", "bag": "row"}
"""Stages that train, and what their loss is a mean over."""


@dataclass(frozen=True, slots=True)
class Training:
    """One training stage."""

    stage: StageRun
    family: str
    counts: dict[str, float]
    seconds: float | None
    loss: Points
    smooth: Points
    """The loss without its noise."""
    lr: Points
    grad_norm: Points
    looks: tuple[Look, ...]
    samples: dict[str, tuple[Sample, ...]]
    """By prompt, in the order of steps."""
    first: Look
    best: Look
    tokens_per_second: float | None
    matmul_share: float | None
    stopped: str
    warnings: tuple[str, ...]
    gap: Gap | None

    def looked(self, name: str) -> Points:
        """Return one validation value over the steps."""
        return tuple((look.step or 0, look.values[name]) for look in self.looks if name in look.values)

    @property
    def is_language_model(self) -> bool:
        """Whether it predicts tokens, not classes."""
        return self.stage.use == "pretrain"

    @property
    def bits_per_byte(self) -> tuple[float | None, float | None]:
        """Bits per byte on the validation split before training and at the best step."""
        return self.first.values.get("bits_per_byte"), self.best.values.get("bits_per_byte")


def read_trainings(stages: tuple[StageRun, ...], notes: list[str]) -> tuple[Training, ...]:
    """Return what each training stage of a run did."""
    return tuple(read_training(s, notes) for s in stages if s.use in TRAIN)


def smoothed(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the curve's running mean, over about a thirtieth of it."""
    weight, total, smooth = 1 - 1 / max(1, len(points) / 30), 0.0, []
    for i, (x, y) in enumerate(points, start=1):
        total = weight * total + (1 - weight) * y
        smooth.append((x, total / (1 - weight**i)))
    return smooth


def thin(points: list[T], most: int = MAX_POINTS) -> tuple[T, ...]:
    """Keep at most `most` entries, evenly, the first and the last among them."""
    if len(points) <= most:
        return tuple(points)
    return tuple(points[round(i * (len(points) - 1) / (most - 1))] for i in range(most))


def read_training(stage: StageRun, notes: list[str]) -> Training:
    """Return what a training stage did, or has done so far."""
    facts = stage.facts
    lines: dict[str, list[tuple[float, float]]] = {"loss": [], "lr": [], "grad_norm": []}
    looks: dict[int, Look] = {}
    samples: dict[str, dict[int, Sample]] = {}
    warnings: list[str] = []
    for row in read_rows(stage.folder / METRICS, f"{stage.name}/{METRICS}", notes):
        step = row.count("step")
        if step is None:
            continue
        if "sample" in row.data:
            _add(samples, row.part("sample"), step)
        elif "warning" in row.data:
            warnings.append(row.text("warning"))
        elif "validation" in row.data:
            looks[step] = Look(step, row.part("validation").numbers())
        else:
            for name, points in lines.items():
                value = row.number(name)
                if value is not None:
                    points.append((float(step), value))
    if not samples:
        for part in facts.parts("samples"):
            _add(samples, part, part.count("step") or 0)
    seen = sorted(looks)
    return Training(
        stage=stage,
        family=facts.text("family"),
        counts=facts.part("counts").numbers(),
        seconds=facts.number("train_seconds"),
        loss=thin(sorted(lines["loss"])),
        smooth=thin(smoothed(sorted(lines["loss"]))),
        lr=thin(sorted(lines["lr"])),
        grad_norm=thin(sorted(lines["grad_norm"])),
        looks=thin([looks[s] for s in seen]),
        samples={p: thin([by[s] for s in sorted(by)], MAX_LOOKS) for p, by in samples.items()},
        first=_state(facts, "first", looks[seen[0]] if seen and seen[0] == 0 else Look(None)),
        best=_state(facts, "best", _best(looks)),
        tokens_per_second=facts.number("tokens_per_second"),
        matmul_share=facts.number("matmul_share"),
        stopped=facts.text("stopped"),
        warnings=facts.texts("warnings") or tuple(warnings),
        gap=gap_of(facts.data, stage.settings),
    )


def _add(samples: dict[str, dict[int, Sample]], part: Part, step: int) -> None:
    prompt = part.text("prompt")
    samples.setdefault(prompt, {})[step] = Sample(step, prompt, part.text("text"))


def _state(facts: Part, key: str, otherwise: Look) -> Look:
    part = facts.part(key)
    return Look(part.count("step"), part.numbers()) if part.data else otherwise


def _best(looks: dict[int, Look]) -> Look:
    with_loss = [look for look in looks.values() if "loss" in look.values]
    return min(with_loss, key=lambda look: look.values["loss"], default=Look(None))
