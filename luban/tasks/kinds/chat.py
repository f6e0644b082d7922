"""Models that answer in a conversation."""

from luban.tasks.task import Task

TASK = Task(
    name="chat",
    summary="one that answers",
    rows={
        "messages": "turns, each with role (system, user, assistant, tool) and content; or the columns of "
        "ShareGPT or Alpaca",
        "tools": "what the assistant may call, as OpenAI describes it; may be missing",
    },
    example={
        "messages": [
            {"role": "user", "content": "Who was Luban?"},
            {"role": "assistant", "content": "A master carpenter of ancient China."},
        ]
    },
    settings="luban.tasks.chat_settings:ChatSettings",
    prepare="luban.tasks.chat:prepare",
    many=True,
    needs=("model",),
    takes=("eval",),
    close="luban.tasks.chat:close",
    open="luban.tasks.chat_answers:open_answerer",
    score="luban.tasks.chat_score:score",
    route="/v1/chat/completions",
    scores_rows=(("messages",), ("conversations",), ("instruction", "output")),
)
