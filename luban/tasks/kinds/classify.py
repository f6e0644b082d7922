"""Labels for texts: sentiment, topic, spam, intent."""

from luban.tasks.task import Task

TASK = Task(
    name="classify",
    summary="labels for texts",
    rows={"text": "the text", "label": "its label", "split": "train, validation or test; may be missing"},
    example={"text": "a fine film", "label": "positive"},
    settings="luban.tasks.classify_settings:ClassifySettings",
    prepare="luban.tasks.classify:prepare",
    takes=("model", "tokenizer", "vectors", "eval"),
    close="luban.tasks.classify_score:close",
    heads=("classes",),
    open="luban.tasks.predict:open_classifier",
    score="luban.tasks.classify_score:score",
    route="/v1/classify",
)
