"""Train a byte-level BPE on the training split of a documents folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

from luban.errors import DataError, MissingExtra
from luban.log import Log
from luban.tokenizer.load import Tokenizer
from luban.tokenizer.settings import TokenizerSettings

SPECIAL_TOKENS = ("<|pad|>", "<|endoftext|>", "<|cls|>", "<|sep|>", "<|mask|>")
"""Their ids are their places here."""
MAX_TOKEN_BYTES = 24
"""A longer token is a phrase learned by heart, and a place in the vocabulary lost."""
RARE = 0.05
"""A language with a smaller share of the bytes does not set the measure for the others."""
SAMPLE_BYTES = 500_000  # of each language, to measure bytes per token


def train_tokenizer(
    settings: TokenizerSettings, inputs: Mapping[str, Path], out: Path, log: Log
) -> dict[str, Any]:
    """Train on the train split of `documents` and report bytes per token of each language.

    That figure is taken on the other splits where there are any: text the tokenizer has not seen.
    """
    folder = inputs["documents"]
    sizes: Counter[str] = Counter()
    for row in _rows(folder, train=True):
        sizes[row["language"]] += len(row["text"].encode())
    if not sizes:
        raise DataError(
            f"{folder} has no documents to train on", fix="check the split: `luban data split` says how many"
        )
    shares = sample_shares(sizes, settings)
    taken = Taken()
    n_bytes = sum(size * shares[language] for language, size in sizes.items())
    log.say(f"  learning {settings.vocab_size:,} tokens from {n_bytes / 1e6:.1f} MB", bytes=round(n_bytes))
    chosen = _sample(_rows(folder, train=True), shares, taken)
    tokenizer = train_bpe(
        chosen, settings.vocab_size, template=settings.template, min_frequency=settings.min_frequency
    )
    if tokenizer.vocab_size < settings.vocab_size:
        log.warn(
            f"the text gave only {tokenizer.vocab_size} tokens; "
            f"tokenizer.vocab_size = {settings.vocab_size} was asked for"
        )
    tokenizer.save(out)
    per_token = bytes_per_token(tokenizer, _rows(folder, train=False))
    if missing := set(sizes) - set(per_token):
        rows = (r for r in _rows(folder, train=True) if r["language"] in missing)
        per_token = dict(sorted((per_token | bytes_per_token(tokenizer, rows)).items()))
    for language, value in per_token.items():
        log.say(f"  {language}: {value:.2f} bytes per token", language=language, bytes_per_token=value)
    return {
        "counts": {
            "vocab_size": tokenizer.vocab_size,
            "documents": taken.documents.total(),
            "bytes": taken.bytes.total(),
        },
        "bytes_per_token": per_token,
        "trained_on": {
            k: {"documents": taken.documents[k], "bytes": taken.bytes[k]} for k in sorted(taken.bytes)
        },
        "hash": tokenizer.hash,
    }


def train_bpe(
    texts: Iterable[str], vocab_size: int, *, template: bool, min_frequency: int = 2, han_alone: bool = False
) -> Tokenizer:
    """Train a byte-level BPE that spells every text; `template` frames a text as <|cls|> text <|sep|>.

    `han_alone`: no token holds two Chinese characters, so that a span may begin and end at any.
    Source: arXiv:1508.07909 for BPE; byte level as in GPT-2.
    """
    backend = tokenizers.Tokenizer(models.BPE())
    backend.decoder = decoders.ByteLevel()
    _learn(backend, texts, vocab_size, min_frequency, han_alone)
    if template:
        backend.post_processor = processors.TemplateProcessing(
            single="<|cls|> $A <|sep|>",
            pair="<|cls|> $A <|sep|> $B:1 <|sep|>:1",
            special_tokens=[(t, SPECIAL_TOKENS.index(t)) for t in ("<|cls|>", "<|sep|>")],
        )
    return Tokenizer(backend, _roles())


def train_joint_bpe(texts: Iterable[str], vocab_size: int, *, min_frequency: int = 2) -> Tokenizer:
    """Train one byte-level BPE on both sides of sentence pairs; a text that an encoder reads gets an end.

    No token holds two Chinese characters: from some thousands of pairs, whole phrases are seen too seldom.
    A word is the same token wherever it stands: a text begins with a space, which decoding takes away,
    unless it begins with Chinese, which has none. Source: arXiv:1508.07909 section 3.2.
    """
    backend = tokenizers.Tokenizer(models.BPE())
    # The space is put first and taken away again, for a replacement of nothing breaks the library.
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.Strip(left=True, right=False),
            normalizers.Prepend(" "),
            normalizers.Replace(Regex(r"\A (?=\p{Han})"), ""),
        ]
    )
    backend.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    _learn(backend, texts, vocab_size, min_frequency, han_alone=True)
    end = SPECIAL_TOKENS[1]
    backend.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, SPECIAL_TOKENS.index(end))]
    )
    return Tokenizer(backend, _roles())


def _learn(
    backend: tokenizers.Tokenizer,
    texts: Iterable[str],
    vocab_size: int,
    min_frequency: int,
    han_alone: bool = False,
) -> None:
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    single = pre_tokenizers.Split(Regex(r"\p{Han}"), behavior="isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence([single, cut]) if han_alone else cut
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        max_token_length=MAX_TOKEN_BYTES,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)


def _roles() -> dict[str, Any]:
    pad, end, cls, sep, mask = SPECIAL_TOKENS
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "pad_token": pad,
        "bos_token": end,
        "eos_token": end,
        "cls_token": cls,
        "sep_token": sep,
        "mask_token": mask,
    }


def sample_shares(sizes: Mapping[str, int], settings: TokenizerSettings) -> dict[str, float]:
    """Return the share of each language's documents to train on, from its bytes.

    Balanced, {"en": 90, "zh": 10} takes a ninth of the English and all of the Chinese.
    """
    limit = settings.max_bytes
    if settings.balance_languages:
        common = [size for size in sizes.values() if size >= RARE * sum(sizes.values())]
        limit = min(limit, min(common, default=limit))
    return {language: min(1.0, limit / size) if size else 1.0 for language, size in sizes.items()}


def bytes_per_token(tokenizer: Tokenizer, rows: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Return the mean bytes that a token stands for in the first texts of each language."""
    texts: dict[str, list[str]] = {}
    n_bytes: Counter[str] = Counter()
    for row in rows:
        language, text = row["language"], row["text"]
        if n_bytes[language] < SAMPLE_BYTES:
            n_bytes[language] += len(text.encode())
            texts.setdefault(language, []).append(text)
    n_tokens = {k: sum(map(len, tokenizer.encode_batch(texts[k]))) for k in sorted(texts)}
    return {k: round(n_bytes[k] / n, 4) for k, n in n_tokens.items() if n}


