"""Parts about text: the funnel, what the corpus is made of, the tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from luban.report.facts import FunnelStep, Run
from luban.report.markup import Html, Section, element, folded, join, quoted, table
from luban.report.wording import decimal, language, percent, size, whole

MAX_SOURCES = 40


def funnel_section(run: Run) -> Section | None:
    """Show what each cleaning step kept, and one document that it did not."""
    if not run.funnel:
        return None
    first, last = run.funnel[0], run.funnel[-1]
    lead = element(
        "p",
        f"{whole(first.documents_in)} documents came in and {whole(last.documents_out)} stayed "
        f"({percent(last.documents_out, first.documents_in)}, and {percent(last.bytes_out, first.bytes_in)} "
        "of the bytes). Every dropped document is kept with its reason in dropped.jsonl of its stage.",
        f" {run.corpus.rejects} rows or files could not be read; see rejects.jsonl."
        if run.corpus.rejects
        else "",
    )
    return Section("funnel", "Funnel", "清洗漏斗", join(lead, funnel_list(run.funnel)))


def funnel_list(steps: Sequence[FunnelStep]) -> Html:
    """Return what each step let through as bars, with an example of what it did not."""
    most = max((s.documents_in for s in steps), default=0)
    most_bytes = max((s.bytes_in for s in steps), default=0)
    return element("ol", [_step(s, most, most_bytes) for s in steps], class_="funnel")


def corpus_section(run: Run) -> Section | None:
    """Show languages, licences, sources and splits."""
    corpus = run.corpus
    parts: list[Html] = []
    if corpus.languages:
        total = sum(v.get("bytes", 0) for v in corpus.languages.values())
        languages = [
            (language(k), whole(v.get("documents")), size(v.get("bytes")), percent(v.get("bytes", 0), total))
            for k, v in sorted(corpus.languages.items(), key=lambda i: -i[1].get("bytes", 0))
        ]
        parts.append(_titled("Languages", ("language", "documents", "bytes", "share"), languages, (1, 2, 3)))
    if corpus.licences:
        licences = [(k, whole(v)) for k, v in sorted(corpus.licences.items(), key=lambda i: -i[1])]
        parts.append(_titled("Licences", ("licence", "documents"), licences, (1,)))
    if corpus.splits:
        splits = [
            (k, whole(v.get("tokens")), whole(v.get("documents")), size(v.get("bytes")))
            for k, v in corpus.splits.items()
        ]
        parts.append(_titled("Token shards", ("split", "tokens", "documents", "bytes"), splits, (1, 2, 3)))
    if corpus.sources:
        named = sorted(corpus.sources.items(), key=lambda i: -(i[1][0] or 0))
        sources = [(k, licence or "unknown", whole(n)) for k, (n, licence) in named[:MAX_SOURCES]]
        if len(named) > MAX_SOURCES:
            sources.append((f"and {len(named) - MAX_SOURCES} more", "", ""))
        parts.append(_titled("Sources", ("source", "licence", "documents"), sources, (2,)))
    if not parts:
        return None
    return Section("data", "Data and licences", "数据与许可", element("div", parts, class_="grid-of-tables"))


def tokenizer_section(run: Run) -> Section | None:
    """Show vocabulary sizes and how many bytes a token carries in each language."""
    if not run.tokenizers:
        return None
    most = max((v for t in run.tokenizers for v in t.bytes_per_token.values()), default=1.0)
    rows = [
        (
            t.stage if i == 0 else "",
            whole(t.vocab_size) if i == 0 else "",
            language(code) if code else "–",
            join(element("span", decimal(value, 2)), _bar(value, most, "c0")),
        )
        for t in run.tokenizers
        for i, (code, value) in enumerate(t.bytes_per_token.items() or [("", 0.0)])
    ]
    head = ("stage", "vocabulary", "language", "bytes per token")
    lead = element("p", "More bytes per token mean shorter sequences for the same text.")
    return Section("tokenizer", "Tokenizer", "分词器", join(lead, table(head, rows, class_="bars")))


def _step(step: FunnelStep, most: int, most_bytes: int) -> Html:
    lost = step.documents_in - step.documents_out
    head = element(
        "div",
        element("b", step.step),
        element("span", step.stage, class_="soft"),
        element("span", f"−{whole(lost)}" if lost else "all kept", class_="lost" if lost else "soft"),
        class_="step-head",
    )
    if not lost and step.bytes_in == step.bytes_out:
        return element("li", head, class_="idle")
    bars = element(
        "div",
        _measure(
            "documents",
            step.documents_in,
            step.documents_out,
            most,
            (whole(step.documents_in), whole(step.documents_out)),
        ),
        _measure(
            "bytes", step.bytes_in, step.bytes_out, most_bytes, (size(step.bytes_in), size(step.bytes_out))
        ),
        class_="step-bars",
    )
    return element("li", head, bars, _example(step))


def _measure(name: str, before: int, after: int, most: int, words: tuple[str, str]) -> Html:
    text = f"{words[0]} → {words[1]}" if before != after else words[1]
    was, stays = (100 * v / most if most else 0 for v in (before, after))
    bar = element(
        "span",
        element("i", style=f"width:{was:.2f}%", class_="was"),
        element("i", style=f"width:{stays:.2f}%", class_="stays"),
        class_="bar",
        aria_hidden="true",
    )
    return element("div", element("span", name, class_="soft"), bar, element("span", text, class_="number"))


def _example(step: FunnelStep) -> Html | None:
    example = step.example
    if example is None:
        return None
    return folded(
        join("dropped, for example: ", element("b", example.reason or "no reason given")),
        element("p", example.detail) if example.detail else None,
        element("blockquote", quoted(example.text)),
        element("p", element("code", example.id), class_="soft"),
    )


def _bar(value: float, most: float, colour: str) -> Html:
    bar = element("i", style=f"width:{100 * value / most:.1f}%", class_=f"stays {colour}")
    return element("span", bar, class_="bar", aria_hidden="true")


def _titled(
    title: str, head: tuple[str, ...], rows: Sequence[Sequence[str]], numbers: tuple[int, ...]
) -> Html:
    return element("div", element("h3", title), table(head, rows, numbers=numbers))
