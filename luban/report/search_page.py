"""The page of a search for settings: a scatter for each setting, its importance, and all trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luban.files import write_bytes
from luban.report.charts import Axis, ticks
from luban.report.document import document
from luban.report.frame import brand, columns
from luban.report.markup import Html, Section, element, figure, join, table

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 240, 58, 14, 14, 36


def write_search_page(found: Mapping[str, Any], path: Path, name: str) -> Path:
    """Draw what `run_search` returns."""
    scored = [row for row in found["trials"] if isinstance(row.get("value"), int | float)]
    names = list(dict.fromkeys(key for row in found["trials"] for key in row["settings"]))
    parts = [_scatters(found, scored, names), _table(found, names)]
    about = f"{len(found['trials'])} trials · {len(scored)} scored by {found['metric']} on validation rows"
    header = element("header", brand("Luban search · 超参数搜索"), element("h1", name), element("p", about))
    body = element("body", header, columns([p for p in parts if p]))
    write_bytes(path, document(f"{name} · Luban search", body).encode("utf-8", "replace"))
    return path


def _scatters(
    found: Mapping[str, Any], scored: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> Section | None:
    if len(scored) < 2:
        return None
    figures = []
    for name in names:
        share = found["importance"].get(name)
        told = f" · importance {share:.2f}" if share is not None else ""
        figures.append(figure(f"{name}{told}", _scatter(name, scored, found)))
    lead = element(
        "p", "Each dot is a trial; the red one is the best. 每点是一次试验，红点最好。", class_="soft"
    )
    return Section(
        "settings", "By setting", "逐项设置", join(lead, element("div", figures, class_="figures"))
    )


def _scatter(name: str, scored: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> Html:
    rows = [row for row in scored if name in row["settings"]]
    values = [row["settings"][name] for row in rows]
    is_number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not is_number:
        kinds = sorted({str(v) for v in values})
        places = [float(kinds.index(str(v))) for v in values]
        marks = [(float(i), kind) for i, kind in enumerate(kinds)]
    elif min(values) > 0 and max(values) / min(values) > 20:
        places = [math.log10(v) for v in values]
        marks = [(t, f"{10**t:.2g}") for t in ticks(min(places), max(places))]
    else:
        places = [float(v) for v in values]
        marks = [(t, f"{t:.4g}") for t in ticks(min(places), max(places))]
    x, y = _axis(places, LEFT, WIDTH - RIGHT), _axis([row["value"] for row in rows], HEIGHT - BOTTOM, TOP)
    parts = [
        element("text", text, x=f"{x(at):.1f}", y=HEIGHT - BOTTOM + 18, class_="tick middle")
        for at, text in marks
    ]
    for value in ticks(y.low, y.high):
        at = f"{y(value):.1f}"
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="grid"))
        parts.append(element("text", f"{value:.4g}", x=LEFT - 6, y=f"{y(value) + 4:.1f}", class_="tick end"))
    for row, place in zip(rows, places, strict=True):
        is_best = row["trial"] == found["best"]
        said = f"trial {row['trial'] + 1}: {row['settings'][name]}, {found['metric']} {row['value']:.4f}"
        dot = element(
            "circle",
            element("title", said),
            cx=f"{x(place):.1f}",
            cy=f"{y(row['value']):.1f}",
            r=6 if is_best else 4,
            style=f"fill:{'#a3301d' if is_best else '#0b5fa5'};fill-opacity:.75",
        )
        parts.append(dot)
    title = element("title", f"{found['metric']} over {name}")
    return element("svg", title, parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", class_="plot")


def _axis(values: Sequence[float], start: float, end: float) -> Axis:
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    return Axis(low - room, high + room, start, end)


def _table(found: Mapping[str, Any], names: Sequence[str]) -> Section:
    def order(row: Mapping[str, Any]) -> tuple[bool, int]:
        return row["trial"] != found["best"], row["trial"]

    rows = [
        (
            f"{row['trial'] + 1}{' ★' if row['trial'] == found['best'] else ''}",
            *(_text(row["settings"].get(name)) for name in names),
            _text(row["value"]),
            str(row["ended"]),
            row.get("problem") or "",
        )
        for row in sorted(found["trials"], key=order)
    ]
    head = ("trial", *names, found["metric"] or "score", "ended by", "problem")
    return Section("trials", "Trials", "全部试验", table(head, rows, numbers=range(1, len(names) + 2)))


def _text(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
