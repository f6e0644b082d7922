"""Multiple choice: the answer that the model finds likeliest after the question.

A row is {"question", "choices": [...], "answer": index}, and may have "context", "subject" and "id".
The context is read once for all choices. Besides the plain log-probability, which favours short
answers, two means decide: per byte, which does not depend on the tokenizer, and per token.
Source: arXiv:2005.14165 section 2.4 for the way and the mean per token.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from luban.evaluate.likelihood import Asked, encode_pair, likelihoods, surroundings
from luban.models.model import Model
from luban.tokenizer import Tokenizer

Show = Literal["text", "letter"]
"""What the model must say: a choice's own words, or its letter, the choices standing in the question."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MOST_CHOICES = len(LETTERS)
_CJK = ("\u3400", "\u9fff")


@dataclass(frozen=True, slots=True)
class Question:
    """One question; each of `rests` goes on from the prompt with one of the choices."""

    id: str
    subject: str
    question: str
    choices: tuple[str, ...]
    answer: int
    prompt: str
    rests: tuple[str, ...]


@dataclass(slots=True)
class Questions:
    """Questions that can be asked, and rows that cannot, each with its line and the reason."""

    questions: list[Question] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)


def read_choices(rows: Iterable[Mapping[str, Any]], show: Show = "text") -> Questions:
    """Turn rows into questions, setting aside those that cannot be asked."""
    found = Questions()
    for number, row in enumerate(rows, start=1):
        line = row.get("line", number)
        reason = _fault(row)
        if reason:
            found.rejects.append({"line": line, "reason": reason, "id": row.get("id")})
        else:
            found.questions.append(_question(row, line, show))
    return found


def answer_questions(
    model: Model, tokenizer: Tokenizer, questions: Sequence[Question]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a row for predictions.jsonl of each question, and those too long to be asked."""
    encoded: list[list[Asked]] = []
    kept, rejects = [], []
    for question in questions:
        asked = [encode_pair(model, tokenizer, question.prompt, rest) for rest in question.rests]
        longest = max(len(one.rest) for one in asked)
        if longest >= model.config.max_len or min(len(one.rest) for one in asked) < 1:
            reason = f"a choice has {longest} tokens, and the model reads {model.config.max_len}"
            rejects.append({"line": None, "reason": reason, "id": question.id})
            continue
        encoded.append(asked)
        kept.append(question)
    each = iter(likelihoods(model, [one for asked in encoded for one in asked], surroundings(tokenizer)))
    rows = []
    for question, asked in zip(kept, encoded, strict=True):
        scored = [next(each) for _ in asked]
        n_tokens = [one.n_tokens for one in scored]
        rows.append(_row(question, [one.log_probability for one in scored], n_tokens))
    return rows, rejects


def chance(questions: Sequence[Question]) -> float:
    """Return the accuracy of guessing."""
    return sum(1 / len(q.choices) for q in questions) / len(questions)


def _row(question: Question, logs: list[float], n_tokens: list[int]) -> dict[str, Any]:
    n_bytes = [len(rest.encode()) for rest in question.rests]
    guesses = {
        "accuracy": _best(logs),
        "accuracy_per_byte": _best([v / n for v, n in zip(logs, n_bytes, strict=True)]),
        "accuracy_per_token": _best([v / n for v, n in zip(logs, n_tokens, strict=True)]),
    }
    guess = guesses["accuracy"]
    top = max(logs)
    share = math.exp(logs[guess] - top) / sum(math.exp(v - top) for v in logs)
    return {
        "id": question.id,
        "subject": question.subject,
        "text": question.question,
        "label": question.choices[question.answer],
        "predicted": question.choices[guess],
        "probability": share,
        "log_probabilities": logs,
        "score": {name: float(guess == question.answer) for name, guess in guesses.items()},
    }


def _best(values: list[float]) -> int:
    return values.index(max(values))


def _question(row: Mapping[str, Any], line: int, show: Show) -> Question:
    choices = tuple(str(c).strip() for c in _choices(row))
    context, question = (str(row.get(name) or "").strip() for name in ("context", "question"))
    lines = [context, question]
    if show == "letter":
        lines += [f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]
    is_chinese = any(_CJK[0] <= c <= _CJK[1] for c in question)
    prompt = "\n".join([*(part for part in lines if part), "答案：" if is_chinese else "Answer:"])
    said = choices if show == "text" else tuple(LETTERS[: len(choices)])
    rests = said if is_chinese else tuple(f" {choice}" for choice in said)
    answer = _index(row["answer"], choices)
    assert answer is not None
    name = str(row.get("id") or row.get("uid") or line)
    return Question(name, str(row.get("subject") or ""), question, choices, answer, prompt, rests)


def _fault(row: Mapping[str, Any]) -> str:
    choices = _choices(row)
    if not isinstance(row.get("question"), str) or not str(row["question"]).strip():
        return f"question = {row.get('question')!r} is no text"
    if not 2 <= len(choices) <= MOST_CHOICES:
        return f"there are {len(choices)} choices, and a question needs 2 to {MOST_CHOICES}"
    texts = [str(c).strip() for c in choices]
    if not all(isinstance(c, str | int | float) for c in choices) or not all(texts):
        return "a choice is no text, or empty"
    if len(set(texts)) < len(texts):
        return "two choices are alike"
    if _index(row.get("answer"), texts) is None:
        return f"answer = {row.get('answer')!r} is none of the {len(texts)} choices, counted from 0"
    return ""


def _choices(row: Mapping[str, Any]) -> Sequence[Any]:
    """Return the list of choices; also of the form {"text": [...], "label": [...]}."""
    found = row.get("choices")
    if isinstance(found, Mapping):
        found = found.get("text")
    return found if isinstance(found, Sequence) and not isinstance(found, str) else ()


def _index(answer: Any, choices: Sequence[str]) -> int | None:
    """Return the number of the right choice, which may be named by number, by its text or by its letter."""
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    if isinstance(answer, str):
        answer = answer.strip()
        if answer in choices:
            return choices.index(answer)
        if len(answer) == 1 and answer.upper() in LETTERS:
            answer = LETTERS.index(answer.upper())
        elif answer.isdecimal():
            answer = int(answer)
    if isinstance(answer, bool) or not isinstance(answer, int):
        return None
    return answer if 0 <= answer < len(choices) else None
