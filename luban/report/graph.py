"""The stages of a run as a drawing: left to right, each after what it was made from."""

from __future__ import annotations

import re

from luban.report.chain import StageRun
from luban.report.markup import Html, element, join
from luban.report.training import TRAIN
from luban.report.wording import duration, shorten

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 120, 40, 22, 12


def draw_graph(stages: tuple[StageRun, ...]) -> Html:
    """Draw boxes and arrows; a box leads to the settings of its stage."""
    columns = _columns(stages)
    place = {
        stage.name: (x * (BOX_WIDTH + GAP_X) + 2, y * (BOX_HEIGHT + GAP_Y) + 2)
        for x, column in enumerate(columns)
        for y, stage in enumerate(column)
    }
    width = len(columns) * (BOX_WIDTH + GAP_X) - GAP_X + 4
    height = max(len(c) for c in columns) * (BOX_HEIGHT + GAP_Y) - GAP_Y + 4
    arrows = [
        _arrow(place[s.stage], place[stage.name])
        for stage in stages
        for s in stage.sources
        if s.stage in place and s.stage is not None
    ]
    boxes = [_box(stage, *place[stage.name]) for stage in stages]
    title = element("title", f"{len(stages)} stages, each drawn to the right of its inputs")
    svg = element(
        "svg", title, arrows, boxes,
        viewBox=f"0 0 {width} {height}", width=width, height=height, role="img", class_="graph",
    )  # fmt: skip
    return element("div", svg, class_="wide", tabindex="0", role="group", aria_label="stages")


def settings_anchor(stage: StageRun) -> str:
    """Return the id of the part of the page that holds a stage's settings."""
    return "settings-" + re.sub(r"[^A-Za-z0-9_-]", "-", stage.name)


def _columns(stages: tuple[StageRun, ...]) -> list[list[StageRun]]:
    """Put each stage one column right of its last input, near the height of its inputs."""
    depth: dict[str, int] = {}
    for stage in stages:
        inputs = [depth[s.stage] for s in stage.sources if s.stage in depth and s.stage is not None]
        depth[stage.name] = max(inputs, default=-1) + 1
    columns: list[list[StageRun]] = [[] for _ in range(max(depth.values()) + 1)]
    for stage in stages:
        columns[depth[stage.name]].append(stage)
    height: dict[str, float] = {}
    for column in columns:
        column.sort(
            key=lambda s: _mean([height[i.stage] for i in s.sources if i.stage in height and i.stage])
        )
        height.update({stage.name: y for y, stage in enumerate(column)})
    return columns


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> Html:
    x1, y1 = start[0] + BOX_WIDTH, start[1] + BOX_HEIGHT / 2
    x2, y2 = end[0], end[1] + BOX_HEIGHT / 2
    bend = GAP_X * 0.6
    return element("path", d=f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}", class_="arrow")


def _box(stage: StageRun, x: float, y: float) -> Html:
    inside = join(
        element("title", f"{stage.name}: {stage.use}, {duration(stage.seconds)}, key {stage.key[:8]}"),
        element("rect", x=x, y=y, width=BOX_WIDTH, height=BOX_HEIGHT, rx=7, class_=f"box {_kind(stage.use)}"),
        element("text", shorten(stage.name, 14), x=x + 10, y=y + 17, class_="label"),
        element("text", f"{stage.use} · {_seconds(stage)}", x=x + 10, y=y + 32, class_="tick"),
    )
    return element("a", inside, href=f"#{settings_anchor(stage)}")


def _seconds(stage: StageRun) -> str:
    return f"{stage.seconds:.0f} s" if stage.seconds < 1000 else f"{stage.seconds / 3600:.1f} h"


def _kind(use: str) -> str:
    if use in TRAIN:
        return "c0"
    return "c2" if use in ("evaluate", "golden") else "c4"
