"""The picture of a learning-rate search: one SVG file that needs no page around it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from luban.report.charts import Axis, ticks
from luban.report.markup import Html, element

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 48, 56
STYLE = """
svg { background: #faf8f3; font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
text { fill: #625c53; paint-order: stroke; stroke: #faf8f3; stroke-width: 4px; }
.title { fill: #1e1c19; font-size: 16px; font-weight: 600; }
.grid { stroke: #e3ddd1; } .raw { fill: none; stroke: #9db9d3; stroke-width: 1; }
.smooth { fill: none; stroke: #0b5fa5; stroke-width: 2.2; stroke-linejoin: round; }
.best { stroke: #a3301d; stroke-width: 1.5; } .used { stroke: #625c53; stroke-dasharray: 4 4; }
.best-dot { fill: #a3301d; } .best-name { fill: #a3301d; font-weight: 600; } .end { text-anchor: end; }
.middle { text-anchor: middle; }
"""


def lr_chart(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], marks: dict[str, float]
) -> Html:
    """Draw loss over learning rate on a logarithmic axis; the first of `marks` is the suggestion."""
    x = Axis(math.log10(rates[0]), math.log10(rates[-1]), LEFT, WIDTH - RIGHT)
    low, high = min(smoothed), max(smoothed)
    room = 0.12 * (high - low) or 0.5
    y = Axis(low - room, high + room, HEIGHT - BOTTOM, TOP)
    parts = [*_grid(x, y), _line(rates, [min(max(v, y.low), y.high) for v in losses], x, y, "raw")]
    parts.append(_line(rates, smoothed, x, y, "smooth"))
    parts += _marks(rates, smoothed, marks, x, y)
    label = "; ".join(f"{name} {rate:.2g}" for name, rate in marks.items())
    return element(
        "svg",
        element("title", f"loss over learning rate: {label}"),
        Html(f"<style>{STYLE}</style>"),
        element("text", "Loss while the learning rate grows", x=LEFT, y=26, class_="title"),
        parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        role="img",
    )


def _grid(x: Axis, y: Axis) -> list[Html]:
    parts = []
    for value in ticks(y.low, y.high):
        place = _px(y(value))
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=place, y2=place, class_="grid"))
        parts.append(element("text", f"{value:.4g}", x=LEFT - 8, y=_px(y(value) + 4), class_="end"))
    for power in range(math.ceil(x.low - 1e-9), math.floor(x.high + 1e-9) + 1):
        place = _px(x(power))
        parts.append(element("line", x1=place, x2=place, y1=TOP, y2=HEIGHT - BOTTOM, class_="grid"))
        parts.append(element("text", f"1e{power}", x=place, y=HEIGHT - BOTTOM + 20, class_="middle"))
    middle = _px((TOP + HEIGHT - BOTTOM) / 2)
    parts.append(
        element("text", "learning rate", x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 14, class_="middle")
    )
    turned = {"transform": f"rotate(-90 18 {middle})", "class_": "middle"}
    parts.append(element("text", "loss, nats per target", x=18, y=middle, **turned))
    return parts


def _line(rates: Sequence[float], values: Sequence[float], x: Axis, y: Axis, class_: str) -> Html:
    points = " ".join(f"{_px(x(math.log10(r)))},{_px(y(v))}" for r, v in zip(rates, values, strict=True))
    return element("polyline", points=points, class_=class_)


def _marks(
    rates: Sequence[float], smoothed: Sequence[float], marks: dict[str, float], x: Axis, y: Axis
) -> list[Html]:
    parts = []
    for i, (name, rate) in enumerate(marks.items()):
        place = x(min(max(math.log10(rate), x.low), x.high))
        kind = "used" if i else "best"
        parts.append(element("line", x1=_px(place), x2=_px(place), y1=TOP, y2=HEIGHT - BOTTOM, class_=kind))
        is_right = place < WIDTH * 0.7
        where = {"x": _px(place + (6 if is_right else -6)), "y": TOP + 14 + 18 * i}
        class_ = " ".join(["best-name"] * (not i) + ["end"] * (not is_right)) or None
        parts.append(element("text", f"{name}: {rate:.2g}", **where, class_=class_))
        if not i:
            nearest = min(range(len(rates)), key=lambda k: abs(math.log(rates[k] / rate)))
            parts.append(
                element("circle", cx=_px(place), cy=_px(y(smoothed[nearest])), r=5, class_="best-dot")
            )
    return parts


def _px(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
