"""How likely a model finds texts: log-probabilities of what goes on from a context, in large batches.

likelihoods(model, [Asked(context=(5, 6), rest=(7,))]) -> [Likelihood(log_probability=-2.1, ...)]

A model with an encoder reads the context as its source. A model that sees all of its text has no such
probability: it gets the pseudo-log-likelihood, each token hidden in turn and restored from all others
(arXiv:1910.14659, equation 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from luban.errors import CheckpointError, DataError
from luban.generate.reader import Prompts, Reader, evaluating
from luban.generate.writing import start_id
from luban.models.model import Model
from luban.tokenizer import Tokenizer

TOKENS_PER_BATCH = 2048
TOKENS_HELD = 6144
"""Tokens of all rows in a cache at once: each row has its own copy of the shared context."""
SCORES_AT_ONCE = 1 << 23
"""Scores held at once: they are as wide as the vocabulary."""
LEAST_SHARED = 64
"""A context with fewer tokens is read anew for each rest, in larger batches."""

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """Token ids that a model has read, at least one, and those whose probability is asked for."""

    context: Ids
    rest: Ids


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The log-probability of a rest given its context, in nats, and how it is made up."""

    log_probability: float
    is_greedy: bool
    """Whether each of its tokens was the likeliest."""
    n_tokens: int


@dataclass(frozen=True, slots=True)
class Around:
    """What stands before and after a text, and what hides a token: for models that see all of a text."""

    before: Ids = ()
    after: Ids = ()
    mask_id: int | None = None


@torch.no_grad()
def likelihoods(model: Model, asked: Sequence[Asked], around: Around | None = None) -> list[Likelihood]:
    """Return the likelihood of every rest, in the order asked.

    A context is cut on its left where both together are longer than the model reads.
    """
    around = around or Around()
    check_scorer(model, around)
    for one in asked:
        _check(model, one)
    with evaluating(model):
        if model.config.encoder is not None:
            return _in_groups(model, asked, list(_by_context(asked)))
        if model.config.trunk.sight == "full":
            return _pseudo(model, asked, around)
        fitting = [_cut(one, model.config.max_len) for one in asked]
        groups = [group for group in _by_context(fitting) if _pays(fitting, group)]
        found = dict(zip(sum(groups, []), _in_groups(model, fitting, groups, flat=True), strict=True))
        alone = [i for i in range(len(fitting)) if i not in found]
        found |= dict(zip(alone, _in_batches(model, [fitting[i] for i in alone]), strict=True))
        return [found[i] for i in range(len(asked))]


def check_scorer(model: Model, around: Around) -> None:
    """Refuse a model that gives texts no probability."""
    config = model.config
    if config.head.kind != "tokens" or config.source == "audio":
        raise CheckpointError(
            f"this {config.family} model gives texts no probability: its head is of the kind "
            f"{config.head.kind}",
            fix="name a language model, such as one that `luban train --task pretrain` made",
        )
    if config.trunk.sight == "full" and around.mask_id is None:
        raise CheckpointError(
            f"this {config.family} model sees all of a text, and its tokenizer has no mask token",
            fix="use its own tokenizer",
        )


def surroundings(tokenizer: Tokenizer) -> Around:
    """Return what a tokenizer puts around a text, and its mask token."""
    before, after = (() if id is None else (id,) for id in (tokenizer.cls_id, tokenizer.sep_id))
    return Around(before, after, tokenizer.mask_id)


def encode_pair(model: Model, tokenizer: Tokenizer, context: str, rest: str) -> Asked:
    """Return the ids of a context and of what goes on from it.

    Both are encoded as one text, so that a token may reach across; spaces that end the context belong
    to the rest. An empty context becomes the token that begins a text, or else the one that ends it;
    any other has that token before it where the tokenizer's template puts it there.
    """
    if model.config.encoder is not None:
        return Asked(tuple(tokenizer.encode(context, special=True)), tuple(tokenizer.encode(rest)))
    bare = context.rstrip()
    rest = context[len(bare) :] + rest
    before, whole = tokenizer.encode_batch([bare, bare + rest]) if bare else ([], tokenizer.encode(rest))
    if before:
        begin = _begins(tokenizer, before)
        return Asked((*begin, *before), tuple(whole[len(before) :]))
    if model.config.trunk.sight == "full":
        return Asked((), tuple(whole))
    first = begin_id(tokenizer)
    return Asked((first,), tuple(whole[1:] if whole[:1] == [first] and len(whole) > 1 else whole))


