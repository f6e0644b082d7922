"""Minimal pairs, for models of texts: the good one of two sentences must be the likelier."""

from luban.tasks.task import Task

TASK = Task(
    name="pairs",
    summary="the likelier of two sentences",
    rows={
        "sentence_good": "a sentence as it should be",
        "sentence_bad": "the same with one thing wrong",
        "phenomenon": "what the table of scores is ordered by; may be missing",
    },
    example={"sentence_good": "The cats sleep.", "sentence_bad": "The cats sleeps."},
    score="luban.tasks.likelihood_score:score_pairs",
    scores_rows=(("sentence_good", "sentence_bad"),),
)
