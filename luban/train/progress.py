"""Show a run as it goes: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from luban.log import Log
from luban.records import Step
from luban.train.speed import Speed

SMOOTHING = 0.9
"""Weight of the past in the displayed averages."""


class Progress:
    """Prints a line every `every` steps and at every evaluation; on a terminal also moves a bar."""

    def __init__(self, log: Log, n_steps: int, every: int, speed: Speed):
        self._log, self._n_steps, self._every, self._speed = log, n_steps, every, speed
        self._loss = self._seconds = self._tokens = 0.0
        self._n_seen = 0
        self._bar = _Bar(n_steps) if log.live else None

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def step(self, step: Step) -> None:
        """Take note of a step, and show it when due."""
        self._n_seen += 1
        keep = min(SMOOTHING, 1 - 1 / self._n_seen)
        self._loss = keep * self._loss + (1 - keep) * step.loss
        self._seconds = keep * self._seconds + (1 - keep) * step.seconds
        self._tokens = keep * self._tokens + (1 - keep) * step.n_tokens
        is_due = step.number % self._every == 0 or step.number == self._n_steps
        if self._bar:
            share = self._speed.matmul_share() if is_due or self._n_seen == 1 else None
            self._bar.move(step.number, self._texts(step, share))
        elif is_due:
            texts = self._texts(step, self._speed.matmul_share())
            self._log.say(
                f"step {step.number}/{self._n_steps}  "
                + "  ".join(f"{k} {v}" for k, v in texts.items() if v),
                step=step.number,
                loss=step.loss,
                tokens_per_second=round(self._tokens / self._seconds),
            )

    def validation(self, step: int, scores: dict[str, float]) -> None:
        """Show an evaluation."""
        text = "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
        if self._bar:
            self._bar.validation(step, text)
        else:
            self._log.say(f"step {step}/{self._n_steps}  validation  {text}", step=step, validation=scores)

    def _texts(self, step: Step, matmul_share: float | None) -> dict[str, str]:
        left = (self._n_steps - step.number) * self._seconds
        return {
            "loss": f"{self._loss:.4f}",
            "lr": f"{step.lr:.2e}",
            "tokens/s": f"{self._tokens / self._seconds:.0f}",
            "matmul": f"{matmul_share:.0%}" if matmul_share is not None else "",
            "padding": f"{step.padding:.0%}",
            "left": f"{left / 60:.0f} min" if left >= 120 else f"{left:.0f} s",
        }


class _Bar:
    """A rich progress bar whose figures stay until they are replaced."""

    def __init__(self, n_steps: int):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._shown: dict[str, str] = {}
        self._rich = RichProgress(
            MofNCompleteColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
        )
        self._task: Any = self._rich.add_task("starting", total=n_steps)

    def start(self) -> None:
        self._rich.start()

    def stop(self) -> None:
        self._rich.stop()

    def move(self, step: int, texts: dict[str, str]) -> None:
        self._shown |= {k: v for k, v in texts.items() if v}
        text = "  ".join(f"[dim]{k}[/] {v}" for k, v in self._shown.items())
        self._rich.update(self._task, completed=step, description=text)

    def validation(self, step: int, text: str) -> None:
        self.move(step, {"validation": text.partition("  ")[0].partition(" ")[2]})
        self._rich.console.print(f"[bold]step {step}[/]  validation  {text}", highlight=False)
