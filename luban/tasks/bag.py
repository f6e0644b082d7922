"""Bag of n-grams with logistic regression: the floor of the ladder, in open files."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.data.examples import Examples, read_examples
from luban.errors import CheckpointError, DataError, MissingExtra
from luban.files import read_json, write_json, write_jsonl
from luban.log import Log
from luban.native.bag import MAX_NGRAMS, NativeBag
from luban.native.build import is_available
from luban.stages import Facts
from luban.tasks.settings import BagSettings

MODEL_TYPE = "luban-bag"
_CJK_CHARS = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_CJK = re.compile(f"[{_CJK_CHARS}]")
_LETTER = re.compile(r"\w")


@dataclass(frozen=True, eq=False)
class Bag:
    """TF-IDF of n-grams under a linear layer: weights (K, features), bias (K,)."""

    labels: tuple[str, ...]
    vectoriser: Any
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability of every label for every text: (n, K)."""
        logits = self.scorer(texts)
        exponents = np.exp(logits - logits.max(-1, keepdims=True))
        return exponents / exponents.sum(-1, keepdims=True)

    @cached_property
    def scorer(self) -> Callable[[Sequence[str]], NDArray[np.float64]]:
        """Texts -> logits (n, K): in native code where there is a compiler, else by scikit-learn."""
        vectoriser = self.vectoriser
        word = None if vectoriser.analyzer == "char" else vectoriser.token_pattern
        ngrams = vectoriser.ngram_range[1]
        if ngrams > MAX_NGRAMS or not is_available():
            return lambda texts: np.asarray(vectoriser.transform(texts) @ self.weights.T + self.bias)
        features = sorted(vectoriser.vocabulary_, key=vectoriser.vocabulary_.__getitem__)
        bag = NativeBag(features, vectoriser.idf_, self.weights, self.bias, word=word, ngrams=ngrams)
        return bag.logits

    @property
    def n_parameters(self) -> int:
        """Numbers that were learnt."""
        return self.weights.size + self.bias.size


def bag(settings: BagSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Facts:
    """Fit the baseline on the training rows and save it."""
    _sklearn()
    examples = read_examples(inputs["data"], settings.columns, eval_path=inputs.get("eval"))
    for text in examples.warnings:
        log.warn(text)
    start = time.perf_counter()
    fitted = fit(examples, settings)
    seconds = time.perf_counter() - start
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
        "analyzer": fitted.vectoriser.analyzer,
        "train_seconds": round(seconds, 3),
        "rejects": len(examples.rejects),
        "warnings": examples.warnings,
    }


def fit(examples: Examples, settings: BagSettings) -> Bag:
    """Count n-grams of the training texts and fit one weight per n-gram and label."""
    from sklearn.linear_model import LogisticRegression

    texts = [example.text for example in examples.train]
    labels = sorted({example.label for example in examples.train}, key=examples.labels.index)
    if len(labels) < 2:
        raise DataError(
            f"the training rows hold {len(labels)} label, and a classifier needs two",
            fix="check the label column",
        )
    vectoriser = _vectoriser(is_mostly_cjk(texts), settings.ngrams)
    vectoriser.set_params(max_features=settings.max_features, min_df=2 if len(texts) >= 1000 else 1)
    try:
        counts = vectoriser.fit_transform(texts)
    except ValueError as e:
        raise DataError(
            f"no n-gram can be counted: {e}", fix="check that the text column holds words"
        ) from None
    targets = np.array([labels.index(example.label) for example in examples.train])
    linear = LogisticRegression(C=settings.regularisation, max_iter=1000).fit(counts, targets)
    weights, bias = linear.coef_, linear.intercept_
    if len(labels) == 2:  # one row of weights tells two labels apart; the first label's are zero
        weights, bias = np.vstack([np.zeros_like(weights), weights]), np.concatenate([[0.0], bias])
    return Bag(tuple(labels), vectoriser, weights, bias)


def is_mostly_cjk(texts: Sequence[str]) -> bool:
    """Whether most letters are Chinese or Japanese, which write no spaces between words."""
    sample = " ".join(texts[:1000])
    return len(_CJK.findall(sample)) > 0.3 * max(1, len(_LETTER.findall(sample)))


def save_bag(fitted: Bag, folder: Path) -> None:
    """Write config.json, vocabulary.json and weights.safetensors."""
    from safetensors.numpy import save_file

    vectoriser = fitted.vectoriser
    config = {
        "model_type": MODEL_TYPE,
        "labels": list(fitted.labels),
        "analyzer": vectoriser.analyzer,
        "ngrams": vectoriser.ngram_range[1],
    }
    write_json(folder / "config.json", config)
    write_json(
        folder / "vocabulary.json", sorted(vectoriser.vocabulary_, key=vectoriser.vocabulary_.__getitem__)
    )
    tensors = {"weights": fitted.weights, "bias": fitted.bias, "idf": vectoriser.idf_}
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, folder / "weights.safetensors")


def load_bag(folder: Path) -> Bag:
    """Read a folder that `save_bag` wrote; probabilities come out bit for bit the same."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    _sklearn()
    config = read_json(folder / "config.json")
    words = read_json(folder / "vocabulary.json")
    try:
        tensors = load_file(folder / "weights.safetensors")
        weights, bias, idf = tensors["weights"], tensors["bias"], tensors["idf"]
    except (OSError, SafetensorError, KeyError) as e:
        raise CheckpointError(
            f"{folder / 'weights.safetensors'} cannot be read: {e}", fix="fit the baseline again"
        ) from None
    expected = (len(config["labels"]), len(words))
    if weights.shape != expected or bias.shape != expected[:1] or idf.shape != expected[1:]:
        raise CheckpointError(
            f"{folder / 'weights.safetensors'}: weights are {weights.shape}, "
            f"config and vocabulary say {expected}",
            fix="fit the baseline again",
        )
    vectoriser = _vectoriser(config["analyzer"] == "char", config["ngrams"] - (config["analyzer"] == "char"))
    vectoriser.set_params(vocabulary={word: i for i, word in enumerate(words)})
    vectoriser.idf_ = idf
    return Bag(tuple(config["labels"]), vectoriser, weights, bias)


def _vectoriser(by_character: bool, ngrams: int) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    if by_character:
        return TfidfVectorizer(analyzer="char", ngram_range=(1, ngrams + 1), sublinear_tf=True)
    # One-letter words count too, which the usual pattern drops; among words, a Chinese character is one.
    pattern = rf"(?u)[{_CJK_CHARS}]|[^\W{_CJK_CHARS}]+|[!?]"
    return TfidfVectorizer(analyzer="word", token_pattern=pattern, ngram_range=(1, ngrams), sublinear_tf=True)


def _sklearn() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise MissingExtra("scikit-learn", "eval") from None
