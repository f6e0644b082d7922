"""A number for a text: stars of a review, how hard a question is."""

from luban.tasks.task import Task

TASK = Task(
    name="regress",
    summary="a number",
    rows={
        "text": "the text",
        "score": "its number",
        "split": "train, validation or test; may be missing",
    },
    example={"text": "a fine film", "score": 4.5},
    settings="luban.tasks.classify_settings:RegressSettings",
    prepare="luban.tasks.regress:prepare",
    takes=("model", "tokenizer", "vectors", "eval"),
    close="luban.tasks.regress:close",
    heads=("classes:number",),
    open="luban.tasks.regress:open_numbers",
    score="luban.tasks.regress:score",
    route="/v1/regress",
)
