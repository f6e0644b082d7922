"""Parts about token shards: tokens by language and source, lengths, vocabulary, samples."""

from __future__ import annotations

from luban.report.bars import bar_table, histogram
from luban.report.markup import Html, Section, element, figure, join
from luban.report.reading import Part
from luban.report.sections.documents import bars_of, counted, sample
from luban.report.wording import brief, language, percent, several, share, shorten, whole

MAX_ROWS = 30


def shard_sections(shards: Part) -> list[Section | None]:
    """Return the parts of a page about shards; none where there are none."""
    if not shards.data:
        return []
    return [_tables(shards), _lengths(shards), _vocabulary(shards.part("vocabulary")), _samples(shards)]


def _tables(shards: Part) -> Section | None:
    parts: list[Html] = []
    for name in ("language", "source", "licence"):
        found = shards.part("tables").part(name).children()
        total = sum(p.number("tokens") or 0 for p in found.values())
        rows = [
            (
                language(value) if name == "language" else shorten(value, 90),
                (
                    whole(p.count("documents")),
                    whole(p.count("tokens")),
                    share(p.number("tokens") or 0, total),
                ),
                p.number("tokens") or 0,
            )
            for value, p in list(found.items())[:MAX_ROWS]
        ]
        if rows:
            head = (name, "documents", "tokens", "share")
            parts.append(element("div", element("h3", f"{name.capitalize()}s"), bar_table(head, rows)))
    return (
        Section("data", "Tokens by language and source", "词元的语言与来源", join(parts)) if parts else None
    )


def _lengths(shards: Part) -> Section | None:
    charts = [
        figure(
            f"{split}: {several(p.count('n'), 'document')}",
            histogram(bars_of(p), unit="tokens", mark=p.number("median")),
        )
        for split, p in shards.part("lengths").children().items()
        if p.count("n")
    ]
    return (
        Section("lengths", "Lengths", "文本长度", element("div", charts, class_="figures"))
        if charts
        else None
    )


def _vocabulary(part: Part) -> Section | None:
    n, used = part.count("size"), part.count("used")
    if not n or used is None:
        return None
    lead = element(
        "p",
        f"{whole(used)} of {whole(n)} tokens are used ({percent(used, n)}), {whole(part.count('rare'))} of "
        f"them less than ten times; the {whole(part.count('half'))} most frequent ones are half of the text.",
    )
    rows = [
        (element("code", _visible(text)), (brief(n),), float(n)) for text, n in counted(part.values("top"))
    ]
    half = -(-len(rows) // 2)
    tables = [bar_table(("token", "times"), some, colour="c2") for some in (rows[:half], rows[half:]) if some]
    return Section(
        "vocabulary", "Vocabulary", "词表", join(lead, element("div", tables, class_="grid-of-tables"))
    )


def _visible(text: str) -> str:
    return shorten(text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥"), 40)


def _samples(shards: Part) -> Section | None:
    parts: list[Html] = []
    for split in shards.part("samples").data:
        for p in shards.part("samples").parts(split):
            parts.append(sample(p))
    lead = element("p", shards.text("problem") or "Read back from the tokens.")
    return Section("samples", "Samples", "样本", join(lead, parts))
