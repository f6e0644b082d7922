"""Parts about the making: stages and keys, settings, commands, what could not be read."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from luban.report.chain import StageRun
from luban.report.commands import curl_command, repeat_commands, servable, serve_command
from luban.report.facts import Run
from luban.report.graph import draw_graph, settings_anchor
from luban.report.markup import Html, Section, element, folded, join, table
from luban.report.wording import date, duration


def stages_section(run: Run, statuses: Mapping[str, str]) -> Section:
    """Show which folder made which."""
    rows = [
        (
            element("a", s.name, href=f"#{settings_anchor(s)}"),
            s.use,
            join([_source(s, i) for i in range(len(s.sources))]),
            element("code", s.key[:8]),
            duration(s.seconds),
            date(s.started),
            statuses.get(s.name, ""),
        )
        for s in run.stages
    ]
    head = ("folder", "stage", "made from", "key", "time", "started", "this time")
    width = len(head) if any(r[-1] for r in rows) else len(head) - 1
    lead = element(
        "p",
        "A folder's key is a hash of its inputs, settings and code: same key, same content. ",
        element("code", f"luban why {run.label(run.stages[-1])}"),
        " prints a chain in the terminal.",
    )
    made = table(head[:width], [r[:width] for r in rows], numbers=(4,))
    return Section(
        "stages", "Chain of stages", "流程图", join(lead, draw_graph(run.stages), folded("as a table", made))
    )


def commands_section(run: Run) -> Section:
    """Show what to type to repeat the run and to use its models."""
    parts: list[Html] = [element("h3", "Repeat the run"), _code("\n".join(repeat_commands(run)))]
    for stage, prompt in servable(run):
        lines = f"{serve_command(run, stage)}\n{curl_command(stage, prompt)}"
        parts += [element("h3", f"Serve {stage.name}, then ask it"), _code(lines)]
    return Section("commands", "Commands", "命令", join(parts))


def settings_section(run: Run) -> Section:
    """Show the resolved settings of every stage."""
    parts = [
        folded(
            join(element("b", s.name), f" {s.use}"),
            _code(yaml.safe_dump(s.settings, sort_keys=False, allow_unicode=True) if s.settings else "none"),
            id_=settings_anchor(s),
        )
        for s in run.stages
    ]
    lead = element(
        "p", "Every value that a stage ran with, defaults included, as its recipe.yaml also holds them."
    )
    return Section("settings", "Settings", "设置", join(lead, parts))


def notes_section(run: Run) -> Section | None:
    """Show what the run folder holds that could not be read."""
    if not run.notes:
        return None
    lead = element("p", "These parts of the run folder are broken or partial, and are left out above.")
    items = element("ul", [element("li", note) for note in run.notes])
    return Section("notes", "What could not be read", "无法读取", element("div", lead, items, class_="note"))


def _source(stage: StageRun, i: int) -> Html:
    source = stage.sources[i]
    note = f" ({source.note})" if source.note else ""
    return join(", " if i else None, element("span", source.role, class_="soft"), " ", source.label, note)


def _code(text: str) -> Html:
    return element("pre", element("code", text), tabindex="0")
