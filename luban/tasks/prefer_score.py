"""Score a model on pairs: how often it prefers the better answer, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from luban.errors import DataError
from luban.evaluate.intervals import Statistic, bootstrap, signature
from luban.files import Manifest, hash_path
from luban.log import Log
from luban.models.config import HeadConfig
from luban.models.folder import read_config
from luban.objectives.preference import pairs
from luban.runner import input_key
from luban.stages import Facts
from luban.tasks.chat_model import check_answers
from luban.tasks.judged_batches import Encoded, add_reference, encode_judged, pair_batches
from luban.tasks.prefer_rows import Judged, part_rows, read_judged
from luban.tasks.prefer_settings import PreferSettings
from luban.tasks.reward import RewardModel
from luban.tasks.score import keep_scores, plan_of
from luban.tasks.settings import ScoreSettings
from luban.tokenizer import load_tokenizer
from luban.tokenizer.chat import ChatTemplate
from luban.tune.load import load_tuned, tokenizer_folder

Gaps = dict[str, np.ndarray[Any, Any]]


def score(settings: ScoreSettings, model: Path, data: Path, out: Path, log: Log) -> Facts:
    """Score a chat model or a reward model on pairs of answers.

    accuracy: how often the better answer is the likelier one a token, or has the higher reward.
    reward_accuracy, margin: the same by log(π/r), where the model that tuning began with is still there.
    """
    head = read_config(model).head
    rows, split = _rows(settings, model, data)
    is_reward = head.kind == "classes"
    if not is_reward:
        check_answers(load_tuned(model), model)
    part, rejects = _encoded(rows, model)
    if rejects:
        log.warn(
            f"{len(rejects)} rows cannot be used, such as line {rejects[0]['line']}: {rejects[0]['reason']}"
        )
    gaps = _by_reward(part, model) if is_reward else _by_likelihood(part, model, log)
    plan = plan_of(settings)
    statistic = _statistic(gaps, head)
    n = len(part.judged)
    facts = {
        "metrics": {name: s.plain() for name, s in bootstrap(statistic, n, plan).items()},
        "counts": {"n": n, "rejected_rows": len(rejects)},
        "signature": signature("accuracy|ties:half", n, plan, split, hash_path(data)),
        "split": split,
    }
    predictions = (
        {
            "line": judged.line,
            "messages": list(judged.prompt),
            "chosen": judged.chosen,
            "rejected": judged.rejected,
            **{f"{name}_gap": float(values[i]) for name, values in gaps.items()},
            "correct": float(_wins(gaps["preferred"][i : i + 1])[0]),
        }
        for i, judged in enumerate(part.judged)
    )
    return keep_scores(facts, predictions, model, data, out)


def _rows(settings: ScoreSettings, model: Path, data: Path) -> tuple[list[Judged], str]:
    """Return the rows of the wanted split; of the file that the model was trained on, those held out."""
    found = read_judged(data).kept
    manifest = Manifest.read(model)
    trained_on = (manifest.inputs.get("data") or {}).get("key") if manifest else None
    if trained_on == input_key(data) and manifest is not None and "eval" not in manifest.inputs:
        share = float(manifest.settings.get("validation", 0.1))
        return part_rows(found, share)["validation"], "validation"
    if all(row.split is None for row in found):
        return found, "all"
    chosen = [row for row in found if row.split == settings.split]
    if not chosen:
        raise DataError(f"{data} has no rows of the split {settings.split}", fix="choose another --split")
    return chosen, settings.split


def _encoded(rows: Sequence[Judged], model: Path) -> tuple[Encoded, list[dict[str, Any]]]:
    manifest, config = Manifest.read(model), read_config(model)
    asked = manifest.settings.get("max_len") if manifest else None
    max_len = min(config.max_len, int(asked)) if asked else config.max_len
    rejects: list[dict[str, Any]] = []
    with ChatTemplate(load_tokenizer(tokenizer_folder(model))) as template:
        part = encode_judged(template, rows, max_len, rejects, paired=True)
    if not part.judged:
        first = f"; the first: {rejects[0]['reason']}" if rejects else ""
        raise DataError(f"there is no pair to score{first}", fix="give rows with chosen and rejected")
    return part, rejects


@torch.no_grad()
def _by_likelihood(part: Encoded, folder: Path, log: Log) -> Gaps:
    model = load_tuned(folder).eval()
    batches = pair_batches(part, PreferSettings(tokens_per_batch=4096), model.config.pad_id)
    reference = _reference(folder)
    if reference is not None:
        add_reference(load_tuned(reference), batches)
    else:
        log.say("the model that tuning began with is not here: accuracy is by likelihood alone")
    gaps = {"preferred": np.zeros(len(batches)), "gained": np.zeros(len(batches))}
    for batch in batches.in_order():
        found = pairs(model, batch)
        numbers = [i // 2 for i in batch.ids[::2]]
        for name, values in (("preferred", found.means), ("gained", found.ratios)):
            gaps[name][numbers] = (values[:, 0] - values[:, 1]).double().numpy()
    return gaps if reference is not None else {"preferred": gaps["preferred"]}


def _reference(folder: Path) -> Path | None:
    """Return the model that tuning began with, where the manifest names it and it is still there."""
    manifest = Manifest.read(folder)
    named = (
        (manifest.inputs.get("model") or {}).get("path") if manifest and manifest.stage == "prefer" else None
    )
    found = Path(named) if named else None
    return found if found is not None and (found / "config.json").is_file() else None


def _by_reward(part: Encoded, folder: Path) -> Gaps:
    rows = [ids for answers in part.answers for ids, _ in answers]
    scores = np.array(RewardModel(folder).scores(rows), np.float64).reshape(-1, 2)
    return {"preferred": scores[:, 0] - scores[:, 1]}


def _statistic(gaps: Gaps, head: HeadConfig) -> Statistic:
    values = {"accuracy": _wins(gaps["preferred"])}
    if head.kind == "classes":
        values["margin"] = gaps["preferred"]
    if "gained" in gaps:
        values |= {"reward_accuracy": _wins(gaps["gained"]), "margin": gaps["gained"]}
    return lambda rows: {name: value[rows].mean(-1) for name, value in values.items()}


def _wins(gap: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return 1 where the better answer wins, 1/2 for a tie."""
    return (gap > 0) + 0.5 * (gap == 0)
