"""Several labels for a text, or none: topics of an article, faults of a product."""

from luban.tasks.task import Task

TASK = Task(
    name="multi_label",
    summary="several labels",
    rows={
        "text": "the text",
        "labels": 'its labels: a list, or "a;b"; an empty one is a text without',
        "split": "train, validation or test; may be missing",
    },
    example={"text": "The goalkeeper was sold for a record sum.", "labels": ["sport", "business"]},
    settings="luban.tasks.classify_settings:MultiLabelSettings",
    prepare="luban.tasks.multi_label:prepare",
    takes=("model", "tokenizer", "vectors", "eval"),
    close="luban.tasks.multi_label:close",
    heads=("classes:several",),
    open="luban.tasks.multi_label:open_labels",
    score="luban.tasks.multi_label:score",
    route="/v1/multi_label",
)
