"""Answers found in a text."""

from luban.tasks.task import Task

TASK = Task(
    name="qa",
    summary="answers found in a text",
    rows={
        "question": "what is asked",
        "context": "the text that may hold the answer",
        "answers": "SQuAD's {text: [...], answer_start: [...]} in characters; empty lists: no answer",
        "title": "what the context is part of; may be missing",
        "split": "train, validation or test; may be missing",
    },
    example={
        "question": "Where is the Summer Palace?",
        "context": "The Summer Palace is in Beijing.",
        "answers": {"text": ["Beijing"], "answer_start": [24]},
    },
    settings="luban.tasks.qa_settings:QaSettings",
    prepare="luban.tasks.qa:prepare",
    takes=("model", "tokenizer", "eval"),
    close="luban.tasks.qa_score:close",
    heads=("spans",),
    open="luban.tasks.qa_answers:open_answerer",
    score="luban.tasks.qa_score:score",
    scores_rows=(("question", "context", "answers"),),
    route="/v1/answer",
)
