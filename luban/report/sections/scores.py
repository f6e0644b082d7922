"""Parts about scores: the ladder, each scored model, the golden check."""

from __future__ import annotations

from luban.report.charts import reliability_chart, whisker_chart
from luban.report.facts import Run
from luban.report.ladder import Ladder, Prediction, Rung
from luban.report.markup import Html, Section, element, figure, folded, join, quoted, table
from luban.report.wording import decimal, duration, language, magnitude, percent, score, shorten, whole

MAX_LABELS = 14
MAX_CLASS_ROWS = 60


def ladder_section(run: Run) -> Section | None:
    """Compare the models that were scored on the same rows."""
    scored = [_language_model(run)] if any("bits_per_byte" in r.metrics for r in run.rungs) else []
    parts = [*(_ladder(ladder) for ladder in run.ladders), *scored]
    if not parts:
        return None
    lead = element(
        "p",
        "Each score stands with its bootstrap interval, [low, high]. Where two intervals overlap widely, "
        "ask ",
        element("code", "luban compare"),
        " for the paired test before calling one model better.",
    )
    return Section("ladder", "The ladder", "模型阶梯", join(lead, parts))


def models_section(run: Run) -> Section | None:
    """Show how each scored classifier errs."""
    rungs = [r for ladder in run.ladders for r in ladder.rungs if r.confusion or r.calibration or r.mistakes]
    if not rungs:
        return None
    best = [id(ladder.best) for ladder in run.ladders]
    return Section(
        "models", "Model by model", "逐个模型", join([_model(r, is_open=id(r) in best) for r in rungs])
    )


def golden_section(run: Run) -> Section | None:
    """Show whether the copies that people use answer as the trained model did."""
    if not run.golden:
        return None
    rows = [
        (
            golden.model or golden.stage.name,
            copy.copy,
            verdict(copy.verdict),
            "–" if copy.max_difference is None else f"{copy.max_difference:.2g}",
            whole(copy.prompts),
            copy.note,
        )
        for golden in run.golden
        for copy in golden.copies
    ]
    head = ("model", "copy", "verdict", "largest difference", "prompts", "note")
    lead = element(
        "p", "Prompts recorded at the end of training, replayed against each copy: ids, logits and text."
    )
    return Section("golden", "Golden check", "黄金样本校验", join(lead, table(head, rows, numbers=(3, 4))))


def verdict(passed: bool | None) -> Html:
    """Return a verdict in words and a sign, not in colour alone."""
    if passed is None:
        return element("span", "not checked", class_="soft")
    return element("span", "✓ passed" if passed else "✗ failed", class_="good" if passed else "bad")


def _ladder(ladder: Ladder) -> Html:
    rows = [
        (
            _named(rung, rung is ladder.best),
            score(rung.metrics.get("accuracy")),
            score(rung.metrics.get("macro_f1")),
            magnitude(rung.parameters),
            duration(rung.train_seconds),
            decimal(rung.latency_ms, 1),
        )
        for rung in ladder.rungs
    ]
    head = ("model", "accuracy", "macro-F1", "parameters", "training", "latency, ms")
    charts = []
    for name, caption in (("accuracy", "Accuracy"), ("macro_f1", "Macro-F1")):
        scored = [(r.title, r.metrics[name]) for r in ladder.rungs if name in r.metrics]
        if scored:
            charts.append(
                figure(
                    f"{caption} with its interval",
                    whisker_chart(scored, ladder.best.title if ladder.best else None),
                )
            )
    n = next((s.n for r in ladder.rungs if (s := r.metrics.get("accuracy"))), None)
    rows_text = f" · {whole(n)} rows" if n else ""
    spoken = f"{language(ladder.language)} · " if ladder.language else ""
    return element(
        "div",
        element("h3", f"{spoken}{ladder.data}"),
        element("p", f"{ladder.split} split{rows_text}", class_="soft"),
        table(head, rows, numbers=(1, 2, 3, 4, 5)),
        element("div", charts, class_="figures"),
    )


def _named(rung: Rung, best: bool) -> Html:
    source = rung.model.source("model") if rung.model else None
    about = [rung.model.name if rung.model else rung.stage.name, f"from {source.label}" if source else ""]
    return join(
        element("b", rung.title),
        element("span", "best", class_="badge") if best else None,
        element("small", " · ".join(a for a in about if a), class_="soft block"),
    )


