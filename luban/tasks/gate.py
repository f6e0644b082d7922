"""Before and after: whether tuning improved its task, and what it cost of what the model could do before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luban.data.messages import read_conversations
from luban.errors import ConfigError, DataError
from luban.evaluate.compare import Comparison, compare, read_predictions
from luban.files import write_jsonl
from luban.log import Log
from luban.tasks.chat_score import rows_to_score
from luban.tasks.score import plan_of, score, scoring_task
from luban.tasks.settings import ScoreSettings

GENERAL = Path(__file__).parent.parent / "bundled" / "general.jsonl"
"""Short questions of everyday knowledge in English and Chinese, frozen, so that gates compare."""
GENERAL_BY = "bits_per_byte"


@dataclass(frozen=True, slots=True)
class Gate:
    """What was compared, tuned minus base, and what follows."""

    task: Comparison
    general: Comparison
    margin: float
    """Share of the base's bits per byte on the general set that may be lost."""

    @property
    def lost(self) -> float:
        """The share of the base's bits per byte that was lost; below 0: gained."""
        difference = self.general.differences[GENERAL_BY]
        return difference.value / difference.first

    @property
    def improved(self) -> bool:
        """Whether the task got better, beyond chance."""
        return self.task.verdict == "better"

    @property
    def kept(self) -> bool:
        """Whether no more than the margin was lost."""
        return self.lost <= self.margin

    @property
    def passed(self) -> bool:
        """Whether the tuned model may replace the base."""
        return self.improved and self.kept

    def plain(self) -> dict[str, Any]:
        """Return the gate as JSON data."""
        return {
            "task": self.task.plain(),
            "general": self.general.plain(),
            "margin": self.margin,
            "lost": self.lost,
            "improved": self.improved,
            "kept": self.kept,
            "passed": self.passed,
        }


def gate(models: tuple[Path, Path], data: Path, general: Path | None, margin: float, out: Path) -> Gate:
    """Score base and tuned on the task's rows and on general conversations, and compare them by pairs.

    Of conversations that the tuned model learnt from, those held out count; names are put in as it
    learnt them. Scores and answers stay in out/{task,general}/{base,tuned}.
    """
    if margin < 0:
        raise ConfigError(f"margin = {margin:g} is below 0", fix="give a share such as 0.05")
    settings, log = ScoreSettings(), Log(quiet=True)
    tuned = models[1]
    if scoring_task(tuned, data).name == "chat":
        data = _same_rows(settings, tuned, data, out / "task.jsonl")
    rows = {"task": data, "general": general or GENERAL}
    if not read_conversations(rows["general"]).kept:
        raise DataError(f"{general} holds no conversation", fix="give rows with messages")
    found = {}
    for part, path in rows.items():
        for name, model in zip(("base", "tuned"), models, strict=True):
            folder = out / part / name
            folder.mkdir(parents=True, exist_ok=True)
            score(settings, {"model": model, "data": path}, folder, log)
        by = GENERAL_BY if part == "general" else None
        found[part] = compare(out / part / "base", out / part / "tuned", plan_of(settings), by)
    return Gate(found["task"], found["general"], margin)


def _same_rows(settings: ScoreSettings, tuned: Path, data: Path, path: Path) -> Path:
    """Write the conversations that count, so that the base, which knows no names, is scored on the same."""
    talks, _ = rows_to_score(settings, tuned, data, Log(quiet=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"messages": list(talk.messages), "tools": list(talk.tools)} for talk in talks]
    write_jsonl(path, ({k: v for k, v in row.items() if v} for row in rows))
    return path


def shown(out: Path, n: int) -> list[dict[str, str]]:
    """Return some questions with the answers before and after."""
    base, tuned = (read_predictions(out / "task" / name) for name in ("base", "tuned"))
    pairs = [(a, b) for a, b in zip(base, tuned, strict=True) if "answer" in a and "answer" in b]
    return [{"question": a["question"], "before": a["answer"], "after": b["answer"]} for a, b in pairs[:n]]
