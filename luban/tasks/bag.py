"""The baseline of classification: TF-IDF of words and characters under logistic regression.

Beside it, one over n-grams scaled by how well each tells the labels apart (NB-SVM: Wang & Manning, ACL
2012, section 2.2, with logistic loss); the mean of the two is a linear layer as well. Whether it is taken,
the strength of the penalty and a temperature are decided by the loss on the validation rows.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.data.examples import Examples, read_examples
from luban.errors import DataError
from luban.evaluate.calibration import fit_temperature
from luban.files import write_jsonl
from luban.log import Log
from luban.records import Example
from luban.stages import Facts
from luban.tasks.bag_model import CJK_CHARS, Bag, Floats, check_sklearn, save_bag, vectoriser
from luban.tasks.decision import Decision
from luban.tasks.settings import BagSettings

STRENGTHS = (1.0, 4.0, 16.0)
"""Tried on the validation rows where the settings name none."""
USUAL_STRENGTH = 4.0
"""Without validation rows."""
_CJK = re.compile(f"[{CJK_CHARS}]")
_LETTER = re.compile(r"\w")


def bag(settings: BagSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Facts:
    """Fit the baseline on the training rows and save it."""
    check_sklearn()
    examples = read_examples(inputs["data"], settings.columns, eval_path=inputs.get("eval"))
    for text in examples.warnings:
        log.warn(text)
    start, cpu = time.perf_counter(), time.process_time()
    fitted, decided = fit(examples, settings)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    save_bag(fitted, out)
    write_jsonl(out / "rejects.jsonl", examples.rejects)
    write_jsonl(
        out / "test.jsonl.gz", ({"id": e.id, "text": e.text, "label": e.label} for e in examples.test)
    )
    return {
        "counts": {
            "parameters": fitted.n_parameters,
            "features": fitted.weights.shape[1],
            "train_rows": len(examples.train),
            "validation_rows": len(examples.validation),
            "test_rows": len(examples.test),
        },
        "family": "bag",
        "labels": list(fitted.labels),
        "views": [f"{view.analyzer} 1-{view.ngram_range[1]}" for view in fitted.views],
        **decided,
        "train_seconds": round(seconds, 3),
        "cpu_seconds": round(cpu, 3),
        "rejects": len(examples.rejects),
        "warnings": examples.warnings,
    }


def fit(examples: Examples, settings: BagSettings) -> tuple[Bag, Facts]:
    """Count n-grams of the training texts, fit one weight per n-gram and label; also what was decided."""
    texts = [example.text for example in examples.train]
    labels = sorted({example.label for example in examples.train}, key=examples.labels.index)
    if len(labels) < 2:
        raise DataError(
            f"the training rows hold {len(labels)} label, and a classifier needs two",
            fix="check the label column",
        )
    views = _views(is_mostly_cjk(texts), len(labels), settings)
    for view in views:
        view.set_params(max_features=settings.max_features, min_df=2 if len(texts) >= 1000 else 1)
    try:
        counts = [view.fit_transform(texts) for view in views]
    except ValueError as e:
        raise DataError(
            f"no n-gram can be counted: {e}", fix="check that the text column holds words"
        ) from None
    held_out = [example for example in examples.validation if example.label in labels]
    seen = _side_by_side([view.transform([e.text for e in held_out]) for view in views]) if held_out else None
    found = _weights(
        settings, _side_by_side(counts), _numbers(examples.train, labels), seen, _numbers(held_out, labels)
    )
    weights, bias = found.weights / found.temperature, found.bias / found.temperature
    facts = {"regularisation": float(found.strength), "naive_bayes": found.scaled}
    return Bag(tuple(labels), tuple(views), weights.astype(np.float32), bias), facts


def is_mostly_cjk(texts: Sequence[str]) -> bool:
    """Whether most letters are Chinese or Japanese, which write no spaces between words."""
    sample = " ".join(texts[:1000])
    return len(_CJK.findall(sample)) > 0.3 * max(1, len(_LETTER.findall(sample)))


def log_count_ratios(counts: Any, targets: NDArray[np.int64]) -> Floats:
    """Return how well each n-gram tells a label from the others: root mean square over labels, (features,).

    The log of p / q, where p and q are the shares of the label's rows, and of the others, that hold the
    n-gram, as if one row more of each did, and one did not.
    """
    there = (counts > 0).astype(np.float64)
    total, squares = np.asarray(there.sum(0)).ravel(), np.zeros(there.shape[1])
    labels, sizes = np.unique(targets, return_counts=True)
    for label, n in zip(labels, sizes, strict=True):
        inside = np.asarray(there[targets == label].sum(0)).ravel()
        p, q = (inside + 1) / (n + 2), (total - inside + 1) / (len(targets) - n + 2)
        squares += np.log(p / q) ** 2
    return np.asarray(np.sqrt(squares / len(labels)))


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Weights (K, features) and bias (K,), and how they do on the validation rows."""

    weights: Floats
    bias: Floats
    strength: float
    scaled: bool
    losses: Floats
    """Of the validation rows, after the temperature."""
    temperature: float


