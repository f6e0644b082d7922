"""Parts about training: curves over the steps, and what the model writes on the way."""

from __future__ import annotations

from luban.report.charts import Line, line_chart
from luban.report.facts import Run
from luban.report.markup import Html, Section, element, figure, folded, join, quoted
from luban.report.training import TRAIN, Sample, Training
from luban.report.wording import decimal, duration, magnitude, percent, whole

OPEN_SAMPLES = 4


def curves_section(run: Run) -> Section | None:
    """Show the loss curves of every training stage, language models first."""
    drawn = [t for t in run.trainings if t.loss or t.looks]
    if not drawn:
        return None
    writers = [t for t in drawn if t.is_language_model]
    others = [t for t in drawn if not t.is_language_model]
    shown = writers or others[:1]
    rest = [
        folded(join(element("b", t.stage.name), f" {_in_short(t)}"), _training(t))
        for t in others
        if t not in shown
    ]
    body = [join(element("h3", t.stage.name), _training(t)) for t in shown]
    return Section("curves", "Learning curves", "学习曲线", join(body, rest))


def samples_section(run: Run) -> Section | None:
    """Show, for each prompt, what the model wrote at each evaluation."""
    parts = [
        element(
            "div", element("h3", training.stage.name), [_timeline(p, s) for p, s in training.samples.items()]
        )
        for training in run.trainings
        if training.samples
    ]
    if not parts:
        return None
    lead = element(
        "p",
        "The same prompts at every evaluation: texts are continued, words answered with their neighbours. "
        "Nothing here is picked by hand.",
    )
    return Section("samples", "Samples over time", "生成样例", join(lead, parts))


def _in_short(training: Training) -> str:
    words = [training.family, duration(training.seconds or training.stage.seconds)]
    for name in ("loss", "accuracy"):
        if name in training.best.values:
            words.append(f"validation {name} {decimal(training.best.values[name])}")
    return " · ".join(w for w in words if w)


def _training(training: Training) -> Html:
    facts = [
        f"{training.family}" if training.family else "",
        f"{magnitude(training.counts.get('parameters'))} parameters"
        if "parameters" in training.counts
        else "",
        f"{whole(training.counts.get('steps'))} steps" if "steps" in training.counts else "",
        f"{magnitude(training.counts.get('tokens'))} tokens" if "tokens" in training.counts else "",
        duration(training.seconds or training.stage.seconds),
        f"{magnitude(training.tokens_per_second)} tokens/s" if training.tokens_per_second else "",
        f"{percent(training.matmul_share, 1)} of the machine's matmul peak" if training.matmul_share else "",
        "stopped early: no better validation loss" if training.stopped == "patience" else "",
    ]
    return element(
        "div",
        element("p", [element("span", f) for f in facts if f], class_="facts soft"),
        [element("p", w, class_="note") for w in training.warnings],
        _gap(training),
        element("div", _loss(training), _second(training), _rate(training), class_="figures"),
    )


def _gap(training: Training) -> Html | None:
    if training.gap is None:
        return None
    english, chinese = training.gap.english, training.gap.chinese
    return element("p", english, element("br"), element("span", chinese, lang="zh"), class_="note gap")


def _loss(training: Training) -> Html:
    looked = training.looked("loss")
    lines = [Line("train", training.loss, 0), Line("validation", looked, 1, dots=True)]
    bits = training.looked("bits_per_byte")
    # Both are sums over the same text, so one is a fixed multiple of the other.
    right = ("bits per byte", bits[-1][1] / looked[-1][1]) if bits and looked and looked[-1][1] > 0 else None
    return figure(
        "Loss",
        line_chart(
            lines,
            x_name="step",
            y_name=f"nats per {TRAIN[training.stage.use]}",
            right=right,
        ),
    )


def _second(training: Training) -> Html | None:
    names = [n for n in ("accuracy", "macro_f1") if training.looked(n)]
    if names:
        lines = [Line(n.replace("_", "-"), training.looked(n), 2 + i, dots=True) for i, n in enumerate(names)]
        return figure("On the validation split", line_chart(lines, x_name="step", y_name="score"))
    bits = training.looked("bits_per_byte")
    if not bits:
        return None
    before, after = training.bits_per_byte
    caption = f"Bits per byte on the validation split: {decimal(before)} → {decimal(after)}"
    return figure(
        caption,
        line_chart([Line("bits per byte", bits, 1, dots=True)], x_name="step", y_name="bits per byte"),
    )


def _rate(training: Training) -> Html | None:
    charts = [
        figure(
            caption, line_chart([Line(caption.lower(), points, colour)], x_name="step", y_name="", height=150)
        )
        for caption, points, colour in (
            ("Learning rate", training.lr, 4),
            ("Gradient norm", training.grad_norm, 3),
        )
        if points
    ]
    return (
        folded("learning rate and gradient norm", element("div", charts, class_="figures"))
        if charts
        else None
    )


def _timeline(prompt: str, samples: tuple[Sample, ...]) -> Html:
    head = element("h4", "Prompt: ", quoted(prompt) if prompt else element("span", "(none)", class_="soft"))
    if len(samples) <= OPEN_SAMPLES:
        return element("div", head, element("ol", [_sample(s) for s in samples], class_="timeline"))
    shown = [_sample(s) for s in (samples[0], samples[len(samples) // 2], samples[-1])]
    every = element("ol", [_sample(s) for s in samples], class_="timeline")
    return element(
        "div",
        head,
        element("ol", shown, class_="timeline"),
        folded(f"all {len(samples)} evaluations", every),
    )


def _sample(sample: Sample) -> Html:
    text = sample.text.removeprefix(sample.prompt)
    written = join(element("b", quoted(sample.prompt)) if sample.prompt else None, quoted(text, 600))
    return element("li", element("span", f"step {whole(sample.step)}", class_="step"), element("p", written))
