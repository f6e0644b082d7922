"""Our side of a comparison: a `luban` command line, word for word, that pauses between blocks of steps."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from turns import Turns, spec

from luban.cli.main import main
from luban.records import Step


def pausing(real: Any, turns: Turns) -> Any:
    """Return the training loop with a look at the parent after each step."""

    def train(course: Any) -> Generator[Step, None, None]:
        for step in real(course):
            turns.count(step.n_tokens, step.n_targets, round(step.n_tokens / (1 - step.padding)))
            turns.step()
            yield step

    return train


if __name__ == "__main__":
    import luban.train.run as run

    asked = spec()
    run.train = pausing(run.train, Turns(asked["warm_up"], asked["block"]))  # type: ignore[attr-defined]
    main(asked["arguments"])
