"""Facts of data, machine and models that `luban advise` rests its advice on."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luban.plan.facts import Facts, Start
    from luban.tasks.settings import ColumnSettings

LANGUAGE_SAMPLE, LANGUAGE_SHARE = 200, 0.2
"""Texts whose language is looked at, and the share of them that makes it one of the data's."""
SUBWORDS = 1.3
"""Tokens that a word between spaces usually becomes."""


def measure_machine() -> dict[str, Any]:
    """Return free memory, the rate of matrix products, and which packages with weights are here."""
    from luban.plan.machine import matmul_rate, read_memory
    from luban.plan.rules import MINILM, SMOLLM2

    memory = read_memory()
    starts = [start for start in (MINILM, SMOLLM2) if importlib.util.find_spec(_module(start.where))]
    return {
        "memory": memory.free if memory else 0,
        "rate": matmul_rate(),
        "installed": frozenset(start.package for start in starts),
    }


def _module(where: str) -> str:
    return where.partition(":")[2].partition("/")[0]


def measure_model(folder: str) -> Start:
    """Return what a model folder holds, as a model to start from."""
    from luban.models.folder import read_config
    from luban.places import find_input
    from luban.plan.estimate import matrix_entries
    from luban.plan.facts import Start

    path = find_input(folder)
    config = read_config(path)
    n_parameters = round(matrix_entries(config, writes=False) + config.vocab_size * config.dim)
    return Start(name=path.name, where=folder, family=config.family, size="", parameters=n_parameters)


def measure_rows(
    data: Path, columns: ColumnSettings, eval_data: Path | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Return the facts of the labelled rows that training would use, and their texts."""
    from luban.data.examples import read_examples

    _must_exist(data, eval_data)
    examples = read_examples(data, columns, eval_path=eval_data)
    texts = [example.text for example in examples.train]
    counts = Counter(example.label for example in examples.train)
    facts = {"rows": len(texts), "classes": len(counts), "smallest": min(counts.values())}
    return facts | _measure_texts(texts), texts


def _measure_texts(texts: Sequence[str]) -> dict[str, float]:
    from luban.data.language import HAN

    han = re.compile(f"[{HAN}]")
    lengths = sorted(map(_count_tokens, texts))
    distinct = {" ".join(text.casefold().split()) for text in texts}
    return {
        "mean_chars": sum(map(len, texts)) / len(texts),
        "mean_tokens": sum(lengths) / len(texts),
        "long_tokens": lengths[int(0.9 * (len(lengths) - 1))],
        "chinese": sum(3 * len(han.findall(text)) > len(text) for text in texts) / len(texts),
        "duplicates": 1 - len(distinct) / len(texts),
    }


def _count_tokens(text: str) -> float:
    from luban.data.language import is_unspaced

    return len(text) if is_unspaced(text) else SUBWORDS * len(text.split())


def find_languages(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the languages of a sample of texts, the usual ones first."""
    from luban.data.language import UNKNOWN, detect_language

    sample = texts[:: max(1, len(texts) // LANGUAGE_SAMPLE)]
    counts = Counter(detect_language(text) for text in sample)
    del counts[UNKNOWN]
    return tuple(code for code, n in counts.most_common() if n >= LANGUAGE_SHARE * len(sample))


def measure_text(data: Path) -> dict[str, Any]:
    """Return the tokens of a shards folder, or those that raw text will make."""
    from luban.errors import DataError
    from luban.files import Manifest
    from luban.plan.estimate import BYTES_PER_TOKEN, text_bytes

    _must_exist(data)
    manifest = Manifest.read(data) if data.is_dir() else None
    if manifest and manifest.stage == "shard":
        return {"tokens": manifest.facts["splits"]["train"]["tokens"], "made_by": "shard"}
    tokens = int(text_bytes(data) / BYTES_PER_TOKEN)
    if not tokens:
        raise DataError(f"{data} holds no text", fix="name a file or folder with text")
    return {"tokens": tokens, "made_by": manifest.stage if manifest else ""}


def count_rows(data: Path) -> dict[str, Any]:
    """Return the rows of a table of any columns; none for a file of another kind."""
    from luban.data.encoding import Unreadable
    from luban.data.tables import TABLE_SUFFIXES, read_rows, suffix_of
    from luban.errors import DataError

    _must_exist(data)
    if not data.is_file() or suffix_of(data) not in TABLE_SUFFIXES:
        return {}
    try:
        return {"rows": sum(isinstance(row, dict) for _, row in read_rows(data))}
    except Unreadable as e:
        raise DataError(f"{data} cannot be read: {e}", fix="check the file, or save it again") from None


def _must_exist(*paths: Path | None) -> None:
    from luban.errors import DataError

    for path in paths:
        if path is not None and not path.exists():
            raise DataError(f"{path} does not exist", fix="check the path, relative to where you are")


def plain(facts: Facts) -> dict[str, Any]:
    """Return the facts that were measured, as JSON takes them."""
    from dataclasses import asdict

    found = asdict(facts) | {"installed": sorted(facts.installed), "given": facts.given and facts.given.where}
    return {name: round(v, 3) if isinstance(v, float) else v for name, v in found.items() if v}
