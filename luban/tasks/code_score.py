"""Score a model by the programs that it writes: each is run with its tests, in the sandbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from luban.device import choose_device
from luban.errors import CheckpointError, ConfigError, DataError
from luban.evaluate.intervals import signature
from luban.evaluate.pass_at_k import scores_of_problem
from luban.evaluate.row_scores import scores_of
from luban.files import hash_path, write_jsonl
from luban.generate.settings import SamplingSettings
from luban.generate.writing import generate
from luban.log import Log
from luban.models.model import Model
from luban.sandbox import Limits, Outcome, Runner, run_in_sandbox, run_without_sandbox
from luban.sandbox.check import require_sandbox
from luban.sandbox.unsafe import WARNING
from luban.stages import Facts
from luban.tasks.chat_answers import open_speaker, said
from luban.tasks.code_problems import MAIN, PROGRAMS, STOPS, Problem, judged_program, read_problems
from luban.tasks.code_settings import CodeSettings
from luban.tasks.likelihood_score import read_table
from luban.tasks.opened import open_tuned
from luban.tasks.score import keep_scores, plan_of
from luban.tasks.settings import ScoreSettings

REJECTS, SAMPLES = "rejects.jsonl", "samples.jsonl"
FAILED_EARLY = "it ended before its tests did"


@dataclass(frozen=True, slots=True)
class Sample:
    """One program for a problem, and what became of it."""

    problem: int
    number: int
    text: str
    outcome: Outcome

    @property
    def is_judged(self) -> bool:
        """Whether it was run as it should be."""
        return self.outcome.verdict != "sandbox_error"


def score(settings: ScoreSettings, model: Path, data: Path, out: Path, log: Log) -> Facts:
    """Write programs for every problem, run each with its tests, and tell pass@k."""
    code = settings.code
    runner = _runner(code, log)
    table = read_table(data, settings)
    problems, rejects = read_problems(table.rows)
    if not problems:
        raise DataError(
            f"{data} has no problem: row {rejects[0]['line']}: {rejects[0]['reason']}",
            fix="give rows with the columns of HumanEval or of MBPP: docs/en/code.md",
        )
    if rejects:
        log.warn(
            f"{len(rejects)} rows are no problem, such as row {rejects[0]['line']}: {rejects[0]['reason']}"
        )
    texts = WRITERS[code.ask](problems, settings, model, log)
    samples = judge(problems, texts, code, runner)
    write_jsonl(out / SAMPLES, [_plain(problems[s.problem], s) for s in samples])
    verdicts = Counter(str(s.outcome.verdict) for s in samples)
    _tell(verdicts, samples, log)
    rows, unjudged = _rows(problems, samples, code)
    write_jsonl(out / REJECTS, rejects + unjudged)
    plan = plan_of(settings)
    name = (
        f"pass@k|set:{problems[0].kind}|ask:{code.ask}|samples:{code.samples}|temperature:{code.drawn_at:g}"
        f"|top_p:{code.top_p:g}|tokens:{code.max_new_tokens}|sandbox:{'no' if code.unsafe_exec else 'yes'}"
    )
    facts = {
        "metrics": scores_of(rows, plan),
        "counts": {"n": len(rows), "samples": len(samples), "rejects": len(rejects) + len(unjudged)},
        "verdicts": dict(sorted(verdicts.items())),
        "signature": signature(name, len(rows), plan, table.split, hash_path(data)),
        "latency_ms": None,
        "split": table.split,
    }
    return keep_scores(facts, rows, model, data, out)


def judge(
    problems: Sequence[Problem], texts: Sequence[Sequence[str]], code: CodeSettings, runner: Runner
) -> list[Sample]:
    """Run every text as a program with the tests of its problem, `workers` at a time."""
    limits = Limits(
        seconds=code.seconds, cpu_seconds=max(1, round(code.seconds)), memory_bytes=code.memory_bytes
    )

    def one(place: tuple[int, int]) -> Sample:
        problem, text = problems[place[0]], texts[place[0]][place[1]]
        files, mark = judged_program(problem, PROGRAMS[code.ask](problem, text))
        outcome = runner(files, [MAIN], limits)
        if outcome.verdict == "ok" and mark not in outcome.stdout:
            outcome = Outcome("failed", seconds=outcome.seconds, code=0, problem=FAILED_EARLY)
        return Sample(*place, text, outcome)

    places = [(i, j) for i, row in enumerate(texts) for j in range(len(row))]
    with ThreadPoolExecutor(code.workers) as pool:
        return list(pool.map(one, places))


def _runner(code: CodeSettings, log: Log) -> Runner:
    if code.unsafe_exec:
        log.warn(WARNING)
        return run_without_sandbox
    require_sandbox()
    return run_in_sandbox


def _continue(
    problems: Sequence[Problem], settings: ScoreSettings, folder: Path, log: Log
) -> list[list[str]]:
    """Let the model go on with each prompt, up to what follows a solution."""
    model, tokenizer = open_tuned(folder)
    _check_writer(model, folder)
    model.to(choose_device())
    code = settings.code
    asked = [(i, n) for i in range(len(problems)) for n in range(code.samples)]
    asked.sort(key=lambda place: len(problems[place[0]].prompt))
    found: dict[tuple[int, int], str] = {}
    for start in range(0, len(asked), code.batch_size):
        places = asked[start : start + code.batch_size]
        kind = problems[places[0][0]].kind
        sampling = SamplingSettings(
            max_new_tokens=code.max_new_tokens,
            temperature=code.drawn_at,
            top_p=code.top_p,
            seed=settings.seed + start,
            stop=STOPS[kind],
        )
        prompts = [problems[i].prompt for i, _ in places]
        found |= zip(places, generate(model, tokenizer, prompts, settings=sampling), strict=True)
        log.say(f"  {len(found)} of {len(asked)} programs written", written=len(found))
    return [[found[i, n] for n in range(code.samples)] for i in range(len(problems))]


def _chat(problems: Sequence[Problem], settings: ScoreSettings, folder: Path, log: Log) -> list[list[str]]:
    """Ask a chat model in words."""
    from luban.generate.decode import decode
    from luban.generate.reader import Prompts

    speaker, code = open_speaker(folder), settings.code
    speaker.model.to(choose_device())
    texts: list[list[str]] = [[] for _ in problems]
    order = sorted(range(len(problems)), key=lambda i: len(problems[i].question))
    for n in range(code.samples):
        for start in range(0, len(order), code.batch_size):
            places = order[start : start + code.batch_size]
            sampling = SamplingSettings(
                max_new_tokens=code.max_new_tokens,
                temperature=code.drawn_at,
                top_p=code.top_p,
                seed=settings.seed + n * len(problems) + start,
            )
            turns = [[{"role": "user", "content": problems[i].question}] for i in places]
            prompts = Prompts([speaker.fit(turn, sampling, ())[0] for turn in turns])
            written = decode(speaker.model, prompts, sampling, end_ids=speaker.end_ids)
            for i, ids in zip(places, written, strict=True):
                texts[i].append(said(speaker, ids))
            log.say(f"  {sum(map(len, texts))} of {len(problems) * code.samples} answers written")
    return texts


def _reference(
    problems: Sequence[Problem], settings: ScoreSettings, folder: Path, log: Log
) -> list[list[str]]:
    """Take the solutions of the data, whatever the model."""
    if settings.code.samples != 1:
        raise ConfigError("the data has one solution of each problem", fix="set evaluate.code.samples=1")
    if missing := [p.id for p in problems if not p.solution]:
        raise DataError(f"problem {missing[0]} has no solution in the data", fix="use another code.ask")
    return [[problem.solution] for problem in problems]


WRITERS: dict[str, Callable[[Sequence[Problem], ScoreSettings, Path, Log], list[list[str]]]] = {
    "continue": _continue,
    "chat": _chat,
    "reference": _reference,
}


def _check_writer(model: Model, folder: Path) -> None:
    config = model.config
    if config.head.kind != "tokens" or config.trunk.sight != "causal" or config.encoder is not None:
        raise CheckpointError(f"{folder} writes no texts", fix="name the folder of a language model")


def _tell(verdicts: Counter[str], samples: Sequence[Sample], log: Log) -> None:
    told = ", ".join(f"{n} {name}" for name, n in verdicts.most_common())
    log.say(f"  programs: {told}", verdicts=dict(verdicts))
    broken = [s for s in samples if not s.is_judged]
    if len(broken) == len(samples):
        raise ConfigError(
            f"no program could be run in the sandbox: {broken[0].outcome.problem}", fix="see luban doctor"
        )
    if broken:
        log.warn(
            f"{len(broken)} programs could not be run in the sandbox and count neither as right nor as "
            f"wrong: {broken[0].outcome.problem}"
        )


def _rows(
    problems: Sequence[Problem], samples: Sequence[Sample], code: CodeSettings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a scored row for each problem, and those of which too few programs were judged."""
    rows, unjudged = [], []
    for i, problem in enumerate(problems):
        mine = [s for s in samples if s.problem == i]
        right = [s.outcome.verdict == "ok" for s in mine if s.is_judged]
        if len(right) < max(code.ks):
            why = next(s.outcome.problem for s in mine if not s.is_judged)
            unjudged.append({"line": i + 1, "id": problem.id, "reason": f"sandbox_error: {why}"})
            continue
        verdicts = Counter(str(s.outcome.verdict) for s in mine)
        rows.append(
            {"id": problem.id, "score": scores_of_problem(right, code.ks), "verdicts": dict(verdicts)}
        )
    return rows, unjudged


def _plain(problem: Problem, sample: Sample) -> dict[str, Any]:
    outcome = {k: v for k, v in asdict(sample.outcome).items() if k not in ("stdout", "stderr")}
    return {"id": problem.id, "sample": sample.number, "text": sample.text, **outcome}
