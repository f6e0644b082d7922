"""Rules that vote for the labels of documents: from YAML to functions, and how well they do."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luban.config import Tree, fill, load_yaml
from luban.errors import ConfigError
from luban.tasks.label_settings import Rule

Row = Mapping[str, Any]
Condition = Callable[[Row], bool]
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")


@dataclass(frozen=True, slots=True)
class Voter:
    """A rule made ready: it votes where all conditions hold."""

    name: str
    label: str
    weight: float
    conditions: tuple[Condition, ...]

    def votes(self, row: Row) -> bool:
        """Whether the rule votes on a document's row."""
        return all(condition(row) for condition in self.conditions)


def read_rules(path: Path) -> tuple[Voter, ...]:
    """Read rules.yaml; a rule that cannot be is an error that names it."""
    tree = load_yaml(path)
    given = tree.data.get("rules")
    if not isinstance(given, list) or not given or len(tree.data) > 1:
        other = next((key for key in tree.data if key != "rules"), None)
        what = f"has an unknown key {other}" if other and given else "has no list of rules"
        raise ConfigError(f"{path} {what}", fix="write rules: [{label: bad, words: [casino, 博彩]}]")
    rules = [
        fill(Rule, Tree(rule if isinstance(rule, dict) else {"label": rule}), f"{path}: rules.{i}")
        for i, rule in enumerate(given, start=1)
    ]
    if nameless := next((i for i, rule in enumerate(rules, start=1) if not rule.label.strip()), None):
        raise ConfigError(f"{path}: rules.{nameless}.label is empty", fix="write the label that it votes for")
    names = [rule.name or f"{rule.label}-{i}" for i, rule in enumerate(rules, start=1)]
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise ConfigError(f"{path}: two rules have the name {twice[0]}", fix="name them apart")
    return tuple(
        Voter(name, rule.label, rule.weight, tuple(_conditions(rule, f"{path}: rule {name}")))
        for name, rule in zip(names, rules, strict=True)
    )


def _conditions(rule: Rule, where: str) -> Iterable[Condition]:
    """Return the conditions that a rule has, the cheap ones first."""
    found: list[Condition] = []
    if rule.languages:
        found.append(lambda row: row.get("language") in rule.languages)
    if rule.source is not None:
        glob = re.compile(fnmatch.translate(rule.source))
        found.append(lambda row: glob.match(str(row.get("source") or "")) is not None)
    if rule.min_chars is not None:
        least = rule.min_chars
        found.append(lambda row: len(row["text"]) >= least)
    if rule.max_chars is not None:
        most = rule.max_chars
        found.append(lambda row: len(row["text"]) <= most)
    flags = re.MULTILINE if rule.match_case else re.MULTILINE | re.IGNORECASE
    if rule.words:
        found.append(_Words(rule, where))
    for expressions, wanted in ((rule.all, True), (rule.none, False)):
        found += [_Found((_compiled(e, flags, where),), wanted) for e in expressions]
    if rule.any:
        found.append(_Found(tuple(_compiled(e, flags, where) for e in rule.any), True))
    if not found:
        raise ConfigError(f"{where} has no condition", fix="give any, all, none, words, a length or a source")
    return found


def _compiled(expression: str, flags: int, where: str) -> re.Pattern[str]:
    try:
        return re.compile(expression, flags)
    except re.error as e:
        raise ConfigError(f"{where}: {expression!r} is no regular expression: {e}", fix="repair it") from None


class _Found:
    """Holds where one of the patterns is found, or where none is."""

    def __init__(self, patterns: tuple[re.Pattern[str], ...], wanted: bool):
        self._patterns, self._wanted = patterns, wanted

    def __call__(self, row: Row) -> bool:
        return any(p.search(row["text"]) for p in self._patterns) is self._wanted


