"""Names and other spans in a text: persons, places, amounts."""

from luban.tasks.task import Task

TASK = Task(
    name="tag",
    summary="spans in texts",
    rows={
        "text": "the text, or `tokens`: its words",
        "spans": "{start, end, type} of each, in characters; or, for words, `tags`: B-TYPE, I-TYPE, O",
        "split": "train, validation or test; may be missing",
    },
    example={"text": "鲁班 came from Lu.", "spans": [{"start": 0, "end": 2, "type": "PERSON"}]},
    settings="luban.tasks.classify_settings:TagSettings",
    prepare="luban.tasks.tag:prepare",
    takes=("model", "tokenizer", "eval"),
    close="luban.tasks.tag_score:close",
    heads=("tags",),
    open="luban.tasks.tag_score:open_spans",
    score="luban.tasks.tag_score:score",
    scores_rows=(("text", "spans"), ("tokens", "tags")),
    route="/v1/tag",
)
