"""Translations: what one language says, said in another."""

from luban.tasks.task import Task

TASK = Task(
    name="translate",
    summary="translations of texts",
    rows={
        "source": "the text to translate",
        "target": "its translation",
        "alternatives": "a list of other translations; may be missing",
        "split": "train, validation or test; may be missing",
    },
    example={"source": "I feel cold.", "target": "我觉得冷。"},
    settings="luban.tasks.translate_settings:TranslateSettings",
    prepare="luban.tasks.translate:prepare",
    takes=("model", "tokenizer", "eval"),
    close="luban.tasks.translate_score:close",
    open="luban.tasks.translator:open_translator",
    score="luban.tasks.translate_score:score",
    scores_rows=(("source", "target"),),
    route="/v1/translate",
)
