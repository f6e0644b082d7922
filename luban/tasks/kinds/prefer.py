"""Models that answer as people prefer."""

from luban.tasks.task import Task

TASK = Task(
    name="prefer",
    summary="one that answers as the better of two answers",
    rows={
        "messages": "the turns to be answered; or a text as `prompt`, or `instruction` and `input`",
        "chosen": "the better answer: a text, a turn, or the whole conversation",
        "rejected": "the worse one",
        "label": "instead of two answers, with a last turn of the assistant: whether it is good",
        "split": "train, validation or test; may be missing",
    },
    example={
        "messages": [{"role": "user", "content": "Is 7 prime?"}],
        "chosen": "Yes: only 1 and 7 divide it.",
        "rejected": "No.",
    },
    settings="luban.tasks.prefer_settings:PreferSettings",
    prepare="luban.tasks.prefer:prepare",
    needs=("model",),
    takes=("eval",),
    close="luban.tasks.prefer:close",
    ask_with="chat",
    score="luban.tasks.prefer_score:score",
    scores_rows=(("chosen", "rejected"),),
)
