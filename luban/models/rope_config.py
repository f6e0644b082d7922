"""How config.json tells of rotary positions, in newer files and in older ones."""

from __future__ import annotations

import math

from luban.errors import CheckpointError
from luban.models.config import RopeScaling, TransformerConfig
from luban.models.family import Json

ORIGINAL = "original_max_position_embeddings"
KINDS = ("linear", "dynamic", "llama3", "yarn")
OURS_THEIRS = (
    ("low_freq_factor", "low_freq_factor"),
    ("high_freq_factor", "high_freq_factor"),
    ("beta_fast", "beta_fast"),
    ("beta_slow", "beta_slow"),
    ("truncate", "truncate"),
)


def read_rope(config: Json) -> Json:
    """Return rope_theta and rope_scaling as our fields.

    A share of turning features (partial_rotary_factor) is passed over, as the reference
    implementation of these families does when positions are not stretched.
    """
    found = config.get("rope_scaling") or config.get("rope_parameters") or {}
    theta = float(found.get("rope_theta") or config.get("rope_theta") or 10_000.0)
    kind = found.get("rope_type", found.get("type", "default"))
    if kind == "default":
        return {"rope_theta": theta, "rope_scaling": None}
    if kind not in KINDS:
        raise CheckpointError(
            f"config.json: rotary positions of type {kind!r} are not supported",
            fix=f"supported are: default, {', '.join(KINDS)}",
        )
    if found.get("partial_rotary_factor", 1.0) != 1.0:
        raise CheckpointError(
            f"config.json: partial_rotary_factor = {found['partial_rotary_factor']} with {kind} scaling is "
            "not supported",
            fix="use a model whose heads turn whole",
        )
    longest = config.get("max_position_embeddings") or 0
    # The reference implementation believes the key outside the table first.
    stated = config.get(ORIGINAL) or found.get(ORIGINAL) or longest
    original = longest if kind == "dynamic" else stated
    factor = float(found.get("factor") or longest / max(1, original))
    if kind == "linear":
        return {"rope_theta": theta, "rope_scaling": RopeScaling(kind=kind, factor=factor)}
    given = {
        ours: found[theirs]
        for ours, theirs in OURS_THEIRS
        if found.get(theirs) is not None and (found[theirs] or theirs not in ("beta_fast", "beta_slow"))
    }
    scaling = RopeScaling(
        kind=kind,
        factor=factor,
        original_max_len=original,
        magnitude=_magnitude(found, factor) if kind == "yarn" else 1.0,
        **given,
    )
    stretched = {"max_len": round(longest * factor)} if kind == "dynamic" else {}
    return {"rope_theta": theta, "rope_scaling": scaling, **stretched}


def write_rope(trunk: TransformerConfig) -> Json:
    """Return rope_parameters, and the base a second time for older readers."""
    written: Json = {"rope_type": "default", "rope_theta": trunk.rope_theta}
    scaling = trunk.rope_scaling
    if scaling is None:
        return {"rope_theta": trunk.rope_theta, "rope_parameters": written}
    written |= {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind in ("llama3", "yarn"):
        written["original_max_position_embeddings"] = scaling.original_max_len
    used = {"llama3": ("low", "high"), "yarn": ("beta", "truncate")}.get(scaling.kind, ())
    written |= {t: getattr(scaling, o) for o, t in OURS_THEIRS if used and o.startswith(used)}
    if scaling.kind == "yarn":
        written["attention_factor"] = scaling.magnitude
    longest = {"max_position_embeddings": scaling.original_max_len} if scaling.kind == "dynamic" else {}
    return {"rope_theta": trunk.rope_theta, "rope_parameters": written, **longest}


def _magnitude(found: Json, factor: float) -> float:
    """Return what YaRN multiplies cosines and sines by (arXiv:2309.00071 section 3.4)."""
    if found.get("attention_factor") is not None:
        return float(found["attention_factor"])
    ours, whole = found.get("mscale"), found.get("mscale_all_dim")
    if ours and whole:
        return sharpness(factor, ours) / sharpness(factor, whole)
    return sharpness(factor)


def sharpness(factor: float, weight: float = 1.0) -> float:
    """Return YaRN's magnitude for a stretch by `factor`."""
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0
