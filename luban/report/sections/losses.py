"""Parts about what did not come through: the funnel, dropped documents, rejects, and the stages."""

from __future__ import annotations

from luban.report.facts import read_funnel
from luban.report.markup import Html, Section, element, folded, join, table
from luban.report.reading import Part
from luban.report.sections.corpus import funnel_list
from luban.report.sections.documents import sample
from luban.report.wording import date, duration, magnitude, percent, several, whole


def losses_section(facts: Part) -> Section | None:
    """Show what each step of each stage kept."""
    steps = [step for part in facts.parts("history") for step in read_funnel(_name(part), part)]
    if not steps:
        return None
    rejects = sum(part.count("rejects") or 0 for part in facts.parts("history"))
    first, last = steps[0], steps[-1]
    lead = element(
        "p",
        f"{whole(first.documents_in)} documents came in and {whole(last.documents_out)} stayed "
        f"({percent(last.documents_out, first.documents_in)}, and {percent(last.bytes_out, first.bytes_in)} "
        "of the bytes).",
        f" {whole(rejects)} rows or files could not be read." if rejects else "",
    )
    return Section("funnel", "Kept and dropped", "保留与舍弃", join(lead, funnel_list(steps)))


def dropped_section(losses: Part) -> Section | None:
    """Show how many documents each reason took, with samples of them."""
    parts = losses.parts("dropped")
    if not parts:
        return None
    parts.sort(key=lambda p: -(p.count("documents") or 0))
    lead = element(
        "p", "By reason, with the measured value and the threshold; all are in dropped.jsonl of the stage."
    )
    return Section("dropped", "Dropped documents", "舍弃的文本", join(lead, [_reason(p) for p in parts]))


def _reason(part: Part) -> Html:
    about = f" {several(part.count('documents'), 'document')}, {magnitude(part.number('chars'))} characters"
    return folded(
        join(
            element("b", part.text("reason", "no reason given")),
            about,
            element("span", f" · {part.text('stage')}: {part.text('step')}", class_="soft"),
        ),
        [sample(p) for p in part.parts("samples")],
    )


def rejects_section(losses: Part) -> Section | None:
    """Show why files or rows could not be read."""
    parts = losses.parts("rejected")
    if not parts:
        return None
    rows = [
        (
            element("span", p.text("reason"), element("small", p.text("example"), class_="soft block")),
            whole(p.count("rows")),
        )
        for p in parts
    ]
    return Section(
        "rejects",
        "Could not be read",
        "无法读取",
        table(("reason, and the first", "rows"), rows, numbers=(1,)),
    )


def history_section(facts: Part) -> Section | None:
    """Show the stages that led here."""
    parts = facts.parts("history")
    if not parts:
        return None
    rows = []
    for part in parts:
        counts = part.part("counts")
        rows.append(
            (
                part.text("stage"),
                element("code", part.text("folder")),
                whole(counts.number("documents_in")),
                whole(counts.number("documents_kept") or counts.number("documents")),
                duration(part.number("seconds")),
                date(part.text("started")),
            )
        )
    head = ("stage", "folder", "documents in", "kept", "time", "started")
    return Section("stages", "Stages", "处理步骤", table(head, rows, numbers=(2, 3, 4)))


def _name(part: Part) -> str:
    folder = part.text("folder").rstrip("/").rsplit("/", 1)[-1]
    stage = part.text("stage")
    return stage if folder == stage else f"{stage}, {folder}"
