"""How the facts of a documents folder are shown: what came in, what each step let through, what is left."""

from __future__ import annotations

from typing import Any


def print_facts(facts: dict[str, Any]) -> None:
    """Print the counts, the funnel, and the tables of languages, licences, splits and lengths."""
    from luban.cli.scores import print_table

    print("  ".join(f"{key} {value:,}" for key, value in facts.get("counts", {}).items()))
    if facts.get("funnel"):
        rows = [
            (
                step["step"],
                f"{step['documents_in']:,}",
                f"{step['documents_in'] - step['documents_out']:,}",
                _megabytes(step["bytes_in"]),
                _megabytes(step["bytes_out"]),
                _example(step["example"]),
            )
            for step in facts["funnel"]
        ]
        print_table(("step", "documents", "dropped", "MB in", "MB out", "example of what was dropped"), rows)
    for key in ("verified", "languages", "licences", "splits", "lengths"):
        if facts.get(key):
            print_table((key, "what"), [(str(k), _plain(v)) for k, v in list(facts[key].items())[:20]])
    if facts.get("rules") or facts.get("labels"):
        from luban.cli.labels import print_labels

        print_labels(facts)
    if facts.get("rejects"):
        print(f"{facts['rejects']} files or rows could not be read: see rejects.jsonl")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.2f}"


def _example(example: dict[str, str] | None) -> str:
    if not example:
        return ""
    text = " ".join(example["text"].split())
    return f"{example['detail']}: {text[:40]}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    return f"{value:,}" if isinstance(value, (int, float)) else str(value)
