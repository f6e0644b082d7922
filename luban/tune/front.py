"""Learnt vectors in front of every text: prompt tuning and prefix tuning, put on from outside.

A prompt is rows of embeddings that stand before the text (arXiv:2104.08691); a prefix is keys and values
that every layer reads before those of the text (arXiv:2101.00190). Tokens in front of a causal model's text
never see it, so a prompt too is keys and values that are the same for each text: they are worked out once
a pass, every document of a packed row reads them, and a cache need not hold them. A model that sees its
whole document lets the prompt read the text, so there it is put into the row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.errors import ConfigError, DataError
from luban.models.attention import SelfAttention, build_scene
from luban.models.cache import Cache
from luban.models.changes import set_config
from luban.models.config import TransformerConfig
from luban.models.model import Model
from luban.models.positions import lay_out
from luban.models.stems import TokenStem

Kind = Literal["prompt", "prefix"]
Pairs = Sequence[tuple[Tensor, Tensor]]
"""Keys and values of each layer, (1, K, N, D)."""
N_USUAL = 5000
"""First values are drawn from so many tokens."""
ALIGNED = ("tokens", "tags", "spans", "none")
"""Heads that answer for each token, so that the prompt's places are cut off again."""


class Front(nn.Module):
    """What learns: a prompt (N, C), or a prefix (N, 2·L·K·D) as `peft` lays it out."""

    def __init__(self, kind: Kind, table: Tensor):
        super().__init__()
        self.kind: Kind = kind
        self.table = nn.Parameter(table)
        self.pairs: Pairs | None = None
        """What the pass that is under way reads."""
        self._of_cache: WeakKeyDictionary[Cache, Pairs] = WeakKeyDictionary()

    @property
    def n(self) -> int:
        """Vectors in front of a text."""
        return len(self.table)

    def read_by(self, trunk: Any, stem: TokenStem, cache: Cache | None) -> Pairs:
        """Return the keys and values for a pass; one that goes on from a cache reads what the first did."""
        if cache is not None and cache.n_tokens and cache in self._of_cache:
            return self._of_cache[cache]
        pairs = self._split(trunk.config) if self.kind == "prefix" else self.run(trunk, stem)
        if cache is not None:
            self._of_cache[cache] = pairs
        return pairs

    def _split(self, config: TransformerConfig) -> Pairs:
        parts = self.table.view(1, self.n, 2 * config.n_layers, config.n_kv_heads, config.head_dim)
        parts = parts.permute(2, 0, 3, 1, 4)
        return [(parts[2 * i], parts[2 * i + 1]) for i in range(config.n_layers)]

    def run(self, trunk: Any, stem: TokenStem) -> Pairs:
        """Let the blocks read the prompt alone, and keep their keys and values."""
        self.pairs = None
        x = embedded(stem, self.table.unsqueeze(0))
        scene = build_scene(lay_out(x[..., 0], None, None, 0), trunk.config, x)
        kept = [_Kept() for _ in trunk.blocks]
        for block, layer in zip(trunk.blocks, kept, strict=True):
            x = block(x, scene, layer)
        return [layer.pair for layer in kept]

    def __deepcopy__(self, memo: dict[int, Any]) -> Front:
        copy = Front(self.kind, self.table.detach().clone())
        copy.table.requires_grad_(self.table.requires_grad)
        memo[id(self)] = copy
        return copy.train(self.training)


class _Kept:
    """Takes a cache's place in a layer, and keeps what it is given."""

    pair: tuple[Tensor, Tensor]

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        self.pair = (k, v)
        return k, v


class FrontedAttention(SelfAttention):
    """SelfAttention whose tokens read the front before they read each other."""

    front: Front
    place: int

    def read(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool = False) -> Tensor:
        """Gather values by how well keys answer queries, those of the front among them."""
        pairs = self.front.pairs
        if pairs is None:
            return super().read(q, k, v, mask, is_causal)
        before = [t.to(k.dtype).expand(len(k), -1, -1, -1) for t in pairs[self.place]]
        n = before[0].shape[2]
        if is_causal:
            hidden = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).triu(1)
            mask = torch.zeros(hidden.shape, dtype=q.dtype, device=q.device).masked_fill(hidden, -torch.inf)
        if mask is not None:
            mask = F.pad(mask, (n, 0))
        return super().read(q, torch.cat([before[0], k], 2), torch.cat([before[1], v], 2), mask)


