"""Write a run's report: one html file that asks nothing of any network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from luban.files import write_bytes
from luban.report.document import document
from luban.report.facts import Run, read_run
from luban.report.frame import brand, card, columns
from luban.report.ladder import Ladder
from luban.report.markup import Html, Section, element, join
from luban.report.sections.corpus import corpus_section, funnel_section, tokenizer_section
from luban.report.sections.errors import errors_section
from luban.report.sections.learning import curves_section, samples_section
from luban.report.sections.making import commands_section, notes_section, settings_section, stages_section
from luban.report.sections.scores import golden_section, ladder_section, models_section
from luban.report.wording import date, decimal, duration, language, percent, score, whole


def write_report(run_folder: Path, out: Path, statuses: Mapping[str, str] | None = None) -> Path:
    """Draw the stages found in `run_folder` into the html file `out` and return it.

    `statuses` says, by folder name, whether a stage ran or was reused this time, where that is known.
    """
    run = read_run(run_folder)
    write_bytes(out, draw_page(run, statuses or {}).encode("utf-8", "replace"))
    return out


def draw_page(run: Run, statuses: Mapping[str, str]) -> str:
    """Return the page of a run as html."""
    sections = [s for s in _sections(run, statuses) if s]
    body = element("body", _header(run), columns(sections), _footer(run))
    return document(f"{run.name} · Luban report", body)


def _sections(run: Run, statuses: Mapping[str, str]) -> list[Section | None]:
    return [
        funnel_section(run),
        corpus_section(run),
        tokenizer_section(run),
        curves_section(run),
        samples_section(run),
        ladder_section(run),
        models_section(run),
        errors_section(run),
        golden_section(run),
        stages_section(run, statuses),
        commands_section(run),
        settings_section(run),
        notes_section(run),
    ]


def _header(run: Run) -> Html:
    about = [
        date(run.started),
        duration(run.seconds),
        f"{len(run.stages)} stage{'s' if len(run.stages) > 1 else ''}",
    ]
    versions = run.versions
    machine = [versions.get("machine", ""), *(f"{k} {v}" for k, v in versions.items() if k != "machine")]
    return element(
        "header",
        brand("Luban report · 运行报告"),
        element("h1", run.name),
        element("p", " · ".join(a for a in about if a)),
        element("p", " · ".join(m for m in machine if m), class_="soft"),
        element("div", _cards(run), class_="cards"),
        element(
            "p",
            f"{len(run.notes)} things could not be read: ",
            element("a", "see the notes", href="#notes"),
            class_="note",
        )
        if run.notes
        else None,
    )


def _cards(run: Run) -> list[Html]:
    cards = []
    if run.documents and run.documents[0]:
        read, kept = run.documents
        cards.append(card("Documents kept", whole(kept), f"of {whole(read)} ({percent(kept, read)})"))
    for training in run.trainings:
        before, after = training.bits_per_byte
        if training.is_language_model and after is not None:
            value = f"{decimal(before, 2)} → {decimal(after, 2)}" if before is not None else decimal(after, 2)
            test = run.test_bits_per_byte(training)
            detail = f"test {score(test, 2)}" if test else f"validation, {training.stage.name}"
            cards.append(card("Bits per byte", value, detail))
    cards += [best for ladder in run.ladders if (best := _best_card(ladder))]
    if run.golden:
        verdicts = [g.passed for g in run.golden]
        n = sum(len(g.copies) for g in run.golden)
        value = "✓ passed" if all(verdicts) else "✗ failed" if False in verdicts else "not said"
        tone = "good" if all(verdicts) else "bad"
        cards.append(card("Golden check", value, f"{n} copies of {len(run.golden)} models", tone))
    return cards


def _best_card(ladder: Ladder) -> Html | None:
    if ladder.best is None:
        return None
    best = ladder.best.metrics["accuracy"]
    name = f"Best accuracy · {language(ladder.language) or ladder.data}"
    interval = f"[{decimal(best.low)}, {decimal(best.high)}] · " if best.low is not None else ""
    return card(name, decimal(best.value), f"{interval}{ladder.best.title}")


def _footer(run: Run) -> Html:
    made = f"Made by Luban {run.versions.get('luban', '')} from the manifests in {run.folder}.".replace(
        "  ", " "
    )
    return element("footer", element("p", join(made, " This page loads nothing from anywhere.")))
