"""What a data folder holds: the facts of its manifest, what its documents are, and how they came to be."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from luban.data.census import Ways, sample_share, sample_shares, sizes_by_language, take_census
from luban.data.census_facts import census_facts
from luban.data.cluster_sizes import cluster_sizes
from luban.data.engine import open_engine
from luban.data.losses import history, history_facts, read_losses
from luban.data.settings import WorkSettings
from luban.data.shard_census import shard_census
from luban.errors import DataError
from luban.files import Manifest

LENGTHS = {"shortest": "least", "tenth": "tenth", "median": "median", "nine tenths": "nine tenths"} | {
    "longest": "most"
}


def describe_folder(
    folder: Path,
    *,
    tokenizer: Path | None = None,
    samples: int = 3,
    settings: WorkSettings | None = None,
) -> dict[str, Any]:
    """Return the folder's stage, its facts, and what one pass over its documents or tokens finds.

    With a tokenizer, tokens per language too. `samples` are shown of each language and reason of a drop.
    """
    manifest = Manifest.read(folder)
    has_documents, has_shards = any(folder.glob("documents-*.parquet")), any(folder.glob("*.offsets.npy"))
    if manifest is None and not has_documents:
        raise DataError(f"{folder} was not written by a stage", fix="name a folder with a manifest.json")
    facts: dict[str, Any] = {"stage": manifest.stage, **manifest.facts} if manifest else {"stage": ""}
    steps = history(folder)
    if has_documents:
        shares = sample_shares(sizes_by_language(folder))
        share = 1.0 if shares else sample_share(folder)
        ways = Ways(str(tokenizer.absolute()) if tokenizer else None, samples, shares, share)
        with (
            tempfile.TemporaryDirectory() as scratch,
            open_engine(settings or WorkSettings(), Path(scratch)) as engine,
        ):
            census = take_census(engine, folder, ways)
            sizes = cluster_sizes(engine, folder)
        facts["census"] = census_facts(census) | {"cluster_sizes": sizes}
        facts["lengths"] = _lengths(facts["census"]["all_lengths"])
    elif has_shards:
        facts["shards"] = shard_census(folder, samples)
    return facts | {"history": history_facts(steps), "losses": read_losses(steps, samples)}


def _lengths(spread: dict[str, Any]) -> dict[str, int]:
    """Return the deciles that matter of the documents' lengths in characters."""
    return {name: spread[of] for name, of in LENGTHS.items()} if spread["n"] else {}