class PromptedModel(Model):
    """A model that sees whole documents, with a prompt before each row."""

    front: Front

    def forward(self, tokens: Tensor, documents: Tensor | None = None, *more: Any, **inputs: Any) -> Tensor:
        """Score tokens, or what the row is; a head for the row reads the prompt as well, as with `peft`."""
        hidden = self._whole(tokens, documents, *more, **inputs)
        if self.config.head.kind in ALIGNED:
            return self.head(hidden[:, self.front.n :], documents)
        return self.head(hidden, self._documents(documents))

    def hidden(self, tokens: Tensor, documents: Tensor | None = None, *more: Any, **inputs: Any) -> Tensor:
        """Return the last hidden states of the tokens, (B, T) -> (B, T, C)."""
        return self._whole(tokens, documents, *more, **inputs)[:, self.front.n :]

    def _whole(
        self,
        tokens: Tensor,
        documents: Tensor | None,
        cache: Cache | None = None,
        *,
        segments: Tensor | None = None,
        **others: Any,
    ) -> Tensor:
        if cache is not None or any(value is not None for value in others.values()):
            raise ConfigError("a prompt in the row reads neither a cache nor a source", fix="tune by lora")
        self._check(tokens, documents, None)
        if documents is not None and int(documents.max()) > 1:
            raise DataError(
                "rows hold several documents, and a prompt stands before one",
                fix="tune by prefix or lora, or give each document a row of its own",
            )
        words = self.stem.tokens(tokens)
        x = torch.cat([self.front.table.expand(len(tokens), -1, -1), words], 1)
        if segments is not None:
            segments = F.pad(segments, (self.front.n, 0))
        found: Tensor = self.trunk(
            embedded(self.stem, x, segments), lay_out(x[..., 0], self._documents(documents), None, 0)
        )
        return found

    def _documents(self, documents: Tensor | None) -> Tensor | None:
        return None if documents is None else F.pad(documents, (self.front.n, 0), value=1)


def embedded(stem: TokenStem, words: Tensor, segments: Tensor | None = None) -> Tensor:
    """Return what the stem makes of word vectors (B, T, C) that stand at the start of a row."""
    positions = torch.arange(words.shape[1], device=words.device).unsqueeze(0)
    return stem.place(words, positions, segments)


def attach_front(model: Model, kind: Kind, table: Tensor) -> Front:
    """Put a prompt or a prefix on a model; rows may be shorter by its length from then on."""
    trunk = _trunk(model)
    front = Front(kind, table)
    if front.n >= model.config.max_len:
        raise ConfigError(
            f"{front.n} vectors in front leave no room in rows of {model.config.max_len}", fix="set fewer"
        )
    model.add_module("front", front)
    if kind == "prompt" and trunk.config.sight == "full":
        model.__class__ = PromptedModel
    else:
        for i, block in enumerate(trunk.blocks):
            block.attention.__class__ = FrontedAttention
            block.attention.__dict__.update(front=front, place=i)
        trunk.register_forward_pre_hook(_AtTrunk(front, model.stem))
        model.stem.register_forward_pre_hook(_AtStem(front))
    set_config(model, dataclasses.replace(model.config, max_len=model.config.max_len - front.n))
    return front


def detach_front(model: Model) -> Front:
    """Take off what `attach_front` has put on, and return it."""
    front = front_of(model)
    assert front is not None
    del model._modules["front"]
    model.__class__ = Model
    for block in _trunk(model).blocks:
        block.attention.__class__ = SelfAttention
        for name in ("front", "place"):
            block.attention.__dict__.pop(name, None)
    for module in (model.trunk, model.stem):
        for key in [
            k for k, hook in module._forward_pre_hooks.items() if isinstance(hook, _AtTrunk | _AtStem)
        ]:
            del module._forward_pre_hooks[key]
    set_config(model, dataclasses.replace(model.config, max_len=model.config.max_len + front.n))
    return front


def front_of(model: Model) -> Front | None:
    """Return the prompt or prefix that a model has on."""
    found = model._modules.get("front")
    return found if isinstance(found, Front) else None


@torch.no_grad()
def first_table(model: Model, kind: Kind, n: int, seed: int) -> Tensor:
    """Return what a prompt or prefix begins as: what the model makes of n of its more frequent tokens.

    Real words are a better start than noise in both papers; low ids are frequent tokens.
    """
    config, trunk = model.config, _trunk(model)
    roles = {config.pad_id, config.bos_id, config.eos_id, config.start_id}
    usual = [i for i in range(min(config.vocab_size, N_USUAL)) if i not in roles]
    generator = torch.Generator().manual_seed(seed)
    picked = torch.randint(len(usual), (n,), generator=generator).tolist()
    words = model.stem.tokens.weight[[usual[i] for i in picked]].clone()
    if kind == "prompt":
        return words
    was_training = model.training
    model.eval()  # dropout would make it another one each time
    pairs = Front("prompt", words).run(trunk, model.stem)
    model.train(was_training)
    return torch.stack([t[0] for pair in pairs for t in pair]).permute(2, 0, 1, 3).reshape(n, -1)


class _AtTrunk:
    """Lets the blocks know the front of this pass, and counts the text's positions from its end."""

    def __init__(self, front: Front, stem: TokenStem):
        self.front, self.stem = front, stem

    def __call__(self, trunk: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x, layout, *rest = args
        cache = rest[0] if rest else None
        self.front.pairs = self.front.read_by(trunk, self.stem, cache)
        return x, dataclasses.replace(layout, positions=layout.positions + self.front.n), *rest


class _AtStem:
    def __init__(self, front: Front):
        self.front = front

    def __call__(self, stem: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        tokens, positions, *rest = args
        return tokens, positions + self.front.n, *rest


def _trunk(model: Model) -> Any:
    """Return the trunk if it can have something in front, and refuse the others."""
    config = model.config
    if not isinstance(config.trunk, TransformerConfig) or config.encoder is not None:
        raise ConfigError(
            f"a prompt or prefix goes before the text of one Transformer, and this {config.family} is none",
            fix="tune by lora",
        )
    if config.trunk.position in ("alibi", "relative"):
        raise ConfigError(
            f"with {config.trunk.position} positions a prompt or prefix has no place", fix="tune by lora"
        )
    return model.trunk
