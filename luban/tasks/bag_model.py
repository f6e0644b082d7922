"""Bags of n-grams under a linear layer, in open files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luban.errors import CheckpointError, MissingExtra
from luban.files import read_json, write_json
from luban.native.bag import MAX_NGRAMS, NativeBag
from luban.native.build import is_available
from luban.tasks.decision import Decision

MODEL_TYPE = "luban-bag"
CJK_CHARS = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
Floats = NDArray[np.float64]
Scorer = Callable[[Sequence[str]], Floats]


@dataclass(frozen=True, eq=False)
class Bag:
    """TF-IDF of n-grams under a linear layer: weights (K, features of all views), bias (K,)."""

    labels: tuple[str, ...]
    views: tuple[Any, ...]
    """Vectorisers, each of which counts n-grams of its own; their features stand side by side."""
    weights: NDArray[np.float32]
    bias: Floats

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Return the probability of every label for every text: (n, K)."""
        return Decision().probabilities(self.scorer(texts))

    @cached_property
    def scorer(self) -> Scorer:
        """Texts -> logits (n, K): in native code where there is a compiler, else by scikit-learn."""
        ends = np.cumsum([len(view.idf_) for view in self.views])
        parts = np.split(self.weights.astype(np.float64), ends[:-1], axis=1)
        scorers = [_scorer(view, part) for view, part in zip(self.views, parts, strict=True)]
        return lambda texts: np.asarray(sum((score(texts) for score in scorers), self.bias))

    @property
    def n_parameters(self) -> int:
        """Numbers that were learnt."""
        return self.weights.size + self.bias.size


def save_bag(fitted: Bag, folder: Path) -> None:
    """Write config.json, vocabulary.json and weights.safetensors."""
    from safetensors.numpy import save_file

    views = [
        {"analyzer": view.analyzer, "ngrams": view.ngram_range[1], "features": len(view.idf_)}
        for view in fitted.views
    ]
    config = {"model_type": MODEL_TYPE, "labels": list(fitted.labels), "views": views}
    write_json(folder / "config.json", config)
    write_json(folder / "vocabulary.json", [word for view in fitted.views for word in _words(view)])
    idf = np.concatenate([view.idf_ for view in fitted.views])
    tensors = {"weights": fitted.weights, "bias": fitted.bias, "idf": idf}
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, folder / "weights.safetensors")


def load_bag(folder: Path) -> Bag:
    """Read a folder that `save_bag` wrote; probabilities come out bit for bit the same."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    check_sklearn()
    config = read_json(folder / "config.json")
    words = read_json(folder / "vocabulary.json")
    try:
        tensors = load_file(folder / "weights.safetensors")
        weights, bias, idf = tensors["weights"], tensors["bias"], tensors["idf"]
    except (OSError, SafetensorError, KeyError) as e:
        raise CheckpointError(
            f"{folder / 'weights.safetensors'} cannot be read: {e}", fix="fit the baseline again"
        ) from None
    views = config.get("views") or [{**config, "features": len(words)}]  # older folders have one view
    expected = (len(config["labels"]), sum(view["features"] for view in views))
    if weights.shape != expected or bias.shape != expected[:1] or {len(idf), len(words)} != {expected[1]}:
        raise CheckpointError(
            f"{folder / 'weights.safetensors'}: weights are {weights.shape}, "
            f"config and vocabulary say {expected[:1] + (len(words),)}",
            fix="fit the baseline again",
        )
    made, start = [], 0
    for view in views:
        end = start + view["features"]
        made.append(vectoriser(view["analyzer"] == "char", view["ngrams"]))
        made[-1].set_params(vocabulary={word: i for i, word in enumerate(words[start:end])})
        made[-1].idf_ = idf[start:end]
        start = end
    return Bag(tuple(config["labels"]), tuple(made), weights, bias)


def vectoriser(by_character: bool, ngrams: int) -> Any:
    """Return scikit-learn's counter of n-grams of characters or of words, up to so long ones."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if by_character:
        return TfidfVectorizer(analyzer="char", ngram_range=(1, ngrams), sublinear_tf=True)
    # One-letter words count too, which the usual pattern drops; among words, a Chinese character is one.
    pattern = rf"(?u)[{CJK_CHARS}]|[^\W{CJK_CHARS}]+|[!?]"
    return TfidfVectorizer(analyzer="word", token_pattern=pattern, ngram_range=(1, ngrams), sublinear_tf=True)


def check_sklearn() -> None:
    """Say how to get scikit-learn where it is missing."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise MissingExtra("scikit-learn", "eval") from None


def _words(view: Any) -> list[str]:
    return sorted(view.vocabulary_, key=view.vocabulary_.__getitem__)


def _scorer(view: Any, weights: Floats) -> Scorer:
    """Return what gives the logits of one view, without the bias."""
    ngrams = view.ngram_range[1]
    if ngrams > MAX_NGRAMS or not is_available():
        return lambda texts: np.asarray(view.transform(texts) @ weights.T)
    word = None if view.analyzer == "char" else view.token_pattern
    none = np.zeros(len(weights))
    return NativeBag(_words(view), view.idf_, weights, none, word=word, ngrams=ngrams).logits
