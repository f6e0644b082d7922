"""Conversations as rows to learn: read, parted, and encoded by the chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luban.data.messages import Conversation, Conversations, read_conversations
from luban.data.packing import PackedRows
from luban.data.split import assign
from luban.errors import ConfigError, DataError
from luban.files import hash_json
from luban.tasks.chat_settings import ChatSettings
from luban.tokenizer import Tokenizer
from luban.tokenizer.chat import ChatTemplate, encode_chat

MOST_REFUSED = 50
"""So many conversations in a row that a template refuses are the template's fault."""
Row = tuple[list[int], list[bool]]
"""Ids, and which of them an answer is made of."""


@dataclass(slots=True)
class ChatRows:
    """Encoded conversations of each part, and what was set aside: {file, line, reason}."""

    train: list[Row] = field(default_factory=list)
    validation: list[Row] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)


def read_chat_rows(
    inputs: Mapping[str, Path], settings: ChatSettings, tokenizer: Tokenizer, max_len: int
) -> ChatRows:
    """Read, part and encode conversations; those with the same question stay in one part."""
    found = _read_files(inputs, settings.take)
    rows = ChatRows(rejects=found.rejects)
    if "eval" in inputs:
        apart = read_conversations(inputs["eval"])
        rows.rejects += apart.rejects
        parts = {"train": found.kept, "validation": apart.kept}
    else:
        parts = parted(found.kept, settings.validation)
    with ChatTemplate(tokenizer) as template:
        for name, kept in parts.items():
            getattr(rows, name).extend(_encoded(template, kept, settings, max_len, rows.rejects))
    for name in parts:
        if not getattr(rows, name):
            first = rows.rejects[0]["reason"] if rows.rejects else "there are too few"
            raise DataError(
                f"{inputs['data']} leaves no conversation for {name}; the first set aside: {first}",
                fix="give more rows, or raise max_len",
            )
    return rows


def packed(rows: Sequence[Row], settings: ChatSettings, pad_id: int | None) -> PackedRows:
    """Return rows as batches in whose lines they never see each other."""
    return PackedRows(
        [ids for ids, _ in rows],
        [supervised for _, supervised in rows],
        tokens_per_batch=settings.tokens_per_batch,
        seed=settings.seed,
        n_micro_batches=settings.n_micro_batches,
        pad_id=pad_id or 0,
    )


def named(message: dict[str, Any], name: str, author: str) -> dict[str, Any]:
    """Return a message with {{name}} and {{author}} put in."""
    text = message["content"]
    for key, value in (("name", name), ("author", author)):
        if f"{{{{{key}}}}}" in text:
            if not value:
                raise DataError(f"a turn says {{{{{key}}}}}", fix=f"set train.{key}")
            text = text.replace(f"{{{{{key}}}}}", value)
    return {**message, "content": text}


def _read_files(inputs: Mapping[str, Path], take: Sequence[int]) -> Conversations:
    paths = [path for key, path in inputs.items() if key.partition(":")[0] == "data"]
    if len(take) > len(paths):
        raise ConfigError(
            f"train.take names {len(take)} numbers for {len(paths)} files", fix="give one for each --data"
        )
    found = Conversations()
    for path, most in zip(paths, [*take, *[0] * len(paths)], strict=False):
        one = read_conversations(path)
        # By a hash of the content, so that a longer file gives the same rows and some more.
        chosen = set(sorted({c.key for c in one.kept})[:most]) if most else None
        found.kept += [c for c in one.kept if chosen is None or c.key in chosen]
        found.rejects += one.rejects
    return found


def parted(found: Sequence[Conversation], validation: float) -> dict[str, list[Conversation]]:
    """Part conversations as they are marked, or else by hash; those marked as a test are left alone."""
    parts: dict[str, list[Conversation]] = {"train": [], "validation": []}
    if any(c.split == "validation" for c in found):
        for conversation in (c for c in found if c.split != "test"):
            parts[conversation.split or "train"].append(conversation)
        return parts
    rest = [c for c in found if c.split != "test"]
    names = [_question(c) for c in rest]
    part_of = assign(names, validation=validation, test=0.0, seed=1)
    for conversation, name in zip(rest, names, strict=True):
        parts[part_of[name]].append(conversation)
    return parts


def _question(conversation: Conversation) -> str:
    """Return a hash of all that is not answered: who asks the same is in the same part."""
    return hash_json([m for m in conversation.messages if m["role"] != "assistant"])


def _encoded(
    template: ChatTemplate,
    conversations: Sequence[Conversation],
    settings: ChatSettings,
    max_len: int,
    rejects: list[dict[str, Any]],
) -> list[Row]:
    kept: list[Row] = []
    for i, conversation in enumerate(conversations):
        try:
            messages = [named(m, settings.name, settings.author) for m in conversation.messages]
            ids, supervised = encode_chat(template, messages, tools=conversation.tools or None)
        except DataError as e:
            rejects.append(conversation.reject(e.problem))
            if not kept and i + 1 >= min(MOST_REFUSED, len(conversations)):
                raise
            continue
        if len(ids) > max_len:
            rejects.append(conversation.reject(f"{len(ids)} tokens, more than max_len = {max_len}"))
        elif not any(supervised[1:]):
            rejects.append(conversation.reject("no token to learn"))
        else:
            kept.append((ids, supervised))
    return kept
