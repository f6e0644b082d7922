"""What pages with numbered parts share: the seal, the contents beside the parts, and cards of numbers."""

from __future__ import annotations

from collections.abc import Sequence

from luban.report.markup import Html, Section, element


def brand(title: str) -> Html:
    """Return the first line of a page: the seal, what kind of page it is, and the switch of its colours."""
    seal = element("span", "鲁班", class_="seal", lang="zh", aria_hidden="true")
    toggle = element("button", "Dark", type="button", id="theme", hidden=True)
    return element("div", seal, element("span", title), toggle, class_="brand")


def columns(sections: Sequence[Section]) -> Html:
    """Return numbered parts beside their contents."""
    contents = element("nav", element("ol", [_entry(s) for s in sections]), aria_label="Contents")
    main = element("main", [_section(s, i) for i, s in enumerate(sections, start=1)])
    return element("div", contents, main, class_="columns")


def card(name: str, value: str, detail: str, tone: str = "") -> Html:
    """Return one number with its name above and a word on it below."""
    return element(
        "div",
        element("span", name, class_="soft"),
        element("strong", value, class_=tone or None),
        element("small", detail),
        class_="card",
    )


def _entry(section: Section) -> Html:
    return element("li", element("a", section.title, href=f"#{section.anchor}"))


def _section(section: Section, number: int) -> Html:
    heading = element(
        "h2",
        element("span", str(number), class_="ordinal"),
        element("a", section.title, href=f"#{section.anchor}"),
        element("small", section.title_zh, lang="zh"),
    )
    return element("section", heading, section.body, id=section.anchor)
