"""Two training runs side by side: what was set otherwise, what came of it, and both curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luban.files import write_bytes
from luban.report.charts import Line, line_chart
from luban.report.document import document
from luban.report.markup import Html, element, figure, table
from luban.report.runs import TrainingRun
from luban.report.training import TRAIN, Points
from luban.report.wording import decimal, duration, whole

COLOURS = (0, 2)
TRANSIENT_SHARE = 0.04
"""Share of the steps, at the start, whose steep loss does not decide how tall the chart is."""


def differing_settings(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (name, first, second) of the settings that differ, nested ones by dotted names."""
    before, after = _flat(first), _flat(second)
    names = [n for n in [*before, *(n for n in after if n not in before)] if before.get(n) != after.get(n)]
    return [(n, _show(before.get(n)), _show(after.get(n))) for n in names]


def scores_beside(first: TrainingRun, second: TrainingRun) -> list[tuple[str, str, str]]:
    """Return (name, first, second) of what came of both: how far, the best and the last scores, the speed."""
    a, b = first.training, second.training
    rows = [
        ("state", first.state, second.state),
        ("steps", first.progress, second.progress),
        ("train loss, smoothed", _last(a.smooth), _last(b.smooth)),
    ]
    for kind, of in (("best", _best_scores), ("last", _last_scores)):
        one, other = of(first), of(second)
        names = [*one, *(n for n in other if n not in one)]
        rows += [(f"{kind} {_words(n)}", decimal(one.get(n), 4), decimal(other.get(n), 4)) for n in names]
    rows.append(("tokens per second", whole(a.tokens_per_second), whole(b.tokens_per_second)))
    if a.seconds and b.seconds:
        rows.append(("training time", duration(a.seconds), duration(b.seconds)))
    return rows


def write_comparison(first: TrainingRun, second: TrainingRun, out: Path) -> Path:
    """Write the page of two runs and return its path."""
    names = _names(first, second)
    settings = differing_settings(first.training.stage.settings, second.training.stage.settings)
    body = element(
        "body",
        element("header", element("h1", f"{names[0]} and {names[1]}"), *_kinds(first, second)),
        element(
            "main",
            _section("Curves", "曲线", _curves(first, second)),
            _section(
                "Settings that differ",
                "不同的设置",
                table(("", *names), settings) if settings else element("p", "None."),
            ),
            _section("Scores", "结果", table(("", *names), scores_beside(first, second), numbers=(1, 2))),
        ),
    )
    write_bytes(out, document(f"{names[0]} and {names[1]} · Luban runs", body).encode("utf-8", "replace"))
    return out


def _names(first: TrainingRun, second: TrainingRun) -> tuple[str, str]:
    """Return names that tell the two apart."""
    if first.name != second.name:
        return first.name, second.name
    folders = (first.training.stage.folder, second.training.stage.folder)
    return f"{folders[0].parent.name}/{first.name}", f"{folders[1].parent.name}/{second.name}"


def _kinds(first: TrainingRun, second: TrainingRun) -> list[Html]:
    uses = {run.training.stage.use for run in (first, second)}
    if len(uses) == 1:
        families = " and ".join(run.training.family for run in (first, second) if run.training.family)
        return [element("p", f"{uses.pop()}: {families}" if families else uses.pop())]
    told = " and ".join(run.training.stage.use for run in (first, second))
    return [element("p", f"Two tasks, {told}: their losses are not of one kind.", class_="note")]


def _curves(first: TrainingRun, second: TrainingRun) -> Html:
    names = _names(first, second)
    runs = list(zip(names, (first, second), COLOURS, strict=True))
    loss = [line for name, run, colour in runs for line in _loss_lines(name, run, colour)]
    unit = TRAIN[first.training.stage.use]
    charts = []
    if any(line.points for line in loss):
        charts.append(figure("Loss", line_chart(loss, x_name="step", y_name=f"nats per {unit}", height=320)))
    looked = dict.fromkeys(n for _, run, _ in runs for look in run.training.looks for n in look.values)
    for score in [n for n in looked if n not in ("loss", "step")]:
        lines = [Line(name, run.training.looked(score), c, dots=True) for name, run, c in runs]
        title = _words(score)
        charts.append(figure(f"Validation {title}", line_chart(lines, x_name="step", y_name=title)))
    for title, key in (("Learning rate", "lr"), ("Gradient norm", "grad_norm")):
        lines = [Line(name, getattr(run.training, key), c) for name, run, c in runs]
        if any(line.points for line in lines):
            charts.append(figure(title, line_chart(lines, x_name="step", y_name="", height=180)))
    return element("div", charts, class_="figures")


def _loss_lines(name: str, run: TrainingRun, colour: int) -> list[Line]:
    training = run.training
    steps = max([x for x, _ in training.smooth], default=0.0)
    settled = tuple((x, y) for x, y in training.smooth if x >= TRANSIENT_SHARE * steps)
    looked = tuple((x, y) for x, y in training.looked("loss") if x >= TRANSIENT_SHARE * steps)
    return [
        Line(f"{name}, train", settled, colour),
        Line(f"{name}, validation", looked, colour, dots=True, dashed=True),
    ]


def _best_scores(run: TrainingRun) -> dict[str, float]:
    best = {k: v for k, v in run.training.best.values.items() if k != "step"}
    return best or dict([run.best] if run.best else [])


def _last_scores(run: TrainingRun) -> dict[str, float]:
    return dict(run.training.looks[-1].values) if run.training.looks else {}


def _last(points: Points) -> str:
    return decimal(points[-1][1], 4) if points else "–"


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return flat


def _words(name: str) -> str:
    return name.replace("_", " ")


def _section(title: str, title_zh: str, body: Html) -> Html:
    return element("section", element("h2", f"{title} ", element("small", title_zh, lang="zh")), body)


def _show(value: Any) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
