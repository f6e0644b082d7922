"""Parts about the documents of a folder: tables, lengths, quality, duplicates, tokens, phrases, samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luban.report.bars import bar_table, histogram
from luban.report.charts import Line, line_chart
from luban.report.markup import Html, Section, element, figure, join, quoted, table
from luban.report.reading import Part
from luban.report.wording import brief, decimal, language, magnitude, several, share, shorten, size, whole

MAX_LANGUAGES = 6
"""Languages with charts of their own; tables have more of them."""
MIN_DOCUMENTS = 20
MAX_ROWS = 30
MAX_PHRASES = 15
TABLES = {
    "language": "Languages",
    "source": "Sources",
    "licence": "Licences",
    "year": "Years",
    "split": "Splits",
    "label": "Labels",
}


def tables_section(census: Part) -> Section | None:
    """Show documents and bytes of each language, source, licence, year, split and label."""
    tables = census.part("tables")
    parts = [_value_table(name, title, tables.part(name)) for name, title in TABLES.items()]
    shown = [p for p in parts if p]
    if not shown:
        return None
    return Section("data", "Languages, sources, licences", "语言、来源与许可", join(shown))


def _value_table(name: str, title: str, part: Part) -> Html | None:
    rows = list(part.children().items())
    if not rows or (name in ("year", "label") and list(part.data) == ["unknown"]):
        return None
    if name == "year":
        rows.sort(key=lambda item: item[0])
    total = sum(p.number("bytes") or 0 for _, p in rows)
    made = [
        (
            language(value) if name == "language" else shorten(value, 90),
            (whole(p.count("documents")), size(p.number("bytes")), share(p.number("bytes") or 0, total)),
            p.number("bytes") or 0,
        )
        for value, p in rows[:MAX_ROWS]
    ]
    more = f"and {whole(len(rows) - MAX_ROWS)} more" if len(rows) > MAX_ROWS else None
    return element(
        "div",
        element("h3", title),
        bar_table((name, "documents", "text", "share"), made),
        element("p", more, class_="soft") if more else None,
    )


def lengths_section(census: Part) -> Section | None:
    """Show how long documents are in each language."""
    kinds = [(k, p) for k, p in census.part("lengths").children().items() if p.count("n")]
    if not kinds:
        return None
    charts = [
        figure(
            f"{language(name)}: {several(p.count('n'), 'document')}",
            histogram(bars_of(p), unit="characters", mark=p.number("median")),
        )
        for name, p in _many(kinds)[:MAX_LANGUAGES]
    ]
    head = ("language", "documents", "least", "a tenth below", "median", "nine tenths below", "most", "mean")
    marks = ("least", "tenth", "median", "nine tenths", "most", "mean")
    rows = [
        (language(name), whole(p.count("n")), *(whole(p.number(mark)) for mark in marks)) for name, p in kinds
    ]
    body = join(
        element(
            "p", "Characters of a document. The bars are on a logarithmic axis, five to a factor of ten."
        ),
        element("div", charts, class_="figures"),
        table(head, rows, numbers=range(1, len(head))),
    )
    return Section("lengths", "Lengths", "文本长度", body)


def _many(kinds: list[tuple[str, Part]], of: str = "n") -> list[tuple[str, Part]]:
    """Leave out languages with so few documents that a chart says nothing; keep one at least."""
    return [kind for kind in kinds if (kind[1].count(of) or 0) >= MIN_DOCUMENTS] or kinds[:1]


def quality_section(census: Part) -> Section | None:
    """Show measures of quality, one chart each with a curve for each language."""
    charts = []
    for name, measure in census.part("quality").children().items():
        chart = _shares(measure.part("languages"), "per cent")
        if chart:
            charts.append(figure(name.capitalize(), chart, element("p", measure.text("of"), class_="soft")))
    chart = _shares(census.part("word_lengths"), "characters a word")
    if chart:
        of = element("p", "mean of a document, in scripts with spaces", class_="soft")
        charts.append(figure("Word length", chart, of))
    if not charts:
        return None
    lead = element(
        "p",
        "Each document is measured; a curve shows what share of a language's documents has at most so much: "
        "what a filter with its threshold there would keep.",
    )
    return Section("quality", "Quality", "质量", join(lead, element("div", charts, class_="figures")))


def _shares(kinds: Part, unit: str) -> Html | None:
    lines = []
    for i, (name, p) in enumerate(_many(list(kinds.children().items()))[:4]):
        points = _cumulated(bars_of(p))
        if points:
            lines.append(Line(language(name), points, i, dots=len(points) < 4))
    most = max((line.points[-1][0] for line in lines), default=0.0)
    if lines and most == min(line.points[0][0] for line in lines):
        most += 1  # all documents have the same
    lines = [replace(line, points=(*line.points, (most, 100.0))) for line in lines]
    return line_chart(lines, x_name=unit, y_name="% with at most this", height=200) if lines else None


def _cumulated(bars: list[tuple[float, float, float]]) -> tuple[tuple[float, float], ...]:
    """Return which share of the documents has at most so much, from none on."""
    total, seen = sum(n for _, _, n in bars), 0.0
    points = [(bars[0][0], 0.0)] if bars else []
    for low, _, n in bars:
        seen += n
        points.append((low, 100 * seen / total))
    return tuple(points) if total else ()


def duplicates_section(facts: Part) -> Section | None:
    """Show what was dropped as a duplicate, how alike near-duplicates are, and clusters that are left."""
    losses, clusters = facts.part("losses"), facts.part("census").part("cluster_sizes")
    rows = [
        (p.text("step"), whole(p.count("documents")), magnitude(p.number("chars")))
        for p in losses.parts("dropped")
        if "duplicate" in p.text("reason")
    ]
    jaccard = losses.part("jaccard")
    charts = []
    if jaccard.count("n"):
        charts.append(
            figure(
                "Near-duplicates dropped, by how alike they are to what stays",
                histogram(bars_of(jaccard), unit="Jaccard similarity in per cent"),
            )
        )
    sizes = clusters.part("sizes")
    if sizes.count("n"):
        about = (
            f"{whole(clusters.count('alone'))} of {whole(clusters.count('clusters'))} are of one document."
        )
        charts.append(
            figure(
                "Clusters of similar documents that are left",
                histogram(bars_of(sizes), unit="documents in a cluster", of="clusters"),
                element("p", about, class_="soft"),
            )
        )
    if not rows and not charts:
        return None
    listed = table(("step", "documents dropped", "characters"), rows, numbers=(1, 2)) if rows else None
    return Section("duplicates", "Duplicates", "重复", join(listed, element("div", charts, class_="figures")))


def tokens_section(census: Part) -> Section | None:
    """Show tokens and bytes per token of each language."""
    kinds = list(census.part("tokens").children().items())
    if not kinds:
        return None
    rows = [
        (
            language(name),
            (
                whole(p.count("tokens_estimated")),
                whole(p.count("documents")),
                decimal(p.number("bytes_per_token"), 2),
            ),
            p.number("bytes_per_token") or 0,
        )
        for name, p in kinds
    ]
    charts = [
        figure(
            language(name),
            histogram(
                bars_of(p.part("per_document")), unit="tokens", mark=p.part("per_document").number("median")
            ),
        )
        for name, p in _many(kinds, "documents")[:MAX_LANGUAGES]
    ]
    lead = element(
        "p",
        "Counted in a sample of the documents that is the same each time, and the whole estimated from it; "
        "a language with little text is counted whole.",
    )
    head = ("language", "tokens", "documents counted", "bytes per token")
    body = join(lead, bar_table(head, rows), element("div", charts, class_="figures"))
    return Section("tokens", "Tokens", "词元", body)


def phrases_section(census: Part) -> Section | None:
    """Show the most frequent words and phrases."""
    parts: list[Html] = []
    sampled = census.part("sampled")
    enough = dict(_many(list(sampled.children().items()), "documents"))
    kinds = [(name, kind) for name, kind in census.part("phrases").children().items() if name in enough]
    for name, kind in kinds[:MAX_LANGUAGES]:
        tables = [
            bar_table((of, "times"), rows, colour="c2")
            for of in kind.data
            if (rows := _phrases(kind, of, name))
        ]
        if tables:
            about = f"in {several(sampled.part(name).count('documents'), 'document')}"
            title = element("h3", language(name), " ", element("small", about, class_="soft"))
            parts += [title, element("div", tables, class_="thirds")]
    if not parts:
        return None
    lead = element(
        "p",
        "Words without the commonest, and phrases of three words; of scripts without spaces runs of "
        "characters that do not begin or end with a grammatical one. "
        "What is on top should be what the texts are about: a line that is on every page stands out here.",
    )
    return Section("phrases", "Words and phrases", "高频词语", join(lead, parts))


def _phrases(kind: Part, of: str, code: str) -> list[tuple[Html, tuple[str], float]]:
    spoken = code if len(code) < 4 else None
    return [
        (element("span", shorten(text, 60), lang=spoken), (brief(n),), float(n))
        for text, n in counted(kind.values(of)[:MAX_PHRASES])
    ]


def counted(values: list[Any]) -> list[tuple[str, int]]:
    """Return the pairs of a text and a count that are usable."""
    return [
        (str(pair[0]), pair[1])
        for pair in values
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], int)
    ]


def samples_section(census: Part) -> Section | None:
    """Show some documents of each language."""
    parts: list[Html] = []
    for name in census.part("samples").data:
        shown = [sample(p) for p in census.part("samples").parts(name)]
        if shown:
            parts.append(element("div", element("h3", language(name)), shown))
    if not parts:
        return None
    lead = element("p", "Chosen by a hash of each document: the same ones each time, whatever their order.")
    return Section("samples", "Samples", "样本", join(lead, parts))


def sample(part: Part) -> Html:
    """Return a document as people read it: where it is from, why it went if it did, how it begins."""
    chars = part.count("chars")
    about = [part.text("source"), part.text("id"), several(chars, "character") if chars is not None else ""]
    about += [several(part.count("tokens"), "token")] if part.count("tokens") is not None else []
    more = "…" if chars is not None and chars > len(part.text("text")) else ""
    return element(
        "div",
        element("p", part.text("detail")) if part.text("detail") else None,
        element("blockquote", quoted(part.text("text") + more, 500)),
        element("p", element("small", " · ".join(a for a in about if a)), class_="soft"),
        class_="sample",
    )


def bars_of(part: Part) -> list[tuple[float, float, float]]:
    """Return the bars of a spread that are usable."""
    return [
        (float(bar[0]), float(bar[1]), float(bar[2]))
        for bar in part.values("bars")
        if isinstance(bar, list) and len(bar) == 3 and all(isinstance(v, int | float) for v in bar)
    ]
