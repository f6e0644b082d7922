"""How long a planned stage may take here: a rule of thumb that names its parts, not a promise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from luban.config import resolved
from luban.files import Manifest, read_json
from luban.models.config import ModelConfig, RecurrentConfig, TransformerConfig
from luban.models.families import FAMILIES
from luban.plan.machine import matmul_rate
from luban.runner import Plan
from luban.stages import STAGES

SECONDS_PER_MEGABYTE = {
    "clean": 1.0,
    "dedup": 0.06,
    "split": 0.1,
    "tokenizer": 1.5,
    "shard": 0.7,
    "bag": 3.0,
    "vectors": 8.0,
}
"""Measured on two cores with English and Chinese text; `luban why` shows what a stage really took."""
OVERHEAD_SECONDS = {
    "pretrain": 5.0,
    "classify": 5.0,
    "chat": 8.0,
    "evaluate": 6.0,
    "golden": 4.0,
    "bag": 2.0,
    "vectors": 5.0,
}
"""Start of torch, loading, looks at the validation split; the whole of a stage that has no rule."""
USUAL_OVERHEAD_SECONDS = 6.0  # of a training stage that is not listed
MATMUL_SHARE = 0.6  # of the machine's matmul rate, which training reaches
RECURRENT_COST = 6  # a recurrent layer sees one token at a time, and each parameter costs so many times more
UNKNOWN_BYTES = 5e6  # an input that is not there yet and whose maker is not known
USUAL_EPOCHS = 3  # what a classifier takes when left to choose
USUAL_PARAMETERS = 2e6
USUAL_VOCABULARY = 8000
BYTES_PER_TOKEN = 3
GZIP_RATIO = 2.7


def estimate_seconds(plan: Plan, made: Mapping[Path, float] | None = None) -> float:
    """Return the seconds a stage may take; 0 when it is reused.

    What the same stage took before counts most, scaled by tokens and parameters if it trains. Else a
    data stage costs so much a megabyte, and training 6 operations for each parameter and token at a
    share of the measured matmul rate. A run that goes on from a checkpoint counts as a whole one.
    `made` gives the bytes expected from stages that have not run yet. Right within a factor of three
    for what was measured, and no better than its constants elsewhere.
    """
    if plan.status == "reused":
        return 0.0
    settings, n_bytes = resolved(plan.task.settings), _input_bytes(plan, made or {})
    kind = plan.task.stage.name
    if plan.earlier and plan.earlier.stage == kind:
        return plan.earlier.seconds * _growth(plan.earlier, settings, n_bytes, plan.inputs)
    overhead = OVERHEAD_SECONDS.get(kind, USUAL_OVERHEAD_SECONDS if _trains(kind) else 0.5)
    if _trains(kind):
        return overhead + 6 * _work(settings, n_bytes, plan.inputs) / (matmul_rate() * MATMUL_SHARE)
    return overhead + SECONDS_PER_MEGABYTE.get(kind, 0.0) * n_bytes / 1e6


def estimate_all(plans: Iterable[Plan]) -> list[float]:
    """Return the seconds of each stage of a recipe; what one will make, the next will read."""
    made: dict[Path, float] = {}
    seconds = []
    for plan in plans:
        seconds.append(estimate_seconds(plan, made))
        if not plan.task.out.exists():
            made[plan.task.out] = _input_bytes(plan, made)
    return seconds


def _trains(stage: str) -> bool:
    """Whether a stage's time is that of its model's arithmetic."""
    return stage in STAGES and STAGES[stage].trains and stage not in SECONDS_PER_MEGABYTE


def _growth(earlier: Manifest, settings: dict[str, Any], n_bytes: float, inputs: Mapping[str, Path]) -> float:
    if not _trains(earlier.stage):
        return 1.0
    before = _work(earlier.settings, n_bytes, inputs)
    return _work(settings, n_bytes, inputs) / before if before else 1.0


def _work(settings: dict[str, Any], n_bytes: float, inputs: Mapping[str, Path]) -> float:
    """Tokens of the whole training × parameters of the model."""
    n_micro = settings.get("n_micro_batches", 1)
    epochs = settings.get("epochs") or (USUAL_EPOCHS if settings.get("steps") == 0 else None)
    if epochs:
        n_tokens = n_bytes / BYTES_PER_TOKEN
        if settings.get("train_rows"):
            n_tokens = min(n_tokens, settings["train_rows"] * settings.get("max_len", 128))
        return epochs * n_tokens * _parameters(settings, inputs)
    per_batch = settings.get("tokens_per_batch") or settings.get("batch_size", 1) * settings.get("context", 1)
    return settings.get("steps", 1) * n_micro * per_batch * _parameters(settings, inputs)


def _parameters(settings: dict[str, Any], inputs: Mapping[str, Path]) -> float:
    """Matrix entries that every token passes: of the model folder given, or of the size to be built."""
    if "model" in inputs:
        return _stored_parameters(inputs["model"])
    model = {key: value for key, value in (settings.get("model") or {}).items() if value is not None}
    if not model:
        return USUAL_PARAMETERS
    config = FAMILIES[model.pop("family")].config(model.pop("size"), vocab_size=USUAL_VOCABULARY, **model)
    return matrix_entries(config, writes="context" in settings)


def matrix_entries(config: ModelConfig, *, writes: bool) -> float:
    """Return the matrix entries that every token passes; `writes`: the vocabulary's too.

    A recurrent layer's count several times: they cost so much more.
    """
    head = config.dim * config.vocab_size if writes else 0
    trunk = config.trunk
    if isinstance(trunk, RecurrentConfig):
        return head + RECURRENT_COST * 8.0 * trunk.n_layers * trunk.dim**2
    if not isinstance(trunk, TransformerConfig):
        return max(head, config.dim)
    return head + _block_entries(trunk) + (_block_entries(config.encoder) if config.encoder else 0)


def _block_entries(t: TransformerConfig) -> float:
    attention = 2 * t.dim * t.head_dim * (t.n_heads + t.n_kv_heads) * (1 + t.reads_source)
    return t.n_layers * (attention + (3.0 if t.mlp == "gated" else 2.0) * t.dim * t.ffn_dim)


def _stored_parameters(folder: Path) -> float:
    weights, config = folder / "model.safetensors", folder / "config.json"
    if not weights.is_file() or not config.is_file():
        return USUAL_PARAMETERS
    shape = read_json(config)
    embedding = shape.get("vocab_size", 0) * shape.get("hidden_size", 0)  # looked up, not multiplied
    return max(weights.stat().st_size / 4 - embedding, 1.0)


def _input_bytes(plan: Plan, made: Mapping[Path, float]) -> float:
    return sum(
        made.get(path, UNKNOWN_BYTES) if not path.exists() else text_bytes(path)
        for name, path in plan.inputs.items()
        if name not in ("model", "tokenizer", "vectors")
    )


def text_bytes(path: Path) -> float:
    """Return the bytes of text in a file or folder, unpacked; those kept, if a stage counted them."""
    manifest = Manifest.read(path) if path.is_dir() else None
    if manifest:
        counts = manifest.facts.get("counts", {})
        return float(counts.get("bytes_kept") or counts.get("bytes") or sum(manifest.files.values()))
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size * (GZIP_RATIO if p.suffix == ".gz" else 1) for p in files)
