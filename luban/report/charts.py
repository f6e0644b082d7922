"""Charts as inline SVG, readable without a script; a script may add values under the pointer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from luban.report.ladder import Bin, Score
from luban.report.markup import Html, element, join
from luban.report.training import Points
from luban.report.wording import score as score_text
from luban.report.wording import shorten

WIDTH = 480
N_COLOURS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One curve. Colours repeat after N_COLOURS; dots mark points that are few and matter."""

    name: str
    points: Points
    colour: int = 0
    dots: bool = False
    dashed: bool = False
    """c1 and c3 are dashed by themselves."""

    @property
    def look(self) -> str:
        """Its classes in the page's style."""
        return f"c{self.colour % N_COLOURS}{' dashed' if self.dashed else ''}"


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps data between `low` and `high` onto pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers between low and high.

    ticks(0, 8) -> [0, 2, 4, 6, 8]
    """
    if high <= low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    gap = power * next(m for m in (1, 2, 5, 10) if m * power >= rough * 0.7)
    first = math.ceil(low / gap - 1e-9)
    return [round(i * gap, 12) for i in range(first, math.floor(high / gap + 1e-9) + 1)]


def line_chart(
    lines: Sequence[Line],
    *,
    x_name: str,
    y_name: str,
    right: tuple[str, float] | None = None,
    height: int = 260,
) -> Html:
    """Draw curves over a shared axis; `right` names a second scale and its factor to the first."""
    lines = [line for line in lines if line.points]
    x = _axis([p[0] for line in lines for p in line.points], 54, WIDTH - (50 if right else 14), 0)
    y = _axis([p[1] for line in lines for p in line.points], height - 42, 14, 0.06)
    parts = [_y_ticks(y, x), _x_ticks(x, height - 42), _names(x_name, y_name, x, height)]
    if right:
        parts.append(_right_ticks(right, y, x))
    parts += [_curve(line, x, y) for line in lines]
    label = f"{y_name} over {x_name}: " + "; ".join(
        f"{line.name} from {_brief(line.points[0][1])} to {_brief(line.points[-1][1])}" for line in lines
    )
    svg = element(
        "svg",
        element("title", label),
        parts,
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        class_="plot",
        data_x=f"{x.low} {x.high} {x.start} {x.end} {x_name}",
        data_y=f"{y.low} {y.high} {y.start} {y.end}",
    )
    return join(_legend(lines) if len(lines) > 1 else None, svg)


def whisker_chart(rows: Sequence[tuple[str, Score]], best: str | None = None) -> Html:
    """Draw each score as a dot on its interval, one row each; the best has a colour of its own."""
    ends = [v for _, s in rows for v in (s.low, s.value, s.high) if v is not None]
    x = _axis(ends, 12, WIDTH - 12, 0.08)
    height = 44 * len(rows) + 30
    parts: list[Html] = [
        element("line", x1=_px(x(t)), x2=_px(x(t)), y1=6, y2=height - 24, class_="grid")
        for t in ticks(x.low, x.high)
    ]
    parts += [
        element("text", _brief(t), x=_px(x(t)), y=height - 6, class_="tick middle")
        for t in ticks(x.low, x.high)
    ]
    for i, (name, score) in enumerate(rows):
        top = 44 * i
        parts += [
            element("text", shorten(name, 36), x=12, y=top + 16, class_="label"),
            element("text", score_text(score), x=WIDTH - 12, y=top + 16, class_="label value end"),
            _whisker(score, x, top + 31, 2 if name == best else 0),
        ]
    label = "; ".join(f"{name} {score_text(score)}" for name, score in rows)
    return element("svg", element("title", label), parts, viewBox=f"0 0 {WIDTH} {height}", role="img")


def reliability_chart(bins: Sequence[Bin]) -> Html:
    """Draw how often a model is right against how sure it is; the diagonal is honest."""
    side, most = 300, max(b.n for b in bins)
    x, y = Axis(0, 1, 52, side - 12), Axis(0, 1, side - 42, 12)
    parts: list[Html] = [_y_ticks(y, x), _x_ticks(x, side - 42), _names("confidence", "accuracy", x, side)]
    for b in bins:
        left, right = x(b.low), x(b.high)
        tall = 46 * b.n / most
        parts.append(
            element(
                "rect",
                x=_px(left + 1),
                y=_px(y(0) - tall),
                width=_px(max(right - left - 2, 1)),
                height=_px(tall),
                class_="share",
            )
        )
    parts.append(element("line", x1=_px(x(0)), y1=_px(y(0)), x2=_px(x(1)), y2=_px(y(1)), class_="diagonal"))
    path = " ".join(f"{_px(x(b.confidence))},{_px(y(b.accuracy))}" for b in bins)
    parts.append(element("polyline", points=path, class_="curve c0"))
    parts += [
        element(
            "circle",
            element("title", f"confidence {b.confidence:.2f}, right {b.accuracy:.2f}, {b.n} rows"),
            cx=_px(x(b.confidence)), cy=_px(y(b.accuracy)), r=4.5, class_="dot c0",
        )
        for b in bins
    ]  # fmt: skip
    label = "; ".join(f"confidence {b.confidence:.2f} accuracy {b.accuracy:.2f} of {b.n}" for b in bins)
    return element(
        "svg", element("title", label), parts, viewBox=f"0 0 {side} {side}", role="img", class_="square"
    )


def _axis(values: Sequence[float], start: float, end: float, room: float) -> Axis:
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high == low:
        low, high = low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    margin = room * (high - low)
    return Axis(low - margin, high + margin, start, end)


def _y_ticks(y: Axis, x: Axis) -> Html:
    return join(
        [
            join(
                element("line", x1=_px(x.start), x2=_px(x.end), y1=_px(y(t)), y2=_px(y(t)), class_="grid"),
                element("text", _brief(t), x=_px(x.start - 8), y=_px(y(t) + 4), class_="tick end"),
            )
            for t in ticks(y.low, y.high)
        ]
    )


def _x_ticks(x: Axis, bottom: float) -> Html:
    return join(
        [
            element("text", _brief(t), x=_px(x(t)), y=_px(bottom + 18), class_="tick middle")
            for t in ticks(x.low, x.high)
        ]
    )


def _right_ticks(right: tuple[str, float], y: Axis, x: Axis) -> Html:
    name, factor = right
    marks = [
        element("text", _brief(t), x=_px(x.end + 7), y=_px(y(t / factor) + 4), class_="tick")
        for t in ticks(y.low * factor, y.high * factor)
    ]
    middle, across = _px((y.start + y.end) / 2), WIDTH - 6
    turned = f"rotate(90 {across - 6} {middle})"
    return join(marks, element("text", name, x=across - 6, y=middle, transform=turned, class_="name middle"))


def _names(x_name: str, y_name: str, x: Axis, height: float) -> Html:
    middle = _px((height - 42 + 14) / 2)
    return join(
        element("text", x_name, x=_px((x.start + x.end) / 2), y=_px(height - 6), class_="name middle"),
        element("text", y_name, x=12, y=middle, transform=f"rotate(-90 12 {middle})", class_="name middle"),
    )


def _curve(line: Line, x: Axis, y: Axis) -> Html:
    colour = f"c{line.colour % N_COLOURS}"
    path = " ".join(f"{_px(x(a))},{_px(y(b))}" for a, b in line.points)
    dots = [
        element("circle", element("title", f"{line.name}: {_brief(b)} at {_brief(a)}"),
                cx=_px(x(a)), cy=_px(y(b)), r=3.5, class_=f"dot {colour}")
        for a, b in (line.points if line.dots or len(line.points) == 1 else ())
    ]  # fmt: skip
    return join(element("polyline", points=path, class_=f"curve {line.look}", data_name=line.name), dots)


def _whisker(score: Score, x: Axis, y: float, colour: int) -> Html:
    name = f"c{colour % N_COLOURS}"
    dot = element(
        "circle", element("title", score_text(score)), cx=_px(x(score.value)), cy=y, r=6, class_=f"dot {name}"
    )
    if score.low is None or score.high is None:
        return dot
    low, high = _px(x(score.low)), _px(x(score.high))
    path = f"M{low} {y}H{high}M{low} {y - 5}v10M{high} {y - 5}v10"
    return join(element("path", d=path, class_=f"whisker {name}"), dot)


def _legend(lines: Sequence[Line]) -> Html:
    return element(
        "p",
        [element("span", element("i", class_=line.look), line.name) for line in lines],
        class_="legend",
    )


def _px(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _brief(value: float) -> str:
    """Write a tick: 0.001, 12, 3e-05."""
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
