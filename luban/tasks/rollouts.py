"""Answers that the model being trained writes itself, rewarded, as the batches it learns from.

What a step reads is a pure function of (seed, step, weights). Rollouts are kept in the run's folder, one
file for each, so that a run which goes on amid several updates from one rollout reads what was written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luban.data.order import endless
from luban.data.row_groups import Row, padded
from luban.errors import CheckpointError
from luban.files import read_jsonl, write_jsonl
from luban.generate.decode import decode
from luban.generate.reader import Prompts
from luban.generate.settings import SamplingSettings
from luban.models.model import Model
from luban.objectives.answers import token_log_probs
from luban.objectives.policy import advantages
from luban.records import IGNORE, Batch
from luban.tasks.grpo_settings import GrpoSettings
from luban.tasks.rewards import Reward
from luban.tokenizer import Tokenizer

FOLDER = "rollouts"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked, as ids, and the row that it came from."""

    ids: list[int]
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its text, and its ids with the end token, if it ended."""

    text: str
    ids: list[int]


class StartWeights:
    """The weights that learn, as they were at the start: with them the model is its own reference."""

    def __init__(self, model: nn.Module):
        self._start = [(p, p.detach().clone()) for p in model.parameters() if p.requires_grad]

    @contextmanager
    def put_back(self) -> Iterator[None]:
        """Let the model be what it was, meanwhile."""
        now = [p.data for p, _ in self._start]
        try:
            for p, start in self._start:
                p.data = start.to(p)
            yield
        finally:
            for (p, _), data in zip(self._start, now, strict=True):
                p.data = data


class Writer:
    """The model as one that answers prompts."""

    def __init__(self, model: Model, tokenizer: Tokenizer, settings: GrpoSettings):
        self.model, self.tokenizer, self.settings = model, tokenizer, settings

    def answer(self, prompts: Sequence[Prompt], seeds: Sequence[int] | None = None) -> list[Answer]:
        """Answer each prompt: by the draws of its seed, or by the likeliest tokens."""
        sampling = SamplingSettings(
            max_new_tokens=self.settings.max_new_tokens,
            temperature=self.settings.temperature if seeds else 0.0,
        )
        asked = Prompts([p.ids for p in prompts])
        eos, room = self.model.config.eos_id, self.model.config.max_len
        found = []
        for prompt, ids in zip(prompts, decode(self.model, asked, sampling, seeds=seeds), strict=True):
            has_ended = len(ids) < min(sampling.max_new_tokens, room - len(prompt.ids))
            whole = [*ids, eos] if has_ended and eos is not None else ids
            found.append(Answer(self.tokenizer.decode(ids), whole))
        return found


class Rollouts:
    """Batches of a step: prompts in an endless order, `group` answers to each, and their advantages."""

    by_model = True
    """They wait for the weights of the step before."""

    def __init__(
        self, writer: Writer, prompts: Sequence[Prompt], reward: Reward, start: StartWeights | None, out: Path
    ):
        self.writer, self.prompts, self.reward, self.start = writer, prompts, reward, start
        self.settings, self.folder = writer.settings, out / FOLDER
        self._kept: tuple[int, list[Batch]] = (0, [])
        self.steps_per_epoch = max(
            1, len(prompts) * self.settings.updates_per_rollout // self.settings.prompts_per_step
        )

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step, counted from 1, written by the weights as they are now."""
        first = step - (step - 1) % self.settings.updates_per_rollout
        if step == first:
            self._kept = step, self._write(step)
        elif self._kept[0] != first:
            self._kept = first, self._read(first)
        return self._kept[1]

    def _write(self, step: int) -> list[Batch]:
        """Let the model answer, reward the answers, and keep them in the folder."""
        s = self.settings
        n, group = s.prompts_per_step, s.group
        rollout = (step - 1) // s.updates_per_rollout
        chosen = [int(i) for i in endless(rollout * n, (rollout + 1) * n, len(self.prompts), s.seed)]
        asked = [self.prompts[i] for i in chosen for _ in range(group)]
        answers = self.writer.answer(asked, [_seed(s.seed, step, i) for i in range(len(asked))])
        rewards = torch.tensor(
            [self.reward(a.text, p.row) for a, p in zip(answers, asked, strict=True)], dtype=torch.float64
        )
        better = advantages(rewards.view(n, group), by_deviation=s.variant == "grpo").flatten()
        rows = [
            {
                "prompt": chosen[i // group],
                "reward": rewards[i].item(),
                "advantage": better[i].item(),
                "answer": answer.text,
                "n_asked": len(prompt.ids),
                "ids": [*prompt.ids, *answer.ids],
            }
            for i, (prompt, answer) in enumerate(zip(asked, answers, strict=True))
        ]
        batches = [self._with_log_probs(batch) for batch in _batches(rows, s.tokens_per_batch, self._pad_id)]
        if s.updates_per_rollout > 1:
            for batch in batches:
                assert batch.before is not None
                for place, i in enumerate(batch.ids):
                    said = batch.targets[place] != IGNORE
                    rows[i]["before"] = batch.before[place][said].tolist()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_jsonl(self._path(step), rows)
        return batches

    def _read(self, step: int) -> list[Batch]:
        """Return what an earlier process wrote."""
        path = self._path(step)
        if not path.is_file():
            raise CheckpointError(
                f"the run goes on amid the rollout of step {step}, and {path} is gone",
                fix="begin anew: --set train.on_change=restart",
            )
        rows = list(read_jsonl(path))
        return [self._with_reference(b) for b in _batches(rows, self.settings.tokens_per_batch, self._pad_id)]

    @property
    def _pad_id(self) -> int:
        return self.writer.model.config.pad_id or 0

    def _path(self, step: int) -> Path:
        return self.folder / f"{step:07d}.jsonl"

    def _with_log_probs(self, batch: Batch) -> Batch:
        """Add what the weights that wrote a batch say of it, where several updates will learn from it."""
        if self.settings.updates_per_rollout > 1:
            batch = replace(batch, before=self._log_probs(batch))
        return self._with_reference(batch)

    def _with_reference(self, batch: Batch) -> Batch:
        """Add what the start model says of a batch, where the divergence from it costs."""
        if self.start is None:
            return batch
        with self.start.put_back():
            return replace(batch, reference=self._log_probs(batch))

    @torch.no_grad()
    def _log_probs(self, batch: Batch) -> Tensor:
        model = self.writer.model
        was_training = model.training
        model.eval()
        found = token_log_probs(model, batch.to(next(model.parameters()).device)).cpu()
        model.train(was_training)
        return found


def _batches(rows: Sequence[Mapping[str, Any]], budget: int, pad_id: int) -> Iterator[Batch]:
    """Yield micro-batches of rows of like length, longest first, each within the budget of places."""
    order = sorted(range(len(rows)), key=lambda i: (-len(rows[i]["ids"]), i))
    start = 0
    while start < len(order):
        n = max(1, budget // len(rows[order[start]]["ids"]))
        part = order[start : start + n]
        start += n
        flagged: list[Row] = [
            (rows[i]["ids"], [place >= rows[i]["n_asked"] for place in range(len(rows[i]["ids"]))])
            for i in part
        ]
        tokens, documents, targets = padded(flagged, pad_id)
        signal = torch.tensor([rows[i]["advantage"] for i in part], dtype=torch.float32)
        batch = Batch(tokens, documents, targets, tuple(part), signal=signal, group=1)
        if "before" in rows[part[0]]:
            before = torch.zeros(targets.shape)
            for place, i in enumerate(part):
                before[place][targets[place] != IGNORE] = torch.tensor(rows[i]["before"])
            batch = replace(batch, before=before)
        yield batch


def _seed(*parts: int) -> int:
    """Return a seed that no other step or answer has."""
    digest = hashlib.blake2b(np.array(parts, np.int64).tobytes(), digest_size=7).digest()
    return int.from_bytes(digest, "big")
