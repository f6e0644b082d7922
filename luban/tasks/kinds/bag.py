"""The baseline of classification: counts of words and their neighbours, weighed by logistic regression."""

from luban.tasks.task import Task

TASK = Task(
    name="bag",
    summary="its baseline",
    rows={"text": "the text", "label": "its label", "split": "train, validation or test; may be missing"},
    example={"text": "a fine film", "label": "positive"},
    settings="luban.tasks.settings:BagSettings",
    train="luban.tasks.bag:bag",
    takes=("eval",),
    close="luban.tasks.classify_score:close",
    heads=("bag",),
    open="luban.tasks.predict:open_classifier",
    score="luban.tasks.classify_score:score",
    route="/v1/classify",
)
