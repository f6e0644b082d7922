"""Multiple choice, for models of texts: the answer that is likeliest after the question."""

from luban.tasks.task import Task

TASK = Task(
    name="choice",
    summary="answers chosen among several",
    rows={
        "question": "what is asked",
        "context": "a text that stands before it; may be missing",
        "choices": "list of answers, two or more",
        "answer": "the right one: its number from 0, its letter, or its text",
        "subject": "what the table of scores is ordered by; may be missing",
    },
    example={"question": "What is frozen water?", "choices": ["steam", "ice"], "answer": 1},
    score="luban.tasks.likelihood_score:score_choices",
    scores_rows=(("question", "choices", "answer"),),
)
