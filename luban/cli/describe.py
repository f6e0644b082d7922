"""How `luban data describe` shows what a folder holds on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MAX_ROWS = 12
MAX_LANGUAGES = 6
BLOCKS = " ▁▂▃▄▅▆▇█"


def print_description(facts: dict[str, Any]) -> None:
    """Print the facts of the folder, then what was found in its documents or shards."""
    from luban.cli.facts import print_facts

    census, shards = facts.get("census"), facts.get("shards")
    shown = {name: value for name, value in facts.items() if not census or name not in HAVE_TABLES}
    print_facts(shown)
    if census:
        _print_census(census)
    if shards:
        _print_shards(shards)
    _print_losses(facts.get("losses", {}))


HAVE_TABLES = ("languages", "licences", "splits")
"""Facts of the manifest that the census shows with more about them."""


def _print_census(census: dict[str, Any]) -> None:
    from luban.cli.scores import print_table

    for name, values in census["tables"].items():
        if name in ("year", "label") and list(values) == ["unknown"]:
            continue
        rows = [(value, f"{c['documents']:,}", f"{c['bytes'] / 1e6:.2f}", "") for value, c in values.items()]
        print_table((name, "documents", "MB", ""), _cut(rows), name)
    rows = [
        (
            name,
            f"{s['n']:,}",
            *(f"{s[k]:,}" for k in ("least", "tenth", "median", "nine tenths", "most")),
            _bars(s),
        )
        for name, s in census["lengths"].items()
        if s["n"]
    ]
    head = ("language", "documents", "least", "tenth", "median", "nine tenths", "most", "short to long")
    print_table(head, _cut(rows), "lengths in characters")
    _print_quality(census)
    _print_tokens(census["tokens"])
    _print_phrases(census)


def _print_phrases(census: dict[str, Any]) -> None:
    """Print the top words of the languages that are a hundredth of the text, and of the first."""
    sizes = census["tables"].get("language", {})
    for i, (name, kinds) in enumerate(census["phrases"].items()):
        if i and sizes.get(name, {}).get("bytes", 0) < 0.01 * census["bytes"]:
            continue
        for of, top in kinds.items():
            if top:
                print(f"{name}, {of}: " + ", ".join(f"{text} {n:,}" for text, n in top[:MAX_ROWS]))


def _print_quality(census: dict[str, Any]) -> None:
    from luban.cli.scores import print_table

    measures = census["quality"]
    names = list(census["lengths"])[:MAX_LANGUAGES]
    rows = [
        (measure, *(_median(found["languages"].get(name)) for name in names), found["of"])
        for measure, found in measures.items()
    ]
    if names and rows:
        print_table(("% of a document", *names, "of"), rows, "quality: median, and nine tenths are below")


def _median(spread: dict[str, Any] | None) -> str:
    return f"{spread['median']:g} ({spread['nine tenths']:g})" if spread and spread["n"] else ""


def _print_tokens(tokens: dict[str, Any]) -> None:
    from luban.cli.scores import print_table

    rows = [
        (
            name,
            f"{t['tokens_estimated']:,}",
            f"{t['bytes_per_token']:.2f}",
            f"counted in {t['documents']:,} documents",
        )
        for name, t in tokens.items()
    ]
    if rows:
        print_table(("language", "tokens", "bytes per token", ""), _cut(rows), "tokens")


def _print_shards(shards: dict[str, Any]) -> None:
    from luban.cli.scores import print_table

    for name, values in shards["tables"].items():
        rows = [(value, f"{c['documents']:,}", f"{c['tokens']:,}", "") for value, c in values.items()]
        if rows:
            print_table((name, "documents", "tokens", ""), _cut(rows), name)
    rows = [
        (name, f"{s['n']:,}", *(f"{s[k]:,}" for k in ("least", "median", "nine tenths", "most")), _bars(s))
        for name, s in shards["lengths"].items()
        if s["n"]
    ]
    print_table(
        ("split", "documents", "least", "median", "nine tenths", "most", "short to long"),
        rows,
        "lengths in tokens",
    )
    vocabulary = shards["vocabulary"]
    print(
        f"{vocabulary['used']:,} of {vocabulary['size']:,} tokens are used; the {vocabulary['half']:,} most "
        "frequent are half of all"
    )
    if shards["problem"]:
        print(shards["problem"])


def _print_losses(losses: dict[str, Any]) -> None:
    from luban.cli.scores import print_table

    dropped = sorted(losses.get("dropped", ()), key=lambda d: -d["documents"])
    rows = [
        (
            d["stage"],
            d["step"],
            f"{d['documents']:,}",
            f"{d['reason']}: {d['samples'][0]['detail']}" if d["samples"] else d["reason"],
        )
        for d in dropped
    ]
    if rows:
        print_table(
            ("stage", "step", "dropped", "reason, and one of them"), _cut(rows), "dropped on the way here"
        )
    rejected = [(f"{r['rows']:,}", r["example"]) for r in losses.get("rejected", ())]
    if rejected:
        print_table(("rows", "reason, and the first of them"), _cut(rejected), "could not be read")


def _bars(spread: dict[str, Any]) -> str:
    """Return a histogram of one line."""
    counts = [n for _, _, n in spread["bars"]]
    return "".join(BLOCKS[-(-n * (len(BLOCKS) - 1) // max(counts))] for n in counts)


def _cut(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the first rows, and how many more there are."""
    if len(rows) <= MAX_ROWS:
        return list(rows)
    return [*rows[:MAX_ROWS], (f"and {len(rows) - MAX_ROWS} more", *[""] * (len(rows[0]) - 1))]
