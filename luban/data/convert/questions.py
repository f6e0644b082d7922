"""Questions about texts: rows with `answers`, and the nested JSON of SQuAD."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from luban.data.convert.records import Question, Row, joined, json_of, rest, text_in, whole
from luban.data.encoding import Unreadable
from luban.data.messages import parsed

HELD = 1000  # questions in memory before an article is written, whether it goes on or not
_USED = ("id", "title", "context", "question", "answers", "is_impossible")


def read_question(row: Row) -> Question:
    """Return the question of a row {id, title, context, question, answers: {text, answer_start}}.

    Answers may also be SQuAD's own [{text, answer_start}]. Every one must stand in the context where
    the row says it does.
    """
    context = text_in(row, "context")
    answers = tuple(_checked(context, text, start) for text, start in _answers(row))
    if row.get("is_impossible") and answers:
        raise Unreadable("is_impossible, yet there is an answer")
    identity = row.get("id")
    if isinstance(identity, bool) or not isinstance(identity, (str, int)) or identity == "":
        raise Unreadable("no id")
    title = row.get("title") or ""
    if not isinstance(title, str):
        raise Unreadable(f"title = {title!r:.60} is no text")
    return Question(str(identity), context, text_in(row, "question"), answers, title, rest(row, _USED))


def _answers(row: Row) -> Iterator[tuple[Any, Any]]:
    answers = parsed(row.get("answers"))
    if answers is None and not row.get("is_impossible"):
        raise Unreadable("no answers")
    if isinstance(answers, dict):
        texts, starts = answers.get("text"), answers.get("answer_start")
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise Unreadable("answers has not as many texts as places")
        yield from zip(texts, starts, strict=True)
    elif isinstance(answers, list):
        for answer in answers:
            if not isinstance(answer, dict):
                raise Unreadable(f"an answer is no object: {answer!r:.60}")
            yield answer.get("text"), answer.get("answer_start")
    elif answers is not None:
        raise Unreadable(f"answers is a {type(answers).__name__}")


def _checked(context: str, text: Any, start: Any) -> tuple[str, int]:
    if not isinstance(text, str) or not text:
        raise Unreadable(f"an answer = {text!r:.60} is no text")
    place = whole(start, "answer_start")
    if place < 0 or context[place : place + len(text)] != text:
        there = context[max(0, place) : max(0, place) + len(text)]
        raise Unreadable(f"the answer {text!r:.60} is not at {place}, where the context says {there!r:.60}")
    return text, place


def write_question(question: Question) -> Row:
    """Return the row in the form of Hugging Face's SQuAD."""
    answers = {"text": [t for t, _ in question.answers], "answer_start": [s for _, s in question.answers]}
    row = {
        "id": question.id,
        "title": question.title,
        "context": question.context,
        "question": question.question,
        "answers": answers,
    }
    return joined(row, question.extra)


def flat_questions(article: Row) -> Iterator[Row]:
    """Yield a row for each question of an article {title, paragraphs: [{context, qas}]}."""
    paragraphs = article.get("paragraphs")
    if not isinstance(paragraphs, list) or not all(isinstance(p, dict) for p in paragraphs):
        raise Unreadable("an article without a list of paragraphs")
    for paragraph in paragraphs:
        questions = paragraph.get("qas")
        if not isinstance(questions, list) or not all(isinstance(q, dict) for q in questions):
            raise Unreadable("a paragraph without a list of qas")
        own = {**rest(article, ("paragraphs",)), **rest(paragraph, ("qas",))}
        yield from ({**own, **question} for question in questions)


class SquadWriter:
    """Writes SQuAD's nested JSON; questions that follow each other share their article and paragraph.

    Version 1.1 has no question without an answer, version v2.0 has `is_impossible`. (Rajpurkar et al.
    2016, 2018.)
    """

    def __init__(self, file: IO[str], version: str):
        self._file, self._version = file, version
        self._title: str | None = None
        self._paragraphs: list[Row] = []
        self._n_articles = self._n_held = 0
        file.write(f'{{"version": "{version}", "data": [')

    def add(self, row: Row) -> None:
        """Append a row of `write_question`."""
        answers = [
            {"text": text, "answer_start": start}
            for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
        ]
        made = {**rest(row, ("title", "context")), "answers": answers}
        if self._version == "v2.0":
            made["is_impossible"] = not answers
        elif not answers:
            raise Unreadable("it has no answer, which SQuAD 1.1 does not allow: use squad2")
        json_of(made)
        if row["title"] != self._title or self._n_held >= HELD:
            self._end_article()
            self._title = row["title"]
        if not self._paragraphs or self._paragraphs[-1]["context"] != row["context"]:
            self._paragraphs.append({"context": row["context"], "qas": []})
        self._paragraphs[-1]["qas"].append(made)
        self._n_held += 1

    def close(self) -> None:
        """Write what is left."""
        self._end_article()
        self._file.write("\n]}\n")

    def _end_article(self) -> None:
        if self._paragraphs:
            article = {"title": self._title, "paragraphs": self._paragraphs}
            self._file.write(",\n" if self._n_articles else "\n")
            self._file.write(json_of(article))
            self._n_articles += 1
        self._paragraphs, self._n_held = [], 0
