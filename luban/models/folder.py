"""config.json of a model folder: of a Hugging Face family, or of Luban where none can say it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from luban.config import Tree, fill, resolved
from luban.errors import CheckpointError, ConfigError
from luban.files import read_json
from luban.models.config import (
    HeadConfig,
    ModelConfig,
    NoTrunkConfig,
    RecurrentConfig,
    TransformerConfig,
    Trunk,
)
from luban.models.families import FAMILIES
from luban.models.family import Family, Format, Json
from luban.models.gguf import is_gguf, read_gguf_config

CONFIG = "config.json"
OWN = "luban"
"""Key of config.json for what a format has no word for, and the model_type of Luban's own format."""
AGAIN = "copy the file again from its source"
MOST_CLASSES = 1_000_000
PROBLEMS = {
    "single_label_classification": "one",
    "multi_label_classification": "several",
    "regression": "number",
}
"""Their word for what the scores of classes mean → ours."""
TRUNKS: dict[str, type[Trunk]] = {
    "transformer": TransformerConfig,
    "recurrent": RecurrentConfig,
    "none": NoTrunkConfig,
}


def read_config(folder: Path, *, head: HeadConfig | None = None) -> ModelConfig:
    """Read config.json, of Luban or of any supported Hugging Face model; `head` replaces its own."""
    config, path = _json(folder), folder / CONFIG
    if config.get("model_type") == OWN:
        own = _read_own(config, path)
        return own if head is None else dataclasses.replace(own, head=FAMILIES[own.family].fit(head, own))
    family = _family(config, path)
    return _read(config, family, path, head)


def format_of(folder: Path) -> Format | None:
    """Return the format of a folder's weights; None: tensors have the names of Luban's parameters."""
    config = _json(folder)
    return None if config.get("model_type") == OWN else _family(config, folder / CONFIG).format


def write_config(config: ModelConfig) -> tuple[Json, Format | None]:
    """Return config.json and the format for the weights.

    That is the family's own where it can say all of the config, and else Luban's.
    """
    form = FAMILIES[config.family].format
    if form is not None and (config.head.kind in form.heads.values() or config.head.kind == "vector"):
        written = _write(config, FAMILIES[config.family], form)
        if _reads_back(written, config):
            return written, form
    own = resolved(config)
    own["trunk"]["kind"] = next(kind for kind, cls in TRUNKS.items() if type(config.trunk) is cls)
    named = {"architectures": ["LubanModel"], "model_type": OWN, "dtype": "float32"}
    return named | _write_labels(config.head) | {OWN: own}, None


def _json(folder: Path) -> Json:
    if is_gguf(folder):
        return read_gguf_config(folder)
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no {CONFIG}", fix="name a model folder, such as one `luban train` wrote"
        )
    config = read_json(path)
    return config if isinstance(config, dict) else {}


def _read_own(config: Json, path: Path) -> ModelConfig:
    try:
        own = dict(config[OWN])
        trunk = dict(own["trunk"])
        kind = trunk.pop("kind")
        fields = {**own, "trunk": fill(TRUNKS[kind], Tree(trunk))}
        fields["head"] = fill(HeadConfig, Tree(own["head"]))
        if own.get("encoder"):
            fields["encoder"] = fill(TransformerConfig, Tree(own["encoder"]))
        for f in dataclasses.fields(ModelConfig):
            if f.default is f.default_factory is dataclasses.MISSING:
                fields[f.name]  # a KeyError names it better than a TypeError
        found = ModelConfig(**fields)
        if found.family not in FAMILIES:
            raise ConfigError(f"family = {found.family!r} is none", fix=AGAIN)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, ConfigError) as e:
        what = f"{e} is missing" if isinstance(e, KeyError) else getattr(e, "problem", e)
        raise CheckpointError(f"{path}: {OWN!r} does not describe a model: {what}", fix=AGAIN) from e
    return found


def _family(config: Json, path: Path) -> Family:
    kind = config.get("model_type")
    formats = {f.format.model_type: f for f in FAMILIES.values() if f.format is not None}
    if isinstance(kind, str) and kind in formats:
        return formats[kind]
    what = f"model_type = {kind!r} is not supported" if kind else "model_type is missing"
    raise CheckpointError(
        f"{path}: {what}",
        fix=f"supported are: {', '.join(formats)}; another decoder of Llama's structure can be converted to "
        "that, and GGUF files of such models are read too",
    )


