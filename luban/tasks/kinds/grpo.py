"""Models whose answers a checker rewards."""

from luban.tasks.task import Task

TASK = Task(
    name="grpo",
    summary="one whose answers earn more by a checker",
    rows={
        "question": "what is asked; or other columns that train.prompt names, or `messages`",
        "answer": "what is right, for checkers that compare; or `final`",
        "split": "train, validation or test; may be missing",
    },
    example={"question": "What is 6 times 7?", "answer": "42"},
    settings="luban.tasks.grpo_settings:GrpoSettings",
    prepare="luban.tasks.grpo:prepare",
    needs=("model",),
    takes=("eval",),
    close="luban.tasks.grpo:close",
    ask_with="chat",
)
