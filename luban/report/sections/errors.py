"""Part about errors: the texts behind each confusion, where scores are low, what perturbed rows lose."""

from __future__ import annotations

from collections.abc import Sequence

from luban.report.bars import bar_table
from luban.report.errors import Errors, Scored, read_errors
from luban.report.facts import Run
from luban.report.ladder import Rung
from luban.report.markup import Html, Section, element, figure, join, quoted, table
from luban.report.reading import Part
from luban.report.wording import decimal, language, whole


def errors_section(run: Run) -> Section | None:
    """Show what every scored model gets wrong."""
    notes: list[str] = []
    parts = [
        part for rung in run.rungs
        if (part := _errors(rung, read_errors(rung.stage.folder, rung.stage.name, notes)))
    ]  # fmt: skip
    return Section("errors", "Errors", "错误分析", join(parts)) if parts else None


def _errors(rung: Rung, found: Errors | None) -> Html | None:
    tables = [_beside(rung.stage.facts.part("robust")), _domains(rung.stage.facts.part("domains"))]
    if found is None and not any(tables):
        return None
    name = rung.model.name if rung.model else rung.stage.name
    body = [_confusions(found), _worst(found), _means(found)] if found else []
    return element(
        "details",
        element("summary", element("b", name)),
        element("div", *body, *tables, class_="folded"),
        open=True,
    )


def _confusions(found: Errors) -> Html | None:
    if not found.confusions:
        return None
    groups = [
        element(
            "div",
            element("p", "is ", quoted(wanted, 60), ", said ", quoted(said, 60), f" · {n} rows"),
            element("ul", [_text(row) for row in rows], class_="mistakes"),
        )
        for wanted, said, rows, n in found.confusions
    ]
    return join(element("h4", "Confused most often, with the surest texts · 最常混淆"), groups)


def _worst(found: Errors) -> Html | None:
    if not found.worst:
        return None
    items = [element("li", element("blockquote", quoted(row.text)), _said(row)) for row in found.worst]
    return join(
        element("h4", "Rows with the lowest scores · 得分最低的样例"), element("ul", items, class_="mistakes")
    )


def _said(row: Scored) -> Html:
    told = join("said ", quoted(row.said, 200), " · wanted ", quoted(row.wanted, 200))
    return element("p", f"score {row.score:.3g} · ", told, class_="soft")


def _text(row: Scored) -> Html:
    sure = f"at {row.sure:.2f}" if row.sure else ""
    return element("li", element("blockquote", quoted(row.text)), element("p", sure, class_="soft"))


def _means(found: Errors) -> Html:
    named = [(language(code) or "undetermined", n, mean) for code, n, mean in found.by_language]
    word = "accuracy" if found.is_classes else "score"
    charts = [
        _bars("By length, in characters · 按长度", "characters", found.by_length, word),
        _bars("By language · 按语言", "language", named, word),
    ]
    return element("div", charts, class_="figures")


def _bars(caption: str, head: str, rows: Sequence[tuple[str, int, float]], word: str) -> Html:
    made = [(name, (whole(n), decimal(mean)), max(mean, 0.0)) for name, n, mean in rows]
    return figure(caption, bar_table((head, "rows", word), made))


def _beside(part: Part) -> Html | None:
    rows = [
        (
            kind,
            name,
            decimal(d.number("first")),
            decimal(d.number("second")),
            _change(d),
            whole(found.count("changed")),
        )
        for kind, found in part.children().items()
        for name, d in found.part("metrics").children().items()
    ]
    if not rows:
        return None
    head = ("perturbed", "score", "clean", "perturbed", "change [low, high]", "rows changed")
    return figure("Robustness · 稳健性", table(head, rows, numbers=(2, 3, 4, 5)))


def _domains(part: Part) -> Html | None:
    rows = [
        (
            name,
            metric,
            decimal(d.number("first")),
            decimal(d.number("second")),
            _change(d),
            whole(found.count("n")),
        )
        for name, found in part.children().items()
        for metric, d in found.part("drop").children().items()
    ]
    if not rows:
        return None
    head = ("set", "score", "in domain", "there", "change [low, high]", "rows")
    return figure("Out of domain · 域外测试", table(head, rows, numbers=(2, 3, 4, 5)))


def _change(part: Part) -> str:
    value, low, high = (part.number(name) for name in ("value", "low", "high"))
    return "–" if value is None or low is None or high is None else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