def _read(config: Json, family: Family, path: Path, head: HeadConfig | None = None) -> ModelConfig:
    assert family.format is not None
    try:
        model = family.read(config)
        if head is not None:
            return dataclasses.replace(model, head=family.fit(head, model))
        found = family.format.read_head(config, family.fit(_read_head(config, family, path), model))
        return dataclasses.replace(model, head=found)
    except CheckpointError as e:
        where = e.problem if str(path) in e.problem else e.problem.replace(CONFIG, str(path), 1)
        raise CheckpointError(where, fix=e.fix) from e
    except ConfigError as e:
        raise CheckpointError(f"{path}: {e.problem}", fix=AGAIN) from e
    except (TypeError, ValueError, AttributeError, KeyError, ArithmeticError) as e:
        raise CheckpointError(f"{path} does not describe a {family.name} model: {e}", fix=AGAIN) from e


def _read_head(config: Json, family: Family, path: Path) -> HeadConfig:
    form = family.format
    assert form is not None
    architectures = config.get("architectures") or []
    kind: Any = next((form.heads[a] for a in architectures if a in form.heads), None)
    if kind is None:
        what = (
            f"architectures = {architectures} is not supported"
            if architectures
            else "architectures is missing"
        )
        raise CheckpointError(
            f"{path}: {what}",
            fix=f"supported are: {', '.join(form.heads)}; or give load_model a new head",
        )
    own = config.get(OWN) or {}
    tied = bool(config.get("tie_word_embeddings", form.is_tied))
    kind = own.get("head", kind)
    labels = _labels(config) if kind in ("classes", "tags") else ()
    pool: Any = own.get("pool", family.pool) if kind in ("classes", "vector") else "first"
    answer: Any = _answer(config, len(labels)) if kind == "classes" else "one"
    return HeadConfig(kind=kind, n_classes=len(labels), labels=labels, answer=answer, pool=pool, tied=tied)


def _answer(config: Json, n_classes: int) -> str:
    """What the scores mean; a file that does not say so trains one score as a number, as they do."""
    problem = config.get("problem_type")
    if problem is None:
        return "number" if n_classes == 1 else "one"
    if problem not in PROBLEMS:
        raise CheckpointError(
            f"config.json: problem_type = {problem!r} is none of {', '.join(PROBLEMS)}", fix=AGAIN
        )
    return PROBLEMS[problem]


def _labels(config: Json) -> tuple[str, ...]:
    named = config.get("id2label")
    if named:
        return tuple(str(named[key]) for key in sorted(named, key=int))
    n_classes = config.get("num_labels", 2)
    if not 1 <= n_classes <= MOST_CLASSES:
        raise CheckpointError(f"config.json: num_labels = {n_classes} is no number of classes", fix=AGAIN)
    return tuple(f"LABEL_{i}" for i in range(n_classes))


def _write(config: ModelConfig, family: Family, form: Format) -> Json:
    head = config.head
    kind = head.kind if head.kind in form.heads.values() else "none"
    written: Json = {
        "architectures": [next(a for a, k in form.heads.items() if k == kind)],
        "model_type": form.model_type,
        "dtype": "float32",
        "tie_word_embeddings": head.tied,
        **family.write(config),
    }
    written |= _write_labels(head)
    if head.kind == "classes" and head.answer != "one":
        written["problem_type"] = next(theirs for theirs, ours in PROBLEMS.items() if ours == head.answer)
    if head.kind in ("classes", "vector"):
        written[OWN] = {"pool": head.pool}
    if head.kind == "vector":
        written[OWN]["head"] = head.kind
    return written


def _write_labels(head: HeadConfig) -> Json:
    by_id = {str(i): label for i, label in enumerate(head.labels)}
    return {"id2label": by_id, "label2id": {v: int(k) for k, v in by_id.items()}} if by_id else {}


def _reads_back(written: Json, config: ModelConfig) -> bool:
    try:
        again = _read(written, FAMILIES[config.family], Path(CONFIG))
    except (CheckpointError, ConfigError):
        return False
    return _essence(again) == _essence(config)


def _essence(config: ModelConfig) -> ModelConfig:
    """What changes the numbers: not how weights began, nor what a head of this kind does not use."""
    trunk, encoder = config.trunk, config.encoder
    if isinstance(trunk, TransformerConfig):
        trunk = dataclasses.replace(trunk, init="normal")
    encoder = None if encoder is None else dataclasses.replace(encoder, init="normal")
    head = config.head
    if head.kind not in ("classes", "vector"):
        head = dataclasses.replace(head, pool="first")
    return dataclasses.replace(config, trunk=trunk, encoder=encoder, head=head)
