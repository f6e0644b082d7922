"""What advice rests on: what the data are measured to be, and what is wished."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from luban.errors import ConfigError

CODES = frozenset(
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz "
    "ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii "
    "ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi "
    "mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw "
    "sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk "
    "ur uz ve vi vo wa wo xh yi yo za zh zu".split()
)
"""ISO 639-1."""
USUAL_NAMES = {
    **dict.fromkeys(("chinese", "cn", "chs", "cht", "zho", "中文", "汉语"), "zh"),
    **dict.fromkeys(("english", "eng", "us", "英文", "英语"), "en"),
    "german": "de",
    "french": "fr",
    "spanish": "es",
    "russian": "ru",
    "japanese": "ja",
    "jp": "ja",
    "korean": "ko",
}
TASKS = ("classify", "pretrain", "qa", "translate", "chat", "search", "speech", "tag")


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """A pretrained model to go on from."""

    name: str
    where: str
    """Folder, as `--model` takes it."""
    family: str
    size: str
    parameters: int
    languages: tuple[str, ...] = ()
    """What it was trained on; none: not known, and taken to fit."""
    package: str = ""
    """What to install to have it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Measured figures; 0 where a task has no such thing or nothing was given to measure."""

    rows: int = 0
    """Labelled rows to learn from, or pairs, questions, conversations."""
    classes: int = 0
    smallest: int = 0
    """Rows of the rarest class."""
    mean_chars: float = 0.0
    mean_tokens: float = 0.0
    """Words, and Chinese characters one by one: near what a tokenizer makes of a text."""
    long_tokens: float = 0.0
    """The same of a text that nine in ten are shorter than."""
    chinese: float = 0.0
    """Share of texts that are mostly Chinese."""
    duplicates: float = 0.0
    """Share of texts that repeat another one or nearly."""
    tokens: int = 0
    """Tokens of text without labels."""
    made_by: str = ""
    """Stage that prepared that text: clean, dedup, split or shard."""
    memory: int = 0
    """Free bytes."""
    rate: float = 5e10
    """Matrix operations a second."""
    installed: frozenset[str] = frozenset()
    """Packages with weights that are here."""
    given: Start | None = None
    """A pretrained model of the user's own."""

    @property
    def rows_per_class(self) -> float:
        """Rows divided by classes."""
        return self.rows / max(1, self.classes)

    @property
    def smallest_share(self) -> float:
        """Share of the rarest class, as a multiple of an even share."""
        return self.smallest / self.rows_per_class if self.rows else 0.0

    @property
    def has_model(self) -> bool:
        """Whether the user brings a pretrained model."""
        return self.given is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What is to be done, and with how much."""

    task: str
    data: str = "DATA"
    languages: tuple[str, ...] = ()
    minutes: float = 60.0
    """Longest training."""
    model_limit: float = math.inf
    """Largest model, in millions of parameters."""
    out: str = "runs/advised"
    sets: tuple[str, ...] = ()
    """Settings that the advised command takes over."""
    more: Mapping[str, str] = field(default_factory=dict)
    """Options that it takes over, such as --eval."""

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            close = difflib.get_close_matches(self.task, TASKS, n=1, cutoff=0.5)
            fix = f"did you mean {close[0]}?" if close else f"use one of: {', '.join(TASKS)}"
            raise ConfigError(f"--task {self.task} is no task that advice is known for", fix=fix)
        for name, value in (("minutes", self.minutes), ("model-limit", self.model_limit)):
            if not value > 0:
                raise ConfigError(f"--{name} {value:g} is not positive", fix="give a number above 0")


def read_languages(texts: Iterable[str]) -> tuple[str, ...]:
    """Return language codes as given: "zh,en" or one at a time, a region left out; refuse unknown ones."""
    found = []
    for word in (w.strip() for text in texts for w in text.split(",")):
        code = word.lower().replace("_", "-").partition("-")[0]
        if code not in CODES:
            meant = USUAL_NAMES.get(word.lower()) or USUAL_NAMES.get(code)
            raise ConfigError(
                f"--languages {word} is no language code",
                fix=f"did you mean {meant}?"
                if meant
                else "use ISO 639-1 codes: zh for Chinese, en for English",
            )
        found.append(code)
    return tuple(dict.fromkeys(found))
