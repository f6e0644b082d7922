"""Code: what is missing at a place in a program, and whole programs, judged by running them."""

from luban.tasks.task import Task

TASK = Task(
    name="code",
    summary="completions of code",
    rows={
        "prefix": "code before the place",
        "suffix": "code after it; may be missing",
        "prompt, entry_point, test": "to score by running, as in HumanEval: the beginning of a function, its "
        "name, a function `check` that asserts",
        "text, test_list": "to score by running, as in MBPP: a sentence, and a list of assertions",
    },
    example={"prefix": "def add(a, b):\n    return ", "suffix": "\n\nprint(add(1, 2))\n"},
    settings="luban.tasks.code_train_settings:CodeTrainSettings",
    prepare="luban.tasks.pretrain:prepare",
    data="shards",
    many=True,
    takes=("model",),
    close="luban.tasks.pretrain_score:close",
    open="luban.tasks.code_complete:open_completer",
    score="luban.tasks.code_score:score",
    scores_rows=(("prompt", "entry_point", "test"), ("text", "test_list")),
    route="/v1/complete-code",
)
