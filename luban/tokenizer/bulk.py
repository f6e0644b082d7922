"""Many texts to ids, several times faster than `tokenizers`, by `tiktoken` over the same merges.

Both cut a text by a pattern and merge inside the pieces, lowest merge first. They part in one thing:
tiktoken merges whatever pair spells a token, `tokenizers` only the pairs in its list. If every token is
made by one merge, of parts made before it, and its own bytes come out as that token alone, then no other
pair that spells it ever stands side by side, and the ids are the same. That is checked for the whole
vocabulary, and then a sample of difficult texts is encoded both ways.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tokenizers
from tokenizers import models

from luban.log import Log
from luban.tokenizer.alphabet import BYTES

Array = np.ndarray[Any, Any]
BULK_CHARS = 500_000
"""A batch with fewer characters is not worth the half second that getting ready takes."""
LONG_CHARS = 200_000
"""In a longer text, runs of spaces are looked for: tiktoken's pattern goes back over each, on a stack."""
_LONG_RUN = re.compile(r"\s{50000}")
_UNKNOWN = 1 << 31
"""Bytes that a vocabulary lacks have ids from here on."""
_NEVER = {"\U0010fffd\U0010fffe": (1 << 32) - 1}
"""A special token that stays text: without any, tiktoken looks for the empty one at every place."""
GPT2_CUT = r"'(?:[dmst]|re|ve|ll)| ?+(?>\p{L}+|\p{N}+|[^\s\p{L}\p{N}]+)|\s+(?!\S)|\s"
"""What GPT-2's pattern finds, written so that no letter is looked at twice."""
DIGITS_CUT = r"\p{N}|'(?:[dmst]|re|ve|ll)| ?+(?>\p{L}+|[^\s\p{L}\p{N}]+)|\s+(?![^\s\p{N}])|\s"
"""The same after every digit has been cut off, as SmolLM does."""
SAMPLE = (
    "It's 1999's, we'll see: I'd say they've 3.14 %  \t\n\n  and more… don't DON'T '\u017fs '\u212a x",
    "今天天气很好，我们去颐和园吧！１２３　全角空格。\u3000《红楼梦》第一回　甄士隐",
    "naïve e\u0301 \u0915\u094d\u0937 👩\u200d👩\u200d👧 \U0001f1e8\U0001f1f3 ½ⅷ²",
    "a\u00a0\u2028b\u0085\ufeffc\x00\x1f d",
    "  leading,   inner \r\n\r\n trailing   ",
    "<|endoftext|> <|cls|> [MASK] </s>",
    "",
    " " * 3000 + "x" + "\n" * 3000,
    "a" * 3000 + "哈" * 3000 + "=" * 3000 + "7" * 3000,
    "def f(x):\n\tif x:\n\t\treturn {'a': [1, 2.5e-3]}  # 注释\n" * 5,
)


@dataclass(frozen=True, slots=True)
class Ready:
    """A tokenizer as tiktoken reads it: ids are ranks, for merges come in the order of their ids."""

    cut: str
    ids: Mapping[bytes, int]


class Bulk:
    """Encodes batches for one `tokenizers` backend, through tiktoken where that gives the same ids."""

    def __init__(self, backend: tokenizers.Tokenizer):
        self._backend = backend

    def __reduce__(self) -> tuple[type[Bulk], tuple[Any, ...]]:
        return Bulk, (self._backend,)

    def suits(self, texts: Sequence[str]) -> bool:
        """Whether tiktoken is to encode these; the first large batch decides for the tokenizer."""
        if "_encode" not in self.__dict__ and sum(map(len, texts)) < BULK_CHARS:
            return False
        return self._encode is not None

    def encode(self, texts: Sequence[str]) -> list[Array]:
        """Return the ids of each text, uint32, computed on every core; ask `suits` first."""
        assert self._encode is not None
        n = min(n_threads(), len(texts))
        if n < 2:
            return [self._one(text) for text in texts]
        with ThreadPoolExecutor(n) as pool:
            return list(pool.map(self._one, texts))

    def _one(self, text: str) -> Array:
        assert self._encode is not None
        if len(text) <= LONG_CHARS or not _LONG_RUN.search(text):
            ids = self._encode(text)
            if not ids.size or ids.max() < _UNKNOWN:
                return ids
        return np.array(self._backend.encode_batch_fast([text], add_special_tokens=False)[0].ids, np.uint32)

    @cached_property
    def _encode(self) -> Callable[[str], Array] | None:
        """What encodes one text, or None where `tokenizers` must."""
        ready = read_merges(self._backend)
        encode = _tiktoken(ready) if ready else None
        if encode is None:
            return None
        for text in sample_texts(self._backend):
            ids = encode(text)
            is_known = not ids.size or ids.max() < _UNKNOWN
            if is_known and ids.tolist() != self._backend.encode(text, add_special_tokens=False).ids:
                Log().warn(
                    "bulk encoding goes through tokenizers, which is slower: "
                    f"tiktoken gives other ids for {text[:40]!r}"
                )
                return None
        return encode


