"""Ask a tagger for spans, and score them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luban.evaluate.entities import Entity, entity_scores, per_type_table
from luban.evaluate.intervals import bootstrap, signature
from luban.files import hash_path
from luban.log import Log
from luban.records import Example
from luban.stages import Facts
from luban.tasks.classify_score import held_out_scores, median_ms, rows_to_score
from luban.tasks.score import keep_scores, plan_of
from luban.tasks.settings import ScoreSettings
from luban.tasks.tag import Tagger, open_tagger
from luban.tasks.tag_rows import FORM, spans_of
from luban.tasks.task import Closed, Predictor, Trained


def open_spans(folder: Path) -> Predictor:
    """Open a folder to ask it for the spans of texts, in characters."""
    tagger = open_tagger(folder)

    def predict(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [{"spans": spans} for spans in answers_of(tagger, [row["text"] for row in rows])]

    return Predictor(("text",), predict, ("spans",), {"labels": list(tagger.model.config.head.labels)})


def answers_of(tagger: Tagger, texts: Sequence[str]) -> list[list[dict[str, Any]]]:
    """Return the spans of each text: {start, end, type, text, score}."""
    return [
        [
            {"start": a, "end": b, "type": kind, "text": text[a:b], "score": round(sure, 6)}
            for (a, b, kind), sure in spans
        ]
        for text, spans in zip(texts, tagger.find(texts), strict=True)
    ]


def score(settings: ScoreSettings, model: Path, data: Path, out: Path, log: Log) -> Facts:
    """Score spans: precision, recall and F1, over all and by type."""
    rows = rows_to_score(settings, model, data, FORM)
    for text in rows.warnings:
        log.warn(text)
    tagger = open_tagger(model)
    texts, truth = [e.text for e in rows.examples], [spans_of(e.label) for e in rows.examples]
    found = answers_of(tagger, texts)
    said = [[_entity(s) for s in spans] for spans in found]
    plan, n = plan_of(settings), len(texts)
    facts = {
        "metrics": {k: s.plain() for k, s in bootstrap(entity_scores(truth, said), n, plan).items()},
        "per_type": per_type_table(truth, said),
        "counts": {"n": n, "spans": sum(map(len, truth)), "found": sum(map(len, said))},
        "signature": signature("span_f1", n, plan, rows.split, hash_path(data)),
        "latency_ms": median_ms(tagger.find, texts),
        "parameters": sum(p.numel() for p in tagger.model.parameters()),
        "family": tagger.model.config.family,
        "split": rows.split,
    }
    kept = (
        {
            "id": e.id,
            "text": e.text,
            "expected": real,
            "spans": spans,
            "score": float(set(real) == set(guess)),
        }
        for e, real, spans, guess in zip(rows.examples, truth, found, said, strict=True)
    )
    return keep_scores(facts, kept, model, data, out)


def close(trained: Trained) -> Closed:
    """Score validation and test rows with intervals, side by side."""
    tagger = open_tagger(trained.out)

    def statistic(examples: Sequence[Example]) -> Any:
        found = answers_of(tagger, [e.text for e in examples])
        said = [[_entity(s) for s in spans] for spans in found]
        return entity_scores([spans_of(e.label) for e in examples], said)

    return held_out_scores(trained, FORM, statistic, ("f1", "precision", "recall"))


def _entity(span: Mapping[str, Any]) -> Entity:
    return span["start"], span["end"], span["type"]
