"""Show a run as it goes: two lines that move on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from luban.log import Log
from luban.records import Step

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.text import Text

SMOOTHING = 0.9
"""Weight of the past in the displayed averages."""
WAIT_SHOWN = 0.01
"""Share of a step that waiting for data must reach to be shown."""
LEAST_IMPORTANT = ("lr", "memory", "padding", "grad", "matmul", "waiting")
"""What a narrow terminal leaves out, in this order."""
SHORT = {"tokens/s": "tok/s", "padding": "pad", "memory": "mem", "validation": "val", "waiting": "wait"}
BAR = 40


class Progress:
    """Prints a line every `every` steps and at every evaluation; a terminal moves instead."""

    def __init__(self, log: Log, n_steps: int, every: int):
        self._log, self._n_steps, self._every = log, n_steps, every
        self._loss = self._seconds = self._tokens = self._wait = 0.0
        self._n_seen = self._n_skipped = 0
        self._screen = _Screen(n_steps) if log.live else None

    def __enter__(self) -> Progress:
        if self._screen:
            self._screen.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._screen:
            self._screen.stop()

    def is_due(self, step: int) -> bool:
        """Whether this step is shown; the first one is, on a terminal."""
        is_first = self._screen is not None and self._n_seen <= 1
        return is_first or step % self._every == 0 or step == self._n_steps

    def step(self, step: Step, measured: Mapping[str, float]) -> None:
        """Take note of a step; show it when due, with what was measured (matmul_share, memory_bytes)."""
        self._take_in(step)
        texts = self._texts(step, measured)
        if self._screen:
            self._screen.move(step.number, texts, left(self._n_steps - step.number, self._seconds))
        elif self.is_due(step.number):
            seconds = self._seconds or step.seconds  # until a step is sound there is no mean
            texts["left"] = left(self._n_steps - step.number, self._seconds)
            self._log.say(
                f"step {step.number}/{self._n_steps}  " + "  ".join(f"{k} {v}" for k, v in texts.items()),
                step=step.number,
                loss=step.loss,
                grad_norm=step.grad_norm,
                lr=step.lr,
                tokens_per_second=round(self._tokens / seconds),
                padding=round(step.padding, 4),
                wait_share=round(self._wait / seconds, 4),
                skipped=self._n_skipped,
                seconds_left=round((self._n_steps - step.number) * self._seconds, 1),
                **measured,
            )

    def validation(self, step: int, scores: dict[str, float]) -> None:
        """Show an evaluation."""
        text = "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
        if self._screen:
            self._screen.validation(step, text, next(iter(scores.values())))
        else:
            self._log.say(f"step {step}/{self._n_steps}  validation  {text}", step=step, validation=scores)

    def _take_in(self, step: Step) -> None:
        if step.bad:
            self._n_skipped += 1
            return
        self._n_seen += 1
        keep = min(SMOOTHING, 1 - 1 / self._n_seen)
        self._loss = keep * self._loss + (1 - keep) * step.loss
        self._seconds = keep * self._seconds + (1 - keep) * step.seconds
        self._tokens = keep * self._tokens + (1 - keep) * step.n_tokens
        self._wait = keep * self._wait + (1 - keep) * step.wait_seconds

    def _texts(self, step: Step, measured: Mapping[str, float]) -> dict[str, str]:
        waiting = self._wait / self._seconds if self._seconds else 0.0
        texts = {
            "loss": f"{self._loss:.4f}",
            "grad": f"{step.grad_norm:.2g}",
            "lr": f"{step.lr:.1e}",
            "tokens/s": f"{self._tokens / self._seconds:,.0f}" if self._seconds else "",
            "matmul": f"{measured['matmul_share']:.0%}" if "matmul_share" in measured else "",
            "padding": f"{step.padding:.0%}",
            "memory": f"{measured['memory_bytes'] / 1e9:.1f} GB" if "memory_bytes" in measured else "",
            "waiting": f"{waiting:.0%}" if waiting >= WAIT_SHOWN else "",
            "skipped": f"{self._n_skipped}" if self._n_skipped else "",
            "recompiles": f"{measured['recompiles']}" if measured.get("recompiles") else "",
        }
        return {k: v for k, v in texts.items() if v}


def left(n_steps: int, seconds_per_step: float) -> str:
    """Write the time that so many steps take: 45 s, 12 min, 3.4 h.

    left(90, 0.5) -> "45 s"
    """
    seconds = n_steps * seconds_per_step
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@dataclass(slots=True)
class Frame:
    """The two lines: how far, and the figures that fit; a figure stays until it is replaced."""

    n_steps: int
    step: int = 0
    left: str = ""
    texts: dict[str, str] = field(default_factory=dict)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        line = Table.grid(padding=(0, 2, 0, 0))
        bar = ProgressBar(
            total=self.n_steps, completed=self.step, width=max(10, min(BAR, options.max_width - 44))
        )
        share = f"{self.step / self.n_steps:.0%}"
        left = Text.assemble((self.left, "bold"), " left") if 0 < self.step < self.n_steps else Text()
        line.add_row(Text(f"step {self.step}/{self.n_steps}", style="bold"), bar, Text(share), left)
        yield line
        yield self.figures(options.max_width)

    def figures(self, width: int) -> Text:
        """Return as many figures as fit, the less important ones left out first."""
        from rich.text import Text

        names = sorted(self.texts, key=("loss", "validation").__contains__, reverse=True)
        shown = {SHORT.get(name, name): self.texts[name] for name in names}
        for name in LEAST_IMPORTANT:
            if len("  ".join(f"{k} {v}" for k, v in shown.items())) <= width:
                break
            shown.pop(SHORT.get(name, name), None)
        parts = [Text.assemble((name, "dim"), " ", text) for name, text in shown.items()]
        return Text("  ", no_wrap=True, overflow="ellipsis").join(parts)


class _Screen:
    """The frame on a live terminal; whatever else is printed goes above it."""

    def __init__(self, n_steps: int):
        from rich.console import Console
        from rich.live import Live

        self._frame = Frame(n_steps)
        self._live: Any = Live(self._frame, console=Console(stderr=True), refresh_per_second=5)

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        self._live.stop()

    def move(self, step: int, texts: dict[str, str], time_left: str) -> None:
        self._frame.step, self._frame.left = step, time_left
        self._frame.texts = self._frame.texts | texts

    def validation(self, step: int, text: str, score: float) -> None:
        self._frame.texts["validation"] = f"{score:.4f}"
        self._live.console.print(f"[bold]step {step}[/]  validation  {text}", highlight=False)