def _weights(
    settings: BagSettings, counts: Any, targets: NDArray[np.int64], seen: Any, truth: NDArray[np.int64]
) -> _Found:
    """Return the weights that do best on the validation rows, if there are any.

    The mean of both kinds is taken where its loss is lower by more than one standard error.
    """
    named = settings.regularisation or (USUAL_STRENGTH if seen is None else None)
    strengths = [named] if named else STRENGTHS
    ratios = log_count_ratios(counts, targets)
    pairs = list(
        zip(
            _fitted(settings, counts, targets, np.ones_like(ratios), strengths),
            _fitted(settings, counts, targets, ratios, strengths),
            strengths,
            strict=True,
        )
    )
    plain = [_judged(one, strength, seen, truth) for one, _, strength in pairs]
    means = [(((one[0] + other[0]) / 2, (one[1] + other[1]) / 2), c) for one, other, c in pairs]
    mixed = [_judged(mean, strength, seen, truth, scaled=True) for mean, strength in means]
    best, rival = (min(some, key=lambda found: float(found.losses.mean())) for some in (plain, mixed))
    better = best.losses - rival.losses
    return rival if better.mean() > better.std() / len(better) ** 0.5 else best


def _fitted(
    settings: BagSettings, counts: Any, targets: NDArray[np.int64], scale: Floats, strengths: Sequence[float]
) -> Iterator[tuple[Floats, Floats]]:
    """Yield the weights (K, features) and bias (K,) of each strength, for n-grams so scaled."""
    from scipy.sparse import diags
    from sklearn.linear_model import LogisticRegression

    # Of two labels, liblinear's trust region is ten times faster than what also knows more of them.
    is_pair = len(np.unique(targets)) == 2
    linear = LogisticRegression(
        max_iter=1000,
        class_weight=None if settings.class_weights == "none" else settings.class_weights,
        solver="liblinear" if is_pair else "lbfgs",
        warm_start=not is_pair,
    )
    scaled = (counts @ diags(scale)).tocsr()
    for strength in strengths:
        linear.set_params(C=strength).fit(scaled, targets)
        weights, bias = linear.coef_ * scale, linear.intercept_.copy()
        if is_pair:  # one row of weights tells two labels apart; the first label's are zero
            weights, bias = np.vstack([np.zeros_like(weights), weights]), np.concatenate([[0.0], bias])
        yield weights, bias


def _judged(
    weights: tuple[Floats, Floats], strength: float, seen: Any, truth: NDArray[np.int64], scaled: bool = False
) -> _Found:
    """Return weights with their losses on the validation rows after the best temperature."""
    if seen is None:
        return _Found(*weights, strength, scaled, np.zeros(1), 1.0)
    logits = np.asarray(seen @ weights[0].T + weights[1])
    temperature = fit_temperature(logits, truth)
    probabilities = Decision(temperature=temperature).probabilities(logits)
    losses = -np.log(probabilities[np.arange(len(truth)), truth] + 1e-300)
    return _Found(*weights, strength, scaled, losses, temperature)


def _views(is_cjk: bool, n_labels: int, settings: BagSettings) -> list[Any]:
    """Return what is counted: words where spaces part them, and characters."""
    usual = 4 if is_cjk else 5 if n_labels == 2 else 0
    characters = usual if settings.characters is None else settings.characters
    words = 0 if is_cjk and characters else settings.words
    return [vectoriser(by_character, n) for by_character, n in ((False, words), (True, characters)) if n]


def _side_by_side(counts: Sequence[Any]) -> Any:
    from scipy.sparse import hstack

    return hstack(counts).tocsr()


def _numbers(examples: Sequence[Example], labels: Sequence[str]) -> NDArray[np.int64]:
    return np.array([labels.index(example.label) for example in examples], np.int64)
