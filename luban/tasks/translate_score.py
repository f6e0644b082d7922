"""Score translations: BLEU and chrF by sacreBLEU against one reference and against all, with intervals."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luban.errors import DataError
from luban.evaluate.bleu import Counts, score_translations
from luban.evaluate.intervals import Plan, interval_text, signature
from luban.files import Manifest, hash_path
from luban.log import Log
from luban.runner import input_key
from luban.stages import Facts
from luban.tasks.score import keep_scores, plan_of
from luban.tasks.settings import ScoreSettings
from luban.tasks.task import Closed, Trained
from luban.tasks.translate_rows import Pair, read_all_pairs, read_pairs
from luban.tasks.translate_settings import PairColumns
from luban.tasks.translator import load_translator

SHOWN = 3
"""Translations that are printed after training."""
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Rows:
    """The pairs to score and which part of the file they are."""

    pairs: list[Pair]
    split: str
    warnings: list[str]


def score(settings: ScoreSettings, model: Path, data: Path, out: Path, log: Log) -> Facts:
    """Translate the sources of pairs with five beams and compare with the references.

    bleu and chrf are against the row's own translation; bleu_multi and chrf_multi against the
    alternatives too, where there are any.
    """
    rows = rows_to_score(settings.split, model, data)
    for text in rows.warnings:
        log.warn(text)
    pairs = rows.pairs
    translator = load_translator(model)
    start = time.perf_counter()
    found = [t.text for t in translator.translate([pair.source for pair in pairs])]
    seconds = time.perf_counter() - start
    plan = plan_of(settings)
    metrics, signatures = scored(found, pairs, plan)
    facts = {
        "metrics": metrics,
        "counts": {"n": len(pairs), "references": sum(len(pair.references) for pair in pairs)},
        "signature": signature("bleu", len(pairs), plan, rows.split, hash_path(data)),
        "signatures": signatures,
        "beams": translator.beams.n_beams,
        "latency_ms": None,
        "sentences_per_second": round(len(pairs) / max(seconds, 1e-9), 2),
        "parameters": sum(p.numel() for p in translator.model.parameters()),
        "family": translator.model.config.family,
        "split": rows.split,
    }
    chrf = Counts(found, [pair.references for pair in pairs]).sentences("chrf")
    written = (
        {"id": p.id, "source": p.source, "translation": t, "references": list(p.references), "chrf": c}
        for p, t, c in zip(pairs, found, chrf, strict=True)
    )
    return keep_scores(facts, written, model, data, out)


def scored(
    found: Sequence[str], pairs: Sequence[Pair], plan: Plan
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Return the scores, and sacreBLEU's signature of each."""
    one = score_translations(found, [pair.references[:1] for pair in pairs], plan)
    metrics = {name: s.plain() for name, s in one.scores.items()}
    signatures = dict(one.signatures)
    if any(pair.others for pair in pairs):
        all_of_them = score_translations(found, [pair.references for pair in pairs], plan)
        metrics |= {f"{name}_multi": s.plain() for name, s in all_of_them.scores.items()}
        signatures |= {f"{name}_multi": s for name, s in all_of_them.signatures.items()}
    return metrics, signatures


def close(trained: Trained) -> Closed:
    """Score the test rows, and show some translations."""
    rows = _own_rows("test", trained.settings, trained.inputs["data"], trained.inputs.get("eval"))
    found = [t.text for t in load_translator(trained.out).translate([p.source for p in rows.pairs])]
    metrics, signatures = scored(found, rows.pairs, Plan())
    table = [
        ("test", name, f"{s['value']:.2f}", str(s["n"]), interval_text(s, 2)) for name, s in metrics.items()
    ]
    shown = [f"{p.source}  →  {t}" for p, t in zip(rows.pairs[:SHOWN], found, strict=False)]
    lines = ("", *shown, "", *signatures.values(), "", f"luban translate {trained.out} FILE")
    return Closed(
        {"out": str(trained.out), "test": metrics, "signatures": signatures},
        lines=lines,
        header=("rows", "score", "value", "n", "interval"),
        table=tuple(table),
    )


def rows_to_score(split: str, model: Path, data: Path) -> Rows:
    """Return the pairs of the wanted split, in the model's direction, or all of a file without splits.

    Of the very file that the model was trained on, the rows are those that training held out.
    """
    manifest = Manifest.read(model)
    told = manifest.settings if manifest is not None and manifest.stage == "translate" else {}
    columns, reverse = PairColumns(**told.get("columns", {})), bool(told.get("reverse", False))
    if manifest is not None and (manifest.inputs.get("data") or {}).get("key") == input_key(data):
        eval_path = Path(manifest.inputs["eval"]["path"]) if "eval" in manifest.inputs else None
        pairs = read_pairs(data, columns, reverse=reverse, eval_path=eval_path)
        return _chosen(pairs.part(split), split, pairs.warnings, data)
    rows, rejects = read_all_pairs(data, columns, reverse=reverse)
    warnings = [f"{len(rejects)} rows cannot be used; the first: {rejects[0]['reason']}"] if rejects else []
    if all(part is None for _, part in rows):
        return Rows([pair for pair, _ in rows], "all", warnings)
    there = Counter(part or "train" for _, part in rows)
    if split == "test" and not there["test"] and there["validation"]:
        split = "validation"
        warnings.append("there is no test part: the dev part is scored")
    return _chosen([pair for pair, part in rows if (part or "train") == split], split, warnings, data)


def _own_rows(split: str, settings: Any, data: Path, eval_path: Path | None) -> Rows:
    pairs = read_pairs(data, settings.columns, reverse=settings.reverse, eval_path=eval_path)
    return _chosen(pairs.part(split), split, pairs.warnings, data)


def _chosen(pairs: list[Pair], split: str, warnings: list[str], data: Path) -> Rows:
    if not pairs:
        raise DataError(f"{data} has no pairs of the split {split}", fix="choose another --split")
    return Rows(pairs, split, warnings)
