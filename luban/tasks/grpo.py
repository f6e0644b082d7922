"""Learning from rewards: prompts and a checker of answers → a model whose answers earn more.

GRPO, arXiv:2402.03300 section 4.1: no model of values; what an answer is worth shows beside the others of
its group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from luban.data.encoding import Unreadable
from luban.data.examples import SPLIT_COLUMNS, SPLIT_NAMES, table_in
from luban.data.messages import read_messages
from luban.data.split import assign
from luban.data.tables import read_rows
from luban.errors import DataError
from luban.evaluate.golden import GOLDEN, PROMPTS, record
from luban.files import hash_json, write_jsonl
from luban.log import Log
from luban.models.width import lr_dim
from luban.objectives.policy import policy
from luban.stages import Facts
from luban.tasks.chat_model import check_answers
from luban.tasks.grpo_settings import GrpoSettings
from luban.tasks.planning import Habit, planned
from luban.tasks.prepared import Prepared
from luban.tasks.rewards import Reward, find_reward
from luban.tasks.rollouts import Prompt, Rollouts, StartWeights, Writer
from luban.tasks.start import let_learn, open_model
from luban.tasks.task import Closed, Trained
from luban.tokenizer import Tokenizer, load_tokenizer
from luban.tokenizer.chat import ChatTemplate
from luban.train.run import Run

LR_FULL, LR_DIM = 5e-6, 576
HABIT_EPOCHS, MIN_STEPS, MAX_EPOCHS = 1, 50, 5
PLACE = re.compile(r"\{(\w+)\}")


@dataclass(slots=True)
class PromptRows:
    """Prompts of both parts, and rows that ask nothing: {file, line, reason}."""

    train: list[Prompt] = field(default_factory=list)
    validation: list[Prompt] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)


def prepare(settings: GrpoSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Prepared:
    """Read prompts and the model, and make the batches that the model writes itself."""
    reward = total_reward(settings)
    folder = inputs["model"]
    model = open_model(folder, settings.surgery, log=log, seed=settings.seed)
    tokenizer = load_tokenizer(folder)
    tokenizer.check_fits(model.config.vocab_size, folder)
    check_answers(model, folder)
    room = min(settings.max_len, model.config.max_len - settings.max_new_tokens)
    rows = read_prompts(inputs, settings, tokenizer, reward, room)
    if rows.rejects:
        log.warn(f"{len(rows.rejects)} rows are set aside; the first: {rows.rejects[0]['reason']}")
    learning = let_learn(model, settings)
    writer = Writer(model, tokenizer, settings)
    start = StartWeights(model) if settings.kl else None
    batches = Rollouts(writer, rows.train, reward, start, out)
    lr = LR_FULL * learning.applied.lr_scale * min(1.0, LR_DIM / lr_dim(model.config))
    habit = Habit(epochs=HABIT_EPOCHS, min_steps=MIN_STEPS, lr=lr, max_epochs=MAX_EPOCHS)
    plan = planned(settings, batches.steps_per_epoch, habit)
    objective = partial(
        policy,
        clip=settings.clip,
        clip_high=settings.clip_high or None,
        kl=settings.kl,
        divide_by=settings.max_new_tokens if settings.variant == "dr_grpo" else 0,
    )
    run = Run(
        model=model,
        batches=batches,
        objective=objective,
        settings=plan,
        evaluate=partial(_evaluate, writer, rows.validation[: settings.validation_prompts], reward),
        lr_scale=learning.lr_scale,
        first_step=learning.first_step,
    )

    def finish(facts: Facts) -> Facts:
        model.to("cpu")
        learning.applied.save(model, out, folder)
        tokenizer.save(out)
        record(model, tokenizer, PROMPTS, out / GOLDEN)
        write_jsonl(out / "rejects.jsonl", rows.rejects)
        counts = {
            "train_rows": len(rows.train),
            "validation_rows": len(rows.validation),
            "rejected_rows": len(rows.rejects),
        }
        return facts | {
            "counts": facts["counts"] | counts,
            "family": model.config.family,
            "method": settings.method,
            "reward": list(settings.reward),
            "lr": plan.lr,
        }

    return Prepared(run, finish)


def close(trained: Trained) -> Closed:
    """Say what held-out answers earned before, and now."""
    before, now, out = trained.facts["first"], trained.facts["best"], trained.out
    table = tuple((name, f"{before[name]:.4f}", f"{now[name]:.4f}") for name in now if name != "step")
    return Closed(
        {"out": str(out), "first": before, "best": now},
        (f"answers and rewards of each step: {out / 'rollouts'}", f"luban chat {out}"),
        ("held-out score", "before", "now"),
        table,
    )


def total_reward(settings: GrpoSettings) -> Reward:
    """Return the weighted sum of the rewards that the settings name."""
    rewards = [find_reward(name, allow_code=settings.allow_code) for name in settings.reward]
    weights = settings.reward_weights or (1.0,) * len(rewards)

    def total(answer: str, row: Mapping[str, Any]) -> float:
        return sum(w * reward(answer, row) for w, reward in zip(weights, rewards, strict=True))

    return total


def read_prompts(
    inputs: Mapping[str, Path], settings: GrpoSettings, tokenizer: Tokenizer, reward: Reward, room: int
) -> PromptRows:
    """Read rows as prompts of at most `room` tokens; those that no answer could earn a reward for are set
    aside, with their reasons."""
    found = PromptRows()
    parts: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    if "eval" in inputs:
        parts = {"train": _rows(inputs["data"], found), "validation": _rows(inputs["eval"], found)}
    else:
        parts = _parts(_rows(inputs["data"], found), settings.validation)
    with ChatTemplate(tokenizer) if tokenizer.chat_template else _Plain(tokenizer) as template:
        for name, rows in parts.items():
            file = inputs["eval" if name == "validation" and "eval" in inputs else "data"]
            for line, row in rows:
                try:
                    reward("", row)  # is there anything to compare with?
                    ids = template.prompt_ids(_turns(row, settings))
                    if len(ids) > room:
                        raise Unreadable(f"{len(ids)} tokens leave no room for an answer: at most {room}")
                    getattr(found, name).append(Prompt(ids, row))
                except (Unreadable, DataError) as e:
                    reason = e.problem if isinstance(e, DataError) else str(e)
                    found.rejects.append({"file": file.name, "line": line, "reason": reason})
    for name in ("train", "validation"):
        if not getattr(found, name):
            first = found.rejects[0]["reason"] if found.rejects else "there are too few"
            raise DataError(
                f"{inputs['data']} leaves no prompt for {name}; the first set aside: {first}",
                fix="give more rows, or set train.prompt and train.reward to what the rows hold",
            )
    return found


class _Plain:
    """Prompts as they stand, for a model without a chat template."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer

    def __enter__(self) -> _Plain:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def prompt_ids(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """Return the ids of the turns' texts, a line each."""
        ids = self._tokenizer.encode("\n".join(str(m["content"]) for m in messages))
        if not ids:
            raise Unreadable("the prompt holds no token")
        return ids


def _rows(path: Path, found: PromptRows) -> list[tuple[int, dict[str, Any]]]:
    path = table_in(path)
    kept = []
    try:
        for line, row in read_rows(path):
            if isinstance(row, Unreadable):
                found.rejects.append({"file": path.name, "line": line, "reason": str(row)})
            else:
                kept.append((line, row))
    except Unreadable as e:
        raise DataError(f"{path} cannot be read: {e}", fix="check the file, or save it again") from None
    return kept


def _parts(
    rows: Sequence[tuple[int, dict[str, Any]]], validation: float
) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """Part rows as they are marked, or else by content; those marked as a test are left alone."""
    marked = [(_split(row), line, row) for line, row in rows]
    if any(part == "validation" for part, _, _ in marked):
        return {
            name: [(line, row) for part, line, row in marked if (part or "train") == name]
            for name in ("train", "validation")
        }
    rest = [(line, row) for part, line, row in marked if part != "test"]
    names = [hash_json(row) for _, row in rest]
    part_of = assign(names, validation=validation, test=0.0, seed=1)
    parts: dict[str, list[tuple[int, dict[str, Any]]]] = {"train": [], "validation": []}
    for item, name in zip(rest, names, strict=True):
        parts[part_of[name]].append(item)
    return parts


def _split(row: Mapping[str, Any]) -> str | None:
    value = next((v for k, v in row.items() if str(k).strip().lower() in SPLIT_COLUMNS), None)
    return None if value is None else SPLIT_NAMES.get(str(value).strip().lower())


def _turns(row: dict[str, Any], settings: GrpoSettings) -> list[dict[str, Any]]:
    """Return the turns to be answered: the row's own, or the prompt with the row's columns in it."""
    system = [{"role": "system", "content": settings.system}] if settings.system else []
    if row.get("messages") is not None or row.get("conversations") is not None:
        turns = read_messages(row)
        while turns and turns[-1]["role"] == "assistant":
            turns.pop()
        if not turns:
            raise Unreadable("the row asks nothing")
        return turns if turns[0]["role"] == "system" else [*system, *turns]
    missing = [name for name in PLACE.findall(settings.prompt) if row.get(name) in (None, "")]
    if missing:
        raise Unreadable(f"the row has no {missing[0]}; it has: {', '.join(map(str, row))}")
    text = PLACE.sub(lambda place: str(row[place[1]]), settings.prompt)
    return [*system, {"role": "user", "content": text}]


@torch.no_grad()
def _evaluate(writer: Writer, prompts: Sequence[Prompt], reward: Callable[..., float]) -> dict[str, float]:
    """Return the mean reward of the likeliest answers to prompts held out, and their length in tokens."""
    answers = []
    for start in range(0, len(prompts), 16):
        answers += writer.answer(prompts[start : start + 16])
    earned = [reward(a.text, p.row) for a, p in zip(answers, prompts, strict=True)]
    n = len(prompts)
    return {"reward": sum(earned) / n, "tokens": sum(len(a.ids) for a in answers) / n}
