"""A run in one record, read from its folders: what the page and the summary both draw."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from luban.report.chain import StageRun, read_stages
from luban.report.ladder import Ladder, Rung, Score, build_ladders, read_rungs
from luban.report.reading import Part
from luban.report.training import Training, read_trainings


@dataclass(frozen=True, slots=True)
class Dropped:
    """A document that a step left out, and why."""

    id: str
    reason: str
    detail: str
    text: str


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """Documents and bytes before and after one step."""

    stage: str
    step: str
    documents_in: int
    documents_out: int
    bytes_in: int
    bytes_out: int
    example: Dropped | None


@dataclass(frozen=True, slots=True)
class TokenizerFacts:
    """A trained vocabulary and how well it compresses."""

    stage: str
    vocab_size: int | None
    bytes_per_token: dict[str, float]


@dataclass(frozen=True, slots=True)
class Corpus:
    """What the data is made of, after the last stage that says so."""

    languages: dict[str, dict[str, float]] = field(default_factory=dict)
    licences: dict[str, float] = field(default_factory=dict)
    sources: dict[str, tuple[float | None, str]] = field(default_factory=dict)
    """Name → (documents, licence)."""
    splits: dict[str, dict[str, float]] = field(default_factory=dict)
    rejects: int = 0


@dataclass(frozen=True, slots=True)
class GoldenCopy:
    """Whether one copy of a model answers as the trained one did."""

    copy: str
    passed: bool | None
    max_difference: float | None
    prompts: int | None
    note: str

    @property
    def verdict(self) -> bool | None:
        """Whether it passed; None where nothing was compared."""
        return self.passed if self.prompts or not self.note else None


@dataclass(frozen=True, slots=True)
class Golden:
    """The golden check of one model."""

    stage: StageRun
    model: str
    passed: bool | None
    copies: tuple[GoldenCopy, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that a run folder tells."""

    name: str
    folder: Path
    stages: tuple[StageRun, ...]
    funnel: tuple[FunnelStep, ...]
    corpus: Corpus
    tokenizers: tuple[TokenizerFacts, ...]
    trainings: tuple[Training, ...]
    rungs: tuple[Rung, ...]
    ladders: tuple[Ladder, ...]
    golden: tuple[Golden, ...]
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Seconds that the stages took in all."""
        return sum(s.seconds for s in self.stages)

    @property
    def started(self) -> str:
        """When the first stage started, in ISO form."""
        return min((s.started for s in self.stages if s.started), default="")

    @property
    def versions(self) -> dict[str, str]:
        """Versions and machine as the newest stage recorded them."""
        return max(self.stages, key=lambda s: s.started).versions

    @property
    def documents(self) -> tuple[int, int] | None:
        """Documents read, and documents that outlived every step."""
        if not self.funnel:
            return None
        return self.funnel[0].documents_in, self.funnel[-1].documents_out

    def test_bits_per_byte(self, training: Training) -> Score | None:
        """Return a language model's score on a split that it never saw, if it was scored."""
        for rung in self.rungs:
            if rung.model is training.stage and "bits_per_byte" in rung.metrics:
                return rung.metrics["bits_per_byte"]
        return None

    def label(self, stage: StageRun) -> Path:
        """Return where a stage's folder is, as a command from here would name it."""
        return self.folder if stage.folder == self.folder else self.folder / stage.folder.name


def read_run(run_folder: Path) -> Run:
    """Read a run folder; what is broken there is left out and listed in `notes`."""
    notes: list[str] = []
    stages = read_stages(run_folder, notes)
    rungs = read_rungs(stages, notes)
    return Run(
        name=run_folder.resolve().name,
        folder=run_folder,
        stages=stages,
        funnel=tuple(step for s in stages for step in read_funnel(s.name, s.facts)),
        corpus=_corpus(stages),
        tokenizers=tuple(t for s in stages if (t := _tokenizer(s))),
        trainings=read_trainings(stages, notes),
        rungs=rungs,
        ladders=build_ladders(rungs),
        golden=tuple(_golden(s) for s in stages if s.use == "golden"),
        notes=tuple(notes),
    )


def read_funnel(stage: str, facts: Part) -> list[FunnelStep]:
    """Return the steps of a stage from its facts."""
    return [
        FunnelStep(
            stage,
            part.text("step", "?"),
            part.count("documents_in") or 0,
            part.count("documents_out") or 0,
            part.count("bytes_in") or 0,
            part.count("bytes_out") or 0,
            _dropped(part.part("example")),
        )
        for part in facts.parts("funnel")
    ]


def _dropped(part: Part) -> Dropped | None:
    if not part.data:
        return None
    return Dropped(part.text("id"), part.text("reason"), part.text("detail"), part.text("text"))


def _corpus(stages: tuple[StageRun, ...]) -> Corpus:
    languages: dict[str, dict[str, float]] = {}
    licences: dict[str, float] = {}
    sources: dict[str, tuple[float | None, str]] = {}
    splits: dict[str, dict[str, float]] = {}
    rejects = 0
    for facts in (s.facts for s in stages if s.use in ("clean", "dedup", "split", "shard")):
        languages = {k: p.numbers() for k, p in facts.part("languages").children().items()} or languages
        licences = facts.part("licences").numbers() or licences
        rows = facts.part("sources").children()
        sources = {k: (p.number("documents"), p.text("licence")) for k, p in rows.items()} or sources
        splits = {k: p.numbers() for k, p in facts.part("splits").children().items()} or splits
        rejects += facts.count("rejects") or 0
    return Corpus(languages, licences, sources, splits, rejects)


def _tokenizer(stage: StageRun) -> TokenizerFacts | None:
    if stage.use != "tokenizer":
        return None
    vocab_size = stage.facts.part("counts").count("vocab_size")
    return TokenizerFacts(stage.name, vocab_size, stage.facts.part("bytes_per_token").numbers())


def _golden(stage: StageRun) -> Golden:
    copies = tuple(
        GoldenCopy(
            p.text("copy"),
            p.flag("passed"),
            p.number("max_difference"),
            len(p.values("prompts")) if isinstance(p.data.get("prompts"), list) else p.count("prompts"),
            p.text("note"),
        )
        for p in stage.facts.parts("copies")
    )
    model = stage.source("model")
    return Golden(stage, model.label if model else "", stage.facts.flag("passed"), copies)