def n_threads() -> int:
    """Return how many threads may encode: RAYON_NUM_THREADS, which `tokenizers` obeys, or every core."""
    given = os.environ.get("RAYON_NUM_THREADS", "")
    if given.isdigit() and int(given):
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_merges(backend: tokenizers.Tokenizer) -> Ready | None:
    """Return cut and ids where tiktoken must give the same ids: plain byte-level BPE. None elsewhere.

    The argument: Berglund and van der Merwe, arXiv:2309.08715, on when the order of merging is
    immaterial; a pair that its own bytes do not encode to is never left by a longer text either.
    """
    spec = json.loads(backend.to_str())
    model, cut = spec["model"], _cut(spec["pre_tokenizer"])
    is_plain = (
        cut is not None
        and model["type"] == "BPE"
        and spec["normalizer"] is None
        and not any(
            model.get(key)
            for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
        )
        and all(token["special"] for token in spec["added_tokens"])  # others are found inside a text
    )
    if not is_plain:
        return None
    pairs = [tuple(m.split(" ") if isinstance(m, str) else m) for m in model["merges"]]
    ids = _ids_if_proper(model["vocab"], pairs)
    if ids is None or not _come_out_whole(model, pairs):
        return None
    return Ready(cut or "", ids)


def sample_texts(backend: tokenizers.Tokenizer) -> Iterator[str]:
    """Yield texts in which the two libraries might differ: both languages, odd signs, every token."""
    yield from SAMPLE
    draw = random.Random(0)
    places = [c for c in range(0, 0x110000, 401) if not 0xD800 <= c < 0xE000]
    yield "".join(f"a{chr(c)}1{chr(c)}! {chr(c)} " for c in places)
    tokens = sorted(backend.get_vocab(with_added_tokens=False))
    for size in (1, 5, 50):
        spelt = b"".join(bytes(BYTES.get(c, 63) for c in draw.choice(tokens)) for _ in range(size))
        yield spelt.decode("utf-8", "replace")
    everything = b" ".join(
        bytes(BYTES.get(c, 63) for c in token) for token in tokens[:: len(tokens) // 2000 + 1]
    )
    yield everything.decode("utf-8", "replace")


def _tiktoken(ready: Ready) -> Callable[[str], Array] | None:
    try:
        tiktoken: Any = importlib.import_module("tiktoken")
    except ImportError:
        return None
    try:
        made = tiktoken.Encoding(
            "luban", pat_str=ready.cut, mergeable_ranks=dict(ready.ids), special_tokens=_NEVER
        )
    except ValueError:  # a pattern that its regex library does not know
        return None
    return lambda text: made.encode_to_numpy(text, disallowed_special=())


def _cut(pre_tokenizer: Any) -> str | None:
    """Return the pattern by which texts are cut, or None where no single one does it."""
    if not pre_tokenizer:
        return None
    steps = pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]
    last = steps[-1]
    if last["type"] != "ByteLevel" or last["add_prefix_space"] or len(steps) > 2:
        return None
    uses_pattern = last.get("use_regex", True)
    if len(steps) == 1:
        return GPT2_CUT if uses_pattern else None
    first = steps[0]
    if first["type"] == "Digits" and first["individual_digits"] and uses_pattern:
        return DIGITS_CUT
    is_split = first["type"] == "Split" and first["behavior"] == "Isolated" and not first["invert"]
    if is_split and not uses_pattern and "Regex" in first["pattern"]:
        return str(first["pattern"]["Regex"])
    return None


def _ids_if_proper(vocab: Mapping[str, int], pairs: Sequence[tuple[str, ...]]) -> dict[bytes, int] | None:
    """Return the id of every byte and of what each merge makes, if ids grow with the merges."""
    known = {token: vocab[token] for token in vocab if len(token) == 1 and token in BYTES}
    lacking = {bytes([byte]): _UNKNOWN + byte for c, byte in BYTES.items() if c not in known}
    before = -1
    for a, b in pairs:
        made = vocab.get(a + b, -1)
        if a not in known or b not in known or made <= before:
            return None
        known[a + b] = before = made
    return lacking | {bytes(BYTES[c] for c in token): id for token, id in known.items()}


def _come_out_whole(model: Mapping[str, Any], pairs: Sequence[tuple[str, ...]]) -> bool:
    vocab = model["vocab"]
    merging = models.BPE(vocab, [(a, b) for a, b in pairs])
    tokens = (a + b for a, b in pairs)
    return all([t.id for t in merging.tokenize(token)] == [vocab[token]] for token in tokens)