class _Words:
    """Holds where enough different words of a list occur."""

    def __init__(self, rule: Rule, where: str):
        if not all(word.strip() for word in rule.words):
            raise ConfigError(f"{where}: one of its words is empty", fix="take it out")
        if rule.min_words > len(set(rule.words)):
            raise ConfigError(
                f"{where}: min_words = {rule.min_words}, and it has {len(set(rule.words))} words",
                fix="lower it, or give more words",
            )
        self._least, self._fold = rule.min_words, not rule.match_case
        words = dict.fromkeys(word.lower() if self._fold else word for word in rule.words)
        self._words = [(word, _borders(word)) for word in words]

    def __call__(self, row: Row) -> bool:
        text = row["text"].lower() if self._fold else row["text"]
        n = 0
        for word, whole in self._words:
            # To look for a plain string is much faster than for a pattern.
            if word in text and (whole is None or whole.search(text)):
                n += 1
                if n >= self._least:
                    return True
        return False


def _borders(word: str) -> re.Pattern[str] | None:
    """Return a pattern of a whole word; in scripts without spaces a word may stand inside others."""
    if _UNSPACED.search(word):
        return None
    before = r"(?<!\w)" if re.match(r"\w", word) else ""
    after = r"(?!\w)" if re.search(r"\w$", word) else ""
    return re.compile(before + re.escape(word) + after) if before or after else None


def tally(
    voted: Sequence[Voter], probabilities: Mapping[str, float], model_weight: float
) -> dict[str, float]:
    """Return the share of the votes that each label has, in the order of those who voted; {}: nobody did.

    A model gives its weight to its labels by their probabilities.
    """
    sums: dict[str, float] = {}
    for voter in voted:
        sums[voter.label] = sums.get(voter.label, 0.0) + voter.weight
    for label, probability in probabilities.items():
        sums[label] = sums.get(label, 0.0) + model_weight * probability
    total = sum(sums.values())
    return {label: share / total for label, share in sums.items()} if total else {}


@dataclass(slots=True)
class Tally:
    """How often each rule votes, agrees with others, and is right."""

    voters: Mapping[str, str]
    """Name → label; a model has none of its own."""
    documents: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    judged: Counter[str] = field(default_factory=Counter)
    _votes: Counter[str] = field(default_factory=Counter)
    _overlaps: Counter[str] = field(default_factory=Counter)
    _conflicts: Counter[str] = field(default_factory=Counter)

    def add(self, voted: Sequence[str], label: str | None, gold: str | None) -> None:
        """Count a document: who voted, which label it got, and the true one where that is known."""
        self.documents += 1
        self.labels[label or ""] += 1
        chosen = {self.voters[name] for name in voted}
        for name in voted:
            self._votes[name] += 1
            self._overlaps[name] += len(voted) > 1
            self._conflicts[name] += len(chosen) > 1
            if gold is not None:
                self.judged[name] += 1
                self.right[name] += self.voters[name] == gold
        if gold is not None and label is not None:
            self.judged[""] += 1
            self.right[""] += label == gold

    def facts(self) -> dict[str, Any]:
        """Return what the manifest shows; shares are of all documents, accuracy of those it voted on."""
        n = max(1, self.documents)
        rules = [
            {
                "rule": name,
                "label": label,
                "votes": self._votes[name],
                "coverage": round(self._votes[name] / n, 6),
                "overlap": round(self._overlaps[name] / n, 6),
                "conflict": round(self._conflicts[name] / n, 6),
                "accuracy": self._accuracy(name),
            }
            for name, label in self.voters.items()
        ]
        covered = self.documents - self.labels[""]
        labels = {label: n for label, n in self.labels.most_common() if label}
        return {
            "rules": rules,
            "labels": labels,
            "coverage": round(covered / n, 6),
            "accuracy": self._accuracy(""),
        }

    def _accuracy(self, name: str) -> float | None:
        return round(self.right[name] / self.judged[name], 6) if self.judged[name] else None
