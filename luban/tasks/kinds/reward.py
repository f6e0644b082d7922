"""Models that score answers."""

from luban.tasks.task import Task

TASK = Task(
    name="reward",
    summary="a score for answers, from pairs of a better and a worse one",
    rows={
        "messages": "the turns to be answered; asked for a reward, with the answer as the last turn",
        "chosen": "the better answer: a text, a turn, or the whole conversation",
        "rejected": "the worse one",
        "split": "train, validation or test; may be missing",
    },
    example={
        "messages": [{"role": "user", "content": "Is 7 prime?"}],
        "chosen": "Yes: only 1 and 7 divide it.",
        "rejected": "No.",
    },
    settings="luban.tasks.prefer_settings:RewardSettings",
    prepare="luban.tasks.reward:prepare",
    needs=("model",),
    takes=("eval",),
    close="luban.tasks.reward:close",
    open="luban.tasks.reward:open_rewarder",
    score="luban.tasks.prefer_score:score",
    route="/v1/reward",
)