def _begins(tokenizer: Tokenizer, ids: Sequence[int]) -> list[int]:
    template = tokenizer.encode("", special=True)
    return template if template == [tokenizer.bos_id] and ids[:1] != template else []


def begin_id(tokenizer: Tokenizer) -> int:
    """Return the token that stands before a text without a context."""
    found = tokenizer.eos_id if tokenizer.bos_id is None else tokenizer.bos_id
    if found is None:
        raise DataError(
            "a text without a context needs a token to begin with, and the tokenizer has none",
            fix="give each row a context",
        )
    return found


def rolling(ids: Sequence[int], begin: int, max_len: int) -> list[Asked]:
    """Cut a long text into pieces that predict each token once, each with as much before it as fits.

    The last piece is a full window that overlaps the one before; in all others only the token before
    is context.
    rolling([1, 2, 3, 4, 5], begin=0, max_len=3) -> (0 | 1 2 3), (2 3 | 4 5)
    """
    pieces, done = [], 0
    while done < len(ids):
        n_new = min(len(ids) - done, max_len)
        end = done + n_new
        first = 0 if done == 0 else max(0, end - max_len - 1)
        context = (begin,) if done == 0 else tuple(ids[first:done])
        pieces.append(Asked(context, tuple(ids[done:end])))
        done = end
    return pieces


def _check(model: Model, one: Asked) -> None:
    longest = model.config.max_len - (model.config.trunk.sight == "full" and 2)
    if not one.rest:
        raise DataError("a text to score holds no token", fix="leave empty texts out")
    if len(one.rest) > longest:
        raise DataError(
            f"a text to score has {len(one.rest)} tokens, and the model reads {model.config.max_len}",
            fix="shorten it, or use a model with a longer context",
        )


def _cut(one: Asked, max_len: int) -> Asked:
    """Drop what does not fit from the left of the context: the last token of the rest is not read."""
    room = max(1, max_len + 1 - len(one.rest))
    return Asked(one.context[-room:], one.rest)


def _by_context(asked: Sequence[Asked]) -> Iterator[list[int]]:
    groups: dict[Ids, list[int]] = {}
    for i, one in enumerate(asked):
        groups.setdefault(one.context, []).append(i)
    return iter(groups.values())


def _pays(asked: Sequence[Asked], group: list[int]) -> bool:
    return len(group) > 1 and len(asked[group[0]].context) >= LEAST_SHARED


def _in_groups(
    model: Model, asked: Sequence[Asked], groups: list[list[int]], flat: bool = False
) -> list[Likelihood]:
    """Read each context once and go on from it with all that is asked after it.

    flat: return them in the order of the groups instead of that of the asked.
    """
    found: dict[int, Likelihood] = {}
    for group in groups:
        n_context = len(asked[group[0]].context)
        for part in _batches([asked[i].rest for i in group], TOKENS_HELD, n_context):
            members = [group[k] for k in part]
            found |= zip(members, _after(model, [asked[i] for i in members]), strict=True)
    return [found[i] for i in (sum(groups, []) if flat else range(len(asked)))]


def _after(model: Model, asked: Sequence[Asked]) -> Iterator[Likelihood]:
    """Yield the likelihoods of rests that share their context."""
    rests = [one.rest for one in asked]
    longest = max(map(len, rests))
    reader = Reader(model, _prompts(model, asked[0].context), longest)
    scores = reader.logits[0].float()
    first, likeliest = scores.log_softmax(-1), int(scores.argmax())
    later: Iterator[tuple[float, bool]] = iter(())
    if longest > 1:
        reader.keep([0] * len(rests))
        hidden = reader.hidden(*_padded([rest[:-1] for rest in rests]))
        states = torch.cat([hidden[row, : len(rest) - 1] for row, rest in enumerate(rests)])
        later = iter(_each(reader.score, states, [id for rest in rests for id in rest[1:]]))
    values = (
        (first[id].item(), id == likeliest) if k == 0 else next(later)
        for rest in rests
        for k, id in enumerate(rest)
    )
    return _gather(asked, values)