def _language_model(run: Run) -> Html:
    rows = [
        (
            rung.model.name if rung.model else rung.stage.name,
            rung.stage.facts.text("split", "test"),
            score(rung.metrics["bits_per_byte"]),
            magnitude(rung.parameters),
        )
        for rung in run.rungs
        if "bits_per_byte" in rung.metrics
    ]
    made = table(("model", "split", "bits per byte", "parameters"), rows, numbers=(2, 3))
    return element("div", element("h3", "Language models"), made)


def _model(rung: Rung, is_open: bool) -> Html:
    name = rung.model.name if rung.model else rung.stage.name
    body = element(
        "div", element("div", _confusion(rung), _per_class(rung)), _reliability(rung), class_="figures"
    )
    return element(
        "details",
        element(
            "summary", element("b", name), f" {rung.title} · accuracy {score(rung.metrics.get('accuracy'))}"
        ),
        element("div", body, _mistakes(rung), _signature(rung), class_="folded"),
        open=is_open,
    )


def _confusion(rung: Rung) -> Html | None:
    if not rung.confusion:
        return None
    if len(rung.labels) > MAX_LABELS:
        return figure("Labels most often confused", _confused_pairs(rung))
    head = ["true ↓ predicted →", *(quoted(label, 24) for label in rung.labels)]
    rows = []
    for label, counts in zip(rung.labels, rung.confusion, strict=True):
        total = sum(counts)
        cells = [_heat(n, total) for n in counts]
        rows.append(element("tr", element("th", quoted(label, 24), scope="row"), cells))
    grid = element(
        "table",
        element("thead", element("tr", [element("th", h) for h in head])),
        element("tbody", rows),
        class_="heat",
    )
    return figure(
        "Confusion: rows and their share of the true label", element("div", grid, class_="wide", tabindex="0")
    )


def _heat(n: int, total: int) -> Html:
    share = n / total if total else 0.0
    return element("td", whole(n), element("small", percent(n, total)), style=f"--share:{60 * share:.0f}%")


def _confused_pairs(rung: Rung) -> Html:
    pairs = sorted(
        (
            (n, rung.labels[i], rung.labels[j], sum(counts))
            for i, counts in enumerate(rung.confusion)
            for j, n in enumerate(counts)
            if i != j and n
        ),
        reverse=True,
    )[:MAX_LABELS]
    rows = [
        (quoted(true, 40), quoted(said, 40), whole(n), percent(n, total)) for n, true, said, total in pairs
    ]
    return table(("true", "predicted", "rows", "of the true label"), rows, numbers=(2, 3))


def _reliability(rung: Rung) -> Html | None:
    if not rung.calibration:
        return None
    error = rung.metrics.get("calibration_error") or rung.metrics.get("ece")
    caption = f"Calibration: error {score(error)}" if error else "Calibration"
    hint = element(
        "p", "On the dashed line the model is as often right as it is sure; bars count rows.", class_="soft"
    )
    return figure(caption, reliability_chart(rung.calibration), hint)


def _per_class(rung: Rung) -> Html | None:
    if not rung.per_class:
        return None
    names = ("precision", "recall", "f1")
    rows = [
        (quoted(label, 40), *(decimal(values.get(n)) for n in names), whole(values.get("support")))
        for label, values in list(rung.per_class.items())[:MAX_CLASS_ROWS]
    ]
    return table(("label", *names, "rows"), rows, numbers=(1, 2, 3, 4))


def _mistakes(rung: Rung) -> Html | None:
    if not rung.mistakes:
        return None
    items = [_mistake(m) for m in rung.mistakes]
    return join(element("h4", "Wrong, and surest of it"), element("ul", items, class_="mistakes"))


def _mistake(row: Prediction) -> Html:
    sure = f" at {row.probability:.2f}" if row.probability is not None else ""
    said = join("said ", quoted(row.predicted, 40), sure, ", is ", quoted(row.label, 40))
    return element(
        "li",
        element("blockquote", quoted(row.text)),
        element("p", said, " · ", element("code", shorten(row.id, 40)), class_="soft"),
    )


def _signature(rung: Rung) -> Html | None:
    if not rung.signature:
        return None
    others = [(name.replace("_", " "), score(value), whole(value.n)) for name, value in rung.metrics.items()]
    return folded(
        "every metric, and the signature",
        table(("metric", "value [low, high]", "n"), others, numbers=(1, 2)),
        element("p", element("code", rung.signature)),
    )
