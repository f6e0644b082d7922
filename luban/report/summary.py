"""The closing summary of a run in the terminal: plain text, sixty lines at most."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from luban.report.commands import curl_command, servable, serve_command
from luban.report.facts import Run, read_run
from luban.report.ladder import Ladder, Rung
from luban.report.training import Sample, Training
from luban.report.wording import (
    decimal,
    duration,
    language,
    magnitude,
    percent,
    plain,
    score,
    shorten,
    size,
    whole,
)

MAX_LINES = 60
MAX_STEPS = 12
MAX_RUNGS = 6
SAMPLE_WIDTH = 84


def summarise(run_folder: Path) -> str:
    """Return what came of a run, to be printed at its end."""
    run = read_run(run_folder)
    parts = [_funnel(run), _tokenizers(run), *map(_ladder, run.ladders), _golden(run), _closing(run)]
    parts[2:2] = [_language_model(run, t) for t in run.trainings if t.is_language_model][:2]
    if not run.ladders:
        parts.insert(-2, _unscored(run))
    n = len(run.stages)
    lines = [f"{run.name}: {n} stage{'s' if n > 1 else ''}, {duration(run.seconds)} of work"]
    lines += [f"warning: {note}" for note in run.notes[:3]]
    for part in parts:
        lines += ["", *part] if part else []
    closing = parts[-1]
    if len(lines) > MAX_LINES:  # the end says how to go on, so the middle gives way
        kept = MAX_LINES - len(closing) - 2
        lines = [*lines[:kept], "  ... the rest is in the report", "", *closing]
    return "\n".join(plain(line) for line in lines)


def _funnel(run: Run) -> list[str]:
    if not run.funnel or run.documents is None:
        return []
    steps = [s for s in run.funnel if s.documents_in != s.documents_out or s.bytes_in != s.bytes_out]
    rows = [
        (
            f"{s.stage}: {s.step}",
            whole(s.documents_in),
            whole(s.documents_out),
            size(s.bytes_in),
            size(s.bytes_out),
            s.example.reason if s.example else "",
        )
        for s in steps[:MAX_STEPS]
    ]
    read, kept = run.documents
    head = ("Funnel", "documents", "→ kept", "bytes", "→ kept", "dropped, for example")
    return [
        *_table(head, rows, right=(1, 2, 3, 4)),
        f"  kept {whole(kept)} of {whole(read)} documents ({percent(kept, read)})",
    ]


def _tokenizers(run: Run) -> list[str]:
    return [
        f"Tokenizer {t.stage}: {whole(t.vocab_size)} tokens; bytes per token: "
        + (
            ", ".join(f"{language(k)} {decimal(v, 2)}" for k, v in t.bytes_per_token.items())
            or "not measured"
        )
        for t in run.tokenizers
    ]


def _language_model(run: Run, training: Training) -> list[str]:
    before, after = training.bits_per_byte
    test = run.test_bits_per_byte(training)
    about = f"{training.family}, {magnitude(training.counts.get('parameters'))} parameters"
    scored = f"; test {score(test)}" if test else ""
    lines = [f"Pretrained {training.stage.name} ({about}, {duration(training.stage.seconds)})"]
    if after is not None or test:
        lines.append(f"  bits per byte {decimal(before)} → {decimal(after)} on validation{scored}")
    last = [samples[-1] for samples in training.samples.values() if samples]
    for code in ("en", "zh"):
        sample = next((s for s in last if s.language == code), None)
        if sample:
            lines.append(f"  {language(code)}: {_one_line(sample)}")
    return lines


def _one_line(sample: Sample) -> str:
    text = sample.text.removeprefix(sample.prompt)
    return _cut(" ".join(plain(f"{sample.prompt}|{text}").split()), SAMPLE_WIDTH)


def _ladder(ladder: Ladder) -> list[str]:
    spoken = f" · {language(ladder.language)}" if ladder.language else ""
    head = (
        f"Ladder{spoken}",
        "accuracy [low, high]",
        "macro-F1 [low, high]",
        "parameters",
        "training",
        "latency",
    )
    rungs = ladder.rungs[:MAX_RUNGS]
    best = ladder.best
    return _table(head, [_rung(r, r is best) for r in rungs], right=(1, 2, 3, 4, 5))


def _rung(rung: Rung, is_best: bool) -> tuple[str, ...]:
    title = rung.title.replace(" from scratch", "").replace(", fine-tuned", "")
    return (
        shorten(f"{'*' if is_best else ' '} {title}", 40),
        score(rung.metrics.get("accuracy")),
        score(rung.metrics.get("macro_f1")),
        magnitude(rung.parameters),
        "–" if rung.train_seconds is None else f"{rung.train_seconds:,.1f} s",
        "–" if rung.latency_ms is None else f"{rung.latency_ms:.1f} ms",
    )


def _unscored(run: Run) -> list[str]:
    return [
        f"Trained {t.stage.name} ({t.family}): "
        + ", ".join(
            f"{name.replace('_', '-')} {decimal(v)}" for name, v in t.best.values.items() if name != "step"
        )
        + " on validation"
        for t in run.trainings
        if not t.is_language_model and t.best.values
    ][:MAX_RUNGS]


def _golden(run: Run) -> list[str]:
    words = {True: "passed", False: "FAILED", None: "not checked"}
    return [
        f"Golden check of {g.model or g.stage.name}: "
        + ", ".join(f"{c.copy} {words[c.verdict]}" for c in g.copies)
        for g in run.golden
    ][:MAX_RUNGS]


def _closing(run: Run) -> list[str]:
    page = run.folder / "report.html"
    lines = [f"Report: {page}"] if page.is_file() else [f"Report: luban report {run.folder}"]
    for stage, prompt in servable(run)[:1]:
        lines += [f"Serve:  {serve_command(run, stage)}", f"Ask:    {curl_command(stage, prompt)}"]
    return lines


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], right: tuple[int, ...]) -> list[str]:
    every = [head, *rows]
    widths = [max(_width(plain(row[i])) for row in every) for i in range(len(head))]

    def line(row: Sequence[str], indent: str) -> str:
        cells = []
        for i, cell in enumerate(row):
            space = " " * (widths[i] - _width(plain(cell)))
            cells.append(space + cell if i in right else cell + space)
        return indent + "  ".join(cells).rstrip()

    return [line(head, ""), *(line(row, "") for row in rows)]


def _width(text: str) -> int:
    """Return how many columns a terminal gives a text: Chinese characters take two."""
    return sum(
        2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text if not unicodedata.combining(c)
    )


def _cut(text: str, most: int) -> str:
    while _width(text) > most:
        text = text[: max(len(text) - 1 - (_width(text) - most) // 2, 0)]
        if _width(text) <= most:
            return f"{text}…"
    return text