@dataclass(frozen=True, slots=True)
class Taken:
    """What training has read so far, by language."""

    documents: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)


def _sample(rows: Iterable[dict[str, Any]], shares: Mapping[str, float], taken: Taken) -> Iterator[str]:
    """Yield about the given share of each language's bytes, spread evenly; the first text always."""
    seen: Counter[str] = Counter()
    for row in rows:
        language, size = row["language"], len(row["text"].encode())
        if taken.bytes[language] <= shares[language] * seen[language]:
            taken.documents[language] += 1
            taken.bytes[language] += size
            yield row["text"]
        seen[language] += size


def _rows(folder: Path, *, train: bool) -> Iterator[dict[str, Any]]:
    """Yield text, id and language of the train split, or of the others; no split means all train."""
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("pyarrow", "data") from None
    paths = sorted(folder.glob("documents-*.parquet"))
    if not paths:
        raise DataError(
            f"{folder} is not a documents folder: it has no documents-*.parquet",
            fix="name a folder that `luban data clean`, `dedup` or `split` wrote",
        )
    for path in paths:
        with pq.ParquetFile(path) as parquet:
            names = [n for n in ("id", "text", "language", "split") if n in parquet.schema_arrow.names]
            for batch in parquet.iter_batches(batch_size=1000, columns=names):
                yield from (r for r in batch.to_pylist() if (r.get("split", "train") == "train") is train)
