"""Bars: histograms as inline SVG, and tables whose numbers have a bar beside them."""

from __future__ import annotations

from collections.abc import Sequence

from luban.report.markup import Child, Html, element, join, table
from luban.report.wording import magnitude, share, whole

WIDTH, HEIGHT = 480, 190
LEFT, RIGHT, TOP, BOTTOM = 8, 472, 22, 150
LABELS = 8
"""So many places on the axis are named, about."""

Bar = tuple[float, float, float]
"""From, to, how many."""


def histogram(bars: Sequence[Bar], *, unit: str, of: str = "documents", mark: float | None = None) -> Html:
    """Draw bars of equal width over the names of their edges; `mark` shows where the median is.

    Hover values come from the titles of the bars.
    """
    total, most = sum(n for _, _, n in bars), max((n for _, _, n in bars), default=0)
    if not total:
        return element("p", "Nothing to draw.", class_="soft")
    width = min((RIGHT - LEFT) / len(bars), 60)
    start = (LEFT + RIGHT - len(bars) * width) / 2
    parts = [_bar(start + i * width, bar, (width, most, total), (unit, of)) for i, bar in enumerate(bars)]
    parts.append(element("line", x1=LEFT, x2=RIGHT, y1=BOTTOM, y2=BOTTOM, class_="axis"))
    parts += _edges(bars, start, width)
    parts.append(element("text", unit, x=(LEFT + RIGHT) / 2, y=HEIGHT - 4, class_="name middle"))
    parts += _mark(bars, start, width, mark)
    high = max(bars, key=lambda bar: bar[2])
    label = (
        f"{whole(total)} {of} by {unit}, from {magnitude(bars[0][0])} to {magnitude(bars[-1][1])}; "
        f"most between {magnitude(high[0])} and {magnitude(high[1])}"
    )
    return element(
        "svg", element("title", label), parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", class_="histogram"
    )


def _bar(x: float, bar: Bar, scale: tuple[float, float, float], words: tuple[str, str]) -> Html:
    (low, high, n), (width, most, total), (unit, of) = bar, scale, words
    tall = n / most * (BOTTOM - TOP)
    where = _edge(low) if high - low == 1 else f"{_edge(low)} to {_edge(high)}"
    said = f"{where} {unit}: {whole(n)} {of}, {share(n, total)}"
    shown = element(
        "rect",
        x=_px(x + 0.75),
        y=_px(BOTTOM - max(tall, 1.5 if n else 0)),
        width=_px(max(width - 1.5, 1)),
        height=_px(max(tall, 1.5 if n else 0)),
        rx=1.5,
        class_="column",
    )
    wide = element("rect", x=_px(x), y=TOP, width=_px(width), height=BOTTOM - TOP, class_="hover")
    return element("g", element("title", said), shown, wide)


def _edges(bars: Sequence[Bar], start: float, width: float) -> list[Html]:
    """Name edges that are far enough from each other."""
    edges = [bar[0] for bar in bars] + [bars[-1][1]]
    if all(high - low == 1 for low, high, _ in bars):  # bars of one number have it below their middle
        edges, start = edges[:-1], start + width / 2
    gap = max(1, -(-len(edges) // LABELS))
    marks = []
    for i, edge in list(enumerate(edges))[::gap]:
        x = start + i * width
        side = "end" if x > RIGHT - 12 else "start" if x < LEFT + 12 else "middle"
        marks.append(element("text", _edge(edge), x=_px(x), y=BOTTOM + 17, class_=f"tick {side}"))
    return marks


def _mark(bars: Sequence[Bar], start: float, width: float, mark: float | None) -> list[Html]:
    if mark is None:
        return []
    i = next((i for i, (low, high, _) in enumerate(bars) if low <= mark < high), len(bars) - 1)
    low, high, _ = bars[i]
    x = start + width * (i + min(max((mark - low) / (high - low or 1), 0), 1))
    side = "end" if x > (LEFT + RIGHT) / 2 else "start"
    return [
        element("line", x1=_px(x), x2=_px(x), y1=TOP - 6, y2=BOTTOM, class_="median"),
        element("text", f"median {_edge(mark)}", x=_px(x - 5 if side == "end" else x + 5), y=TOP - 8,
                class_=f"tick {side}"),
    ]  # fmt: skip


def bar_table(
    head: Sequence[Child],
    rows: Sequence[tuple[Child, Sequence[Child], float]],
    *,
    colour: str = "c0",
) -> Html:
    """Return a table: a name, cells, and the last of them with a bar as long as the row's number."""
    most = max((value for _, _, value in rows), default=0)
    made = [
        (name, *cells[:-1], join(element("span", cells[-1]), _line(value, most, colour)))
        for name, cells, value in rows
    ]
    return table(head, made, numbers=range(1, len(head) - 1), class_="bars")


def _line(value: float, most: float, colour: str) -> Html:
    length = 100 * value / most if most else 0
    inner = element("i", style=f"width:{length:.1f}%", class_=f"stays {colour}")
    return element("span", inner, class_="bar", aria_hidden="true")


def _edge(value: float) -> str:
    """Write where a bar begins: 250, 2.5 k, 0.5."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def _px(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
