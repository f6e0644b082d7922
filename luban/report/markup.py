"""Build markup whose texts are always escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from luban.report.reading import language_of
from luban.report.wording import plain, shorten

_VOID = frozenset(("meta", "link", "br"))


class Html(str):
    """Finished markup. Any other string is text, and is escaped when it enters an element."""

    __slots__ = ()


Child = str | Iterable[str] | None
"""Text, markup, several of them, or nothing."""


@dataclass(frozen=True, slots=True)
class Section:
    """One numbered part of the page."""

    anchor: str
    title: str
    title_zh: str
    body: Html


def element(tag: str, *children: Child, **attributes: object) -> Html:
    """Return an element; `class_` becomes class, `data_x` data-x, None and False leave an attribute out.

    element("p", "a < b", class_="note") -> <p class="note">a &lt; b</p>
    """
    written = "".join(
        f" {_attribute(name)}" if value is True else f' {_attribute(name)}="{_escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{tag}{written}>" if tag in _VOID else f"<{tag}{written}>{join(*children)}</{tag}>")


def join(*children: Child) -> Html:
    """Return the children in a row, texts escaped."""
    return Html("".join(_markup(c) for c in children))


def quoted(text: str, most: int = 400) -> Html:
    """Return a text from the data: its own direction and language, cut to a readable length."""
    return element("bdi", shorten(text, most), dir="auto", lang=language_of(text) or None, class_="quote")


def table(
    head: Sequence[Child], rows: Iterable[Sequence[Child]], *, numbers: Sequence[int] = (), class_: str = ""
) -> Html:
    """Return a table that scrolls sideways where it must; the columns in `numbers` are right-aligned."""

    def line(cell: str, cells: Sequence[Child]) -> Html:
        return element(
            "tr", [element(cell, c, class_="number" if i in numbers else None) for i, c in enumerate(cells)]
        )

    body = element("tbody", [line("td", r) for r in rows])
    made = element("table", element("thead", line("th", head)), body, class_=class_ or None)
    return element("div", made, class_="wide", tabindex="0", role="group", aria_label="table")


def folded(summary: Child, *body: Child, id_: str | None = None) -> Html:
    """Return a part that opens on request."""
    return element("details", element("summary", summary), element("div", *body, class_="folded"), id=id_)


def figure(caption: Child, *body: Child, class_: str = "") -> Html:
    """Return a figure under its caption."""
    return element("figure", element("figcaption", caption), *body, class_=class_ or None)


def _markup(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        return _escape(child)
    return "".join(_markup(c) for c in child)


def _escape(text: str) -> str:
    return html.escape(plain(text), quote=True)


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")