def _prompts(model: Model, context: Ids) -> Prompts:
    if model.config.encoder is None:
        return Prompts([context])
    longest = model.config.source_max_len or model.config.max_len
    return Prompts([[start_id(model)]], torch.tensor([context[-longest:]]))


def _in_batches(model: Model, asked: Sequence[Asked]) -> list[Likelihood]:
    """Read context and rest together, rows of like length in one batch."""
    device = next(model.parameters()).device
    found: dict[int, Likelihood] = {}
    rows = [one.context + one.rest[:-1] for one in asked]
    for batch in _batches(rows):
        tokens, documents = _padded([rows[i] for i in batch])
        hidden = model.hidden(tokens.to(device), documents.to(device))
        states = torch.cat(
            [hidden[row, len(rows[i]) - len(asked[i].rest) : len(rows[i])] for row, i in enumerate(batch)]
        )
        members = [asked[i] for i in batch]
        values = _each(model.head, states, [id for one in members for id in one.rest])
        found |= zip(batch, _gather(members, values), strict=True)
    return [found[i] for i in range(len(asked))]


def _pseudo(model: Model, asked: Sequence[Asked], around: Around) -> list[Likelihood]:
    """Hide each token of a rest in turn: one row a token."""
    assert around.mask_id is not None
    device = next(model.parameters()).device
    before, after = around.before, around.after
    rows: list[Ids] = []
    places: list[tuple[int, int]] = []
    for one in asked:
        room = model.config.max_len - len(before) - len(after) - len(one.rest)
        context = before + (one.context[-room:] if room > 0 else ())
        whole = (*context, *one.rest, *after)
        for k, id in enumerate(one.rest):
            place = len(context) + k
            rows.append((*whole[:place], around.mask_id, *whole[place + 1 :]))
            places.append((place, id))
    values: list[tuple[float, bool]] = [(0.0, True)] * len(rows)
    for batch in _batches(rows):
        tokens, documents = _padded([rows[i] for i in batch])
        hidden = model.hidden(tokens.to(device), documents.to(device))
        at = torch.tensor([places[i][0] for i in batch], device=device)
        states = hidden[torch.arange(len(batch), device=device), at]
        for i, value in zip(batch, _each(model.head, states, [places[i][1] for i in batch]), strict=True):
            values[i] = value
    return list(_gather(asked, values))


def _gather(asked: Sequence[Asked], values: Iterable[tuple[float, bool]]) -> Iterator[Likelihood]:
    each = iter(values)
    for one in asked:
        parts = [next(each) for _ in one.rest]
        yield Likelihood(sum(v for v, _ in parts), all(g for _, g in parts), len(parts))


def _batches(rows: Sequence[Ids], most: int = TOKENS_PER_BATCH, more: int = 0) -> Iterator[list[int]]:
    """Yield row numbers, longest first, so that what does not fit the memory shows at once.

    A batch holds no more than `most` tokens, of which each row has `more` beside its own.
    """
    batch: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: -len(rows[i])):
        if batch and (len(batch) + 1) * (more + len(rows[batch[0]])) > most:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _padded(rows: Sequence[Ids]) -> tuple[Tensor, Tensor]:
    """Return tokens (B, T), padded on the right, and documents (B, T), 0 where padded."""
    tokens = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    documents = torch.zeros_like(tokens)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)], documents[row, : len(ids)] = torch.tensor(ids), 1
    return tokens, documents


def _each(score: Callable[[Tensor], Tensor], hidden: Tensor, ids: Sequence[int]) -> list[tuple[float, bool]]:
    """Return each id's log-probability after the states (N, C), and whether it was the likeliest."""
    targets = torch.tensor(ids, device=hidden.device)
    found: list[tuple[float, bool]] = []
    n_rows = 1
    while len(found) < len(ids):
        part = slice(len(found), len(found) + n_rows)
        scores, wanted = score(hidden[part].unsqueeze(0))[0].float(), targets[part]
        logs = scores.gather(1, wanted[:, None])[:, 0] - scores.logsumexp(-1)
        found += zip(logs.tolist(), (scores.argmax(-1) == wanted).tolist(), strict=True)
        n_rows = max(1, SCORES_AT_ONCE // scores.shape[-1])
    return found
