"""Models that answer in a conversation."""

from luban.tasks.task import Task

TASK = Task(
    name="chat",
    summary="one that answers",
    rows={"messages": "turns, each with role (system, user, assistant) and content"},
    example={
        "messages": [
            {"role": "user", "content": "Who was Luban?"},
            {"role": "assistant", "content": "A master carpenter of ancient China."},
        ]
    },
    settings="luban.tasks.settings:ChatSettings",
    prepare="luban.tasks.chat:prepare",
    needs=("model",),
    takes=("eval",),
    close="luban.tasks.chat:close",
    ask_with="generate",
    score="luban.tasks.pretrain_score:score",
)
